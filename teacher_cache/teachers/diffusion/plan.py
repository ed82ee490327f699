"""What a pipeline of `diffusers:` can draw, and how many numbers that is, before its weights are read."""

import inspect
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from schemas.errors import ConfigError, TeacherError
from schemas.manifest import Plain
from teacher_cache.teachers.diffusion.folder import PipelineFolder
from teacher_cache.teachers.diffusion.options import DiffusionOptions, Frames, Way

SMALL = 128
"""Edge of the paper's pictures, pixels."""
GREY = 512
"""Edge of the grey picture of a video's first frame, pixels."""
NUM_FRAMES = 64
_ASKED_WITH = frozenset({"prompt", "height", "generator", "num_inference_steps", "output_type"})
# A call that takes one of these draws over something else, or makes no picture.
_NOT_FROM_TEXT = frozenset({"strength", "mask_image", "control_image", "video", "audio_length_in_s"})


@dataclass(frozen=True, kw_only=True)
class DrawingPlan:
    """What is drawn of a text, and which numbers of it are kept.

    Attributes:
        kind: of the pipeline.
        channels: of its latents.
        scale: pixels along an edge that one latent stands for.
        size: edge of what is drawn, pixels.
        way: of a picture.
        strength: of drawing over.
        num_frames: of a video.
        frames: what is kept of a video.
    """

    kind: Literal["image", "video"]
    channels: int
    scale: int
    size: int
    way: Way = "direct"
    strength: float = 0.75
    num_frames: int = NUM_FRAMES
    frames: Frames = "first"

    @cached_property
    def num_values(self) -> int:
        """Numbers of a representation, before any projection."""
        if self.kind == "video" and self.frames == "picture":
            return GREY * GREY
        of_one = self.channels * (self.size // self.scale) ** 2
        return of_one * (self.num_frames if self.kind == "video" and self.frames == "all" else 1)

    @property
    def options(self) -> dict[str, Plain]:
        """What an identity keeps of it."""
        if self.kind == "video":
            return {"size": self.size, "num_frames": self.num_frames, "frames": self.frames}
        strength: dict[str, Plain] = {"strength": self.strength} if self.way == "image-to-image" else {}
        return {"size": self.size, "way": self.way, **strength}


def plan_drawing(folder: PipelineFolder, options: DiffusionOptions) -> DrawingPlan:
    """Read what the pipeline draws, and apply the options to it.

    Raises:
        ConfigError: an option that this pipeline has no use for, or a size that it cannot draw.
        TeacherError: it makes no pictures or videos of texts, or has no VAE.
    """
    kind = _kind(folder)
    if "vae" not in folder.components:
        raise TeacherError(
            f"{folder.path}: {folder.class_name} has no VAE, so it has no latents to keep; give a pipeline "
            "of latent diffusion"
        )
    _check_meaning(folder, options, kind)
    channels, scale = _latents(folder)
    size = options.size or (SMALL if kind == "image" else _own_size(folder, scale))
    if size % scale:
        raise ConfigError(
            f"--option size={size}: {folder.name} draws in steps of {scale} pixels; "
            f"give {size // scale * scale or scale}"
        )
    return DrawingPlan(
        kind=kind,
        channels=channels,
        scale=scale,
        size=size,
        way=options.way or "direct",
        strength=options.strength or 0.75,
        num_frames=options.num_frames or NUM_FRAMES,
        frames=options.frames or "first",
    )


def _kind(folder: PipelineFolder) -> Literal["image", "video"]:
    """Judge by what the pipeline's call takes; one with code of its own is taken at its word."""
    import diffusers

    name = folder.class_name
    known = getattr(diffusers, name, None)
    if known is None:
        if isinstance(folder.folder.json("model_index.json").get("_class_name"), list):
            return "image"
        raise TeacherError(f"{folder.path}: diffusers has no pipeline {name}; give one that it has")
    taken = inspect.signature(known.__call__).parameters
    if name == "TextToVideoSDPipeline":
        return "video"
    from_text = set(taken) >= _ASKED_WITH and not _NOT_FROM_TEXT & set(taken)
    if not from_text or "num_frames" in taken or ("image" in taken and not _may_go_without_image(name)):
        raise TeacherError(
            f"{folder.path}: {name} makes no picture of a text alone; give a text-to-image pipeline, or a "
            "TextToVideoSDPipeline"
        )
    return "image"


def _may_go_without_image(name: str) -> bool:
    from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

    made = {one.__name__ for one in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()}
    return name in made and "Control" not in name


def _check_meaning(
    folder: PipelineFolder, options: DiffusionOptions, kind: Literal["image", "video"]
) -> None:
    other = ("way", "strength") if kind == "video" else ("num_frames", "frames")
    if wrong := [name for name in other if getattr(options, name) is not None]:
        made = "videos" if kind == "video" else "pictures"
        key = wrong[0].replace("_", "-")
        raise ConfigError(f"--option {key}: {folder.name} makes {made}, which have none; leave it out")


def _latents(folder: PipelineFolder) -> tuple[int, int]:
    """Channels of the latents, and pixels that one of them stands for."""
    config = folder.config("vae")
    blocks = config.get("block_out_channels") or config.get("encoder_block_out_channels")
    channels = config.get("latent_channels")
    if not isinstance(channels, int) or not isinstance(blocks, list):
        raise TeacherError(
            f"{folder.path / 'vae'}: the shape of a {config.get('_class_name')}'s latents is not known "
            "before it is loaded; give a pipeline with an AutoencoderKL"
        )
    return channels, 2 ** (len(blocks) - 1)


def _own_size(folder: PipelineFolder, scale: int) -> int:
    size: Any = folder.config("unet").get("sample_size")
    if not isinstance(size, int):
        raise ConfigError(f"{folder.name} names no size of its own; give --option size=256")
    return size * scale
