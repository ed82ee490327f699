"""Table 9: tasks whose texts have pictures, which the teacher sees and the student does not."""

from dataclasses import replace

from distill.studies.derived import best_of_losses
from distill.studies.grids import losses, undistilled
from distill.studies.questions import against_baseline
from distill.studies.study import LOSSES, Cell, Study

_MODELS, _FILMS, _MEMES = ("bert-base",), ("MM-IMDb",), ("Hateful Memes",)


def _by_f1(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    return tuple(
        replace(cell, key=replace(cell.key, metric=metric))
        for cell in cells
        for metric in ("f1_micro", "f1_macro")
    )


TABLE09 = Study(
    name="table09",
    title="BERT-base on the texts of MM-IMDb and Hateful Memes",
    cells=(
        *_by_f1(undistilled(_MODELS, _FILMS)),
        *undistilled(_MODELS, _MEMES),
        *_by_f1(losses(_MODELS, "resnet50", _FILMS)),
        *losses(_MODELS, "not-stated", _MEMES),
    ),
    prints=("table09",),
    derive=(best_of_losses(),),
    questions=(against_baseline(LOSSES),),
    claims=("The teacher of Hateful Memes is not named.",),
)
