"""Table 6: the aligner alone, which reads the teacher's representation and nothing else."""

from distill.studies.grids import MIDJOURNEY, SMALL_TASKS, STABLE_DIFFUSION, aligner
from distill.studies.study import Study

TABLE06 = Study(
    name="table06",
    title="The TS Aligner alone, by teacher",
    cells=tuple(
        cell
        for teacher in (STABLE_DIFFUSION, MIDJOURNEY)
        for cell in aligner("output-head", teacher, "bert-base", SMALL_TASKS)
    ),
    prints=("table06",),
    claims=("Near chance on many tasks: the paper's point is that so weak an aligner helps a student.",),
    plot="levels",
)
