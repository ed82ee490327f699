"""Table 10: the auxiliary heads, which read the shared space, beside the output heads."""

from collections.abc import Callable
from dataclasses import replace

from distill.studies.grids import SMALL_TASKS, STABLE_DIFFUSION, aligner, losses
from distill.studies.study import ALIGNER_ROW, Key, Study, Values

_MODELS, _WAY = ("bert-base",), "auxiliary-head"


def _output_of(key: Key) -> Key:
    name = "output-head" if key.model == ALIGNER_ROW else key.variant.removesuffix(f"/{_WAY}")
    return replace(key, variant=name)


def agreement(what: str, belongs: Callable[[Key], bool]) -> Callable[[Values], list[tuple[str, str]]]:
    """Do auxiliary and output heads rank tasks, losses and seeds alike?

    Args:
        what: is asked about, in words.
        belongs: which auxiliary numbers count.
    """

    def ask(values: Values) -> list[tuple[str, str]]:
        from distill.analyses.heads import head_agreement
        from schemas.errors import AnalysisError

        pairs = [
            (values[other][seed], value)
            for key, by_seed in values.items()
            if key.variant.endswith(_WAY) and belongs(key) and (other := _output_of(key)) in values
            for seed, value in by_seed.items()
            if seed in values[other]
        ]
        try:
            found = head_agreement([one for one, _ in pairs], [one for _, one in pairs])
        except AnalysisError:
            return []
        said = (
            f"Spearman {found.spearman:.2f} (p {found.p_value:.2g}), output less auxiliary {found.gap:+.2f}, "
            f"n = {found.num_pairs}"
        )
        return [(f"auxiliary beside output heads, {what}", said)]

    return ask


TABLE10 = Study(
    name="table10",
    title="Auxiliary heads beside output heads, BERT-base on the small tasks",
    cells=(
        *aligner(_WAY, STABLE_DIFFUSION, "bert-base", SMALL_TASKS, head="aligner_aux"),
        *aligner("output-head", STABLE_DIFFUSION, "bert-base", SMALL_TASKS),
        *(
            replace(cell, key=replace(cell.key, variant=f"{cell.key.variant}/{_WAY}"), head="student_aux")
            for cell in losses(_MODELS, STABLE_DIFFUSION, SMALL_TASKS)
        ),
        *losses(_MODELS, STABLE_DIFFUSION, SMALL_TASKS),
    ),
    prints=("table10", "table02", "table06"),
    questions=(
        agreement("student", lambda key: key.model == "bert-base"),
        agreement("aligner", lambda key: key.model == ALIGNER_ROW),
    ),
    claims=(
        (
            "The text gives Spearman 0.99 for the student and 0.69 for the aligner, and gaps of 0.61 and "
            "6.07. The printed cells give 0.99 and 0.55, and gaps of 2.2 and 7.5."
        ),
    ),
    plot="levels",
)
