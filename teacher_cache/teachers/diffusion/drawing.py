"""Texts through a loaded pipeline: latents, and pictures where somebody looks at them.

Letters: B texts, C channels, F frames, H and W latents along the edges.
"""

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image, Resampling
from torch import Tensor

from teacher_cache.teachers.diffusion.plan import GREY, DrawingPlan


class LeftError(Exception):
    """Nobody wants the drawing any more; it ends after the step that it is at."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was made of one text.

    Attributes:
        values: what is kept, flat; None where the picture was blanked.
        image: as it was seen; None where nobody looks.
    """

    values: NDArray[np.float32] | None
    image: Image | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawer:
    """Asks a pipeline.

    Attributes:
        pipeline: loaded.
        redraw: its image-to-image sibling, with the same components; None where it is not asked.
        plan: what is drawn and kept.
        steps: of denoising.
        guidance: scale.
        seed: of all noise.
        looks: whether pictures are made of the latents: to keep them, or for the safety checker.
        left: set when no more is wanted.
    """

    pipeline: Any
    redraw: Any
    plan: DrawingPlan
    steps: int
    guidance: float
    seed: int
    looks: bool
    left: Event

    def draw(self, ids: Sequence[str], texts: Sequence[str]) -> list[Drawn]:
        """Draw each text in one batch; noise follows from the seed and the row's id alone."""
        if self.plan.kind == "video":
            return self._video(ids, texts)
        if self.plan.way == "direct":
            return self._direct(ids, texts)
        return self._over(ids, texts)

    def _direct(self, ids: Sequence[str], texts: Sequence[str]) -> list[Drawn]:
        size = self.plan.size
        output, latents_B = self._ask(self.pipeline, ids, texts, look=self.looks, height=size, width=size)
        images = output.images if self.looks else [None] * len(texts)
        return [
            Drawn(None if blank else flat(latents), image)
            for latents, image, blank in zip(latents_B, images, _blanked(output, len(texts)), strict=True)
        ]

    def _over(self, ids: Sequence[str], texts: Sequence[str]) -> list[Drawn]:
        """Draw each text at full size, make the picture small, and draw over it with the same text."""
        output, _ = self._ask(self.pipeline, ids, texts, look=True)
        whole = [at for at, blank in enumerate(_blanked(output, len(texts))) if not blank]
        drawn = [Drawn(None, image) for image in output.images]
        if not whole:
            return drawn
        size = self.plan.size
        # Some take the size from the picture, others make it their own unless they are told.
        told = {"height": size, "width": size} if "height" in defaults_of(self.redraw) else {}
        _, latents_B = self._ask(
            self.redraw,
            [ids[at] for at in whole],
            [texts[at] for at in whole],
            look=False,
            stage="redraw",
            # Pillow's own pictures: the pipeline scales them from 0..255 to -1..1, as its VAE wants them.
            image=[output.images[at].convert("RGB").resize((size, size), Resampling.LANCZOS) for at in whole],
            strength=self.plan.strength,
            **told,
        )
        for at, latents in zip(whole, latents_B, strict=True):
            drawn[at] = replace(drawn[at], values=flat(latents))
        return drawn

    def _video(self, ids: Sequence[str], texts: Sequence[str]) -> list[Drawn]:
        plan = self.plan
        output, _ = self._ask(
            self.pipeline,
            ids,
            texts,
            look=False,
            num_frames=plan.num_frames,
            height=plan.size,
            width=plan.size,
        )
        latents_BCFHW: Tensor = output.frames
        looks = self.looks or self.plan.frames == "picture"
        images = [self._first_frame(one) if looks else None for one in latents_BCFHW[:, None]]
        return [self._kept(*pair) for pair in zip(latents_BCFHW, images, strict=True)]

    def _kept(self, latents_CFHW: Tensor, image: Image | None) -> Drawn:
        if self.plan.frames == "picture":
            assert image is not None, "somebody looks"
            grey = image.convert("L").resize((GREY, GREY), Resampling.LANCZOS)
            return Drawn(np.asarray(grey, np.float32).reshape(-1) / np.float32(255), image)
        return Drawn(flat(latents_CFHW if self.plan.frames == "all" else latents_CFHW[:, 0]), image)

    def _first_frame(self, latents_1CFHW: Tensor) -> Image:
        with torch.no_grad():
            pixels = self.pipeline.decode_latents(latents_1CFHW[:, :, :1])
        return self.pipeline.video_processor.postprocess_video(pixels, output_type="pil")[0][0]

    def _ask(
        self,
        pipeline: Any,
        ids: Sequence[str],
        texts: Sequence[str],
        *,
        look: bool,
        stage: str = "draw",
        **more: Any,
    ) -> tuple[Any, Tensor]:
        """Call a pipeline; its output, and the latents of its last step."""
        taken = inspect.signature(pipeline.__call__).parameters
        kept: list[Tensor] = []
        if "guidance_scale" in taken:
            more["guidance_scale"] = self.guidance
        output = pipeline(
            prompt=list(texts),
            generator=[noise_of(self.seed, stage, one) for one in ids],
            num_inference_steps=self.steps,
            output_type="pil" if look else "latent",
            **more,
            **self._watching(taken, kept),
        )
        if look:
            return output, kept[-1]
        return output, getattr(output, "images", kept[-1])

    def _watching(self, taken: Any, kept: list[Tensor]) -> dict[str, Any]:
        """Arguments that hand over the latents after each step; older pipelines do it in another way."""

        def keep(latents: Tensor) -> None:
            if self.left.is_set():
                raise LeftError
            kept[:] = [latents]

        def after_step(_pipeline: Any, _step: int, _time: Any, values: dict[str, Any]) -> dict[str, Any]:
            keep(values["latents"])
            return {}

        if "callback_on_step_end" in taken:
            return {"callback_on_step_end": after_step}
        return {"callback": lambda _step, _time, latents: keep(latents)}


def noise_of(seed: int, stage: str, example_id: str) -> torch.Generator:
    """The noise of one row, on the CPU whatever the device, so that a GPU is given the same.

    Args:
        seed: of all noise.
        stage: `draw`, or `redraw` for the drawing over.
        example_id: of the row.
    """
    digest = hashlib.sha256(f"{seed}\n{stage}\n{example_id}".encode()).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def _blanked(output: Any, count: int) -> list[bool]:
    flags = getattr(output, "nsfw_content_detected", None)
    return [bool(flag) for flag in flags] if flags is not None else [False] * count


def flat(latents: Tensor) -> NDArray[np.float32]:
    """Latents of one text as a vector."""
    return latents.float().cpu().numpy().reshape(-1)


def defaults_of(pipeline: Any) -> dict[str, Any]:
    """What a pipeline's call takes unless told otherwise."""
    return {name: one.default for name, one in inspect.signature(pipeline.__call__).parameters.items()}
