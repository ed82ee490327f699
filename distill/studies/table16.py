"""Table 16: what training the aligner does to the student's own task loss, by t-test."""

from dataclasses import replace

from distill.studies.grids import SMALL_TASKS, STABLE_DIFFUSION, losses
from distill.studies.study import LOSSES, Analysed, Runs, Study

_MODELS, _FROZEN = ("bert-base",), "/frozen"


def training_gains(runs: Runs) -> Analysed:
    """Statistic and p of each loss and task: losses beside a frozen aligner less beside a trained one."""
    from distill.analyses.finished import open_run
    from distill.analyses.training_gain import training_gain
    from schemas.errors import AnalysisError

    found = Analysed({})
    for (key, seed), made in runs.items():
        frozen = runs.get((replace(key, variant=f"{key.variant}{_FROZEN}"), seed))
        if key.variant not in LOSSES or frozen is None:
            continue
        try:
            gain = training_gain(open_run(made.folder), open_run(frozen.folder))
        except AnalysisError as error:
            found.notes.append(f"{key.task}, {key.variant}, seed {seed}: {error}")
            continue
        found.values.setdefault(replace(key, metric="t_statistic"), {})[seed] = gain.statistic
        found.values.setdefault(replace(key, metric="p_value"), {})[seed] = gain.p_value
    return found


TABLE16 = Study(
    name="table16",
    title="The student's task loss with and without training of the aligner, BERT-base on the small tasks",
    cells=tuple(
        replace(cell, is_shown=False)
        for cell in (
            *losses(_MODELS, STABLE_DIFFUSION, SMALL_TASKS),
            *losses(_MODELS, STABLE_DIFFUSION, SMALL_TASKS, suffix=_FROZEN, schedule="frozen"),
        )
    ),
    prints=("table16",),
    analyse=training_gains,
    claims=(
        "A positive t favours training the aligner. A p-value printed as 0.00 is below 0.005.",
        "The steps of one run are no independent samples, so p says less than it seems to, there as here.",
    ),
    plot="levels",
)
