"""What two students answered for the same rows, and which of them was right where.

Letters: R rows that both reported.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from distill.analyses.finished import Finished
from distill.export import PREDICTIONS_NAME
from schemas.errors import AnalysisError
from schemas.tasks import LabelKind, TaskSpec

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Two students on the same rows, in the order of the distilled one's split.

    Attributes:
        task: of both.
        ids: of the rows.
        gold: right answers: class ids, a list of 0 and 1 for each row of several labels, or texts.
        distilled: what the distilled student answered, likewise.
        undistilled: what the undistilled one did.
        distilled_right_R: where the distilled student is right.
        undistilled_right_R: where the undistilled one is.
    """

    task: TaskSpec
    ids: tuple[str, ...]
    gold: list[Any]
    distilled: list[Any]
    undistilled: list[Any]
    distilled_right_R: Flags
    undistilled_right_R: Flags

    @property
    def scenarios(self) -> dict[int, Flags]:
        """Rows, (R,), of scenario 1, the distilled student right and the undistilled wrong; 2, the reverse.

        Source: arXiv 2603.10877, Figure 8 and Table 14.
        """
        ours_R, others_R = self.distilled_right_R, self.undistilled_right_R
        return {1: ours_R & ~others_R, 2: ~ours_R & others_R}

    @property
    def classes_R(self) -> NDArray[np.int64]:  # noqa: N802 - a shape suffix
        """The gold class of each row, (R,).

        Raises:
            AnalysisError: the task's rows have not one class each.
        """
        if self.task.label_kind is not LabelKind.SINGLE:
            raise AnalysisError(
                f"task {self.task.name}: labels are {self.task.label_kind}, wanted one class a row; groups "
                "by gold class are made of such tasks only"
            )
        return np.array(self.gold, np.int64)

    def name_of(self, answer: Any) -> str:
        """An answer in words: names of classes where the task has them."""
        classes = self.task.classes
        if self.task.label_kind is LabelKind.SINGLE:
            return classes[answer]
        if self.task.label_kind is LabelKind.MULTI:
            return ", ".join(name for name, holds in zip(classes, answer, strict=True) if holds)
        return str(answer)


def answers_of(distilled: Finished, undistilled: Finished) -> Answers:
    """Join what two runs left in `predictions.parquet`, by the ids of the rows.

    Raises:
        AnalysisError: the runs are of two tasks or reported different rows, their predictions are damaged, or
            no answer of the task is right or wrong.
    """
    if distilled.run.task != undistilled.run.task:
        raise AnalysisError(
            f"{distilled.folder} is of task {distilled.run.task}, {undistilled.folder} of "
            f"{undistilled.run.task}; give two runs of one task"
        )
    task = distilled.task
    ours, others = _predictions(distilled, task), _predictions(undistilled, task)
    both = ours.join(
        others, on="example_id", how="inner", suffix="_undistilled", maintain_order="left", validate="1:1"
    )
    if not both.height == ours.height == others.height:
        raise AnalysisError(
            f"{distilled.folder} reported {ours.height} rows, {undistilled.folder} {others.height}, of which "
            f"{both.height} are the same; give two runs of one cache and protocol"
        )
    return Answers(
        task=task,
        ids=tuple(both["example_id"]),
        gold=both["label"].to_list(),
        distilled=both["predicted"].to_list(),
        undistilled=both["predicted_undistilled"].to_list(),
        distilled_right_R=both["right"].to_numpy(),
        undistilled_right_R=both["right_undistilled"].to_numpy(),
    )


def _predictions(finished: Finished, task: TaskSpec) -> pl.DataFrame:
    path = finished.folder / PREDICTIONS_NAME
    try:
        table = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise AnalysisError(
            f"{path} is cut short or damaged ({error}); delete it and run the same distill command again"
        ) from None
    if task.label_kind is LabelKind.REGRESSION or task.metric == "rouge_l":
        raise AnalysisError(
            f"task {task.name} is measured by {task.metric}: its answers are near or far, not right or "
            "wrong; give runs of a task with classes or exact answers"
        )
    if task.label_kind is not LabelKind.GENERATIVE:
        equal = np.array(table["label"].to_list()) == np.array(table["predicted"].to_list())
        table = table.with_columns(right=equal if equal.ndim == 1 else equal.all(axis=1))
    return table.select("example_id", "label", "predicted", "right")
