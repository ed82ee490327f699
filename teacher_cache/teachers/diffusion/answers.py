"""A batch of examples through a loaded pipeline: one answer a row."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from schemas.answer import Answer
from schemas.errors import TeacherError
from schemas.example import Example
from teacher_cache.kept_pictures import keep_picture
from teacher_cache.teachers.diffusion.drawing import Drawer, Drawn, defaults_of
from teacher_cache.teachers.diffusion.prompts import cut_at, refusal, tokenizers_of
from teacher_cache.teachers.random_projection import RandomProjection

BLANKED = "the pipeline's safety checker blanked the picture"


class DiffusionAnswers:
    """Asks a loaded pipeline.

    Args:
        drawer: of texts.
        projection: of what is kept; None keeps it as it is.
        media_folder: where pictures are kept; None keeps none.
    """

    def __init__(
        self, drawer: Drawer, projection: RandomProjection | None, media_folder: Path | None
    ) -> None:
        self._drawer, self._projection, self._folder = drawer, projection, media_folder
        self._tokenizers = tokenizers_of(drawer.pipeline, defaults_of(drawer.pipeline))

    def answer(self, examples: Sequence[Example]) -> list[Answer]:
        """Draw the rows that can be drawn, in one batch."""
        answers = {one.id: Answer(error=why) for one in examples if (why := refusal(one))}
        asked = [one for one in examples if one.id not in answers]
        if asked:
            drawn = self._drawer.draw([one.id for one in asked], [one.prompt or "" for one in asked])
            answers |= {one.id: self._answer(one, made) for one, made in zip(asked, drawn, strict=True)}
        return [answers[one.id] for one in examples]

    def _answer(self, example: Example, drawn: Drawn) -> Answer:
        if drawn.values is None:
            return Answer(error=BLANKED)
        if len(drawn.values) != self._drawer.plan.num_values:
            raise TeacherError(
                f"{type(self._drawer.pipeline).__name__} gives {len(drawn.values)} values, its configuration "
                f"says {self._drawer.plan.num_values}; give another pipeline"
            )
        values = drawn.values if self._projection is None else self._projection(drawn.values)
        with np.errstate(over="ignore"):
            stored = values.astype(np.float16)
        if not np.isfinite(stored).all():
            return Answer(error="the latents are not all finite numbers of 16 bits")
        if self._folder is not None and drawn.image is not None:
            keep_picture(self._folder, example.id, drawn.image)
        return Answer(repr=stored, finish_reason=cut_at(example.prompt or "", self._tokenizers))
