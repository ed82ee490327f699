"""The options of `diffusers:`, and what follows from them before a pipeline is looked at."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import ConfigError
from teacher_cache.teachers.local.options import Device

Way = Literal["direct", "image-to-image"]
Frames = Literal["first", "all", "picture"]
DiffusionDtype = Literal["float32", "float16", "bfloat16"]


class DiffusionOptions(BaseModel):
    """`--option KEY=VALUE` of this backend.

    Attributes:
        way: of pictures: the latents of a small picture made from the text (`direct`), or of a full-size one
            made from the text, made small and drawn over with the same text (`image-to-image`).
        size: edge of the picture or video, pixels; None is 128 for pictures, the pipeline's own for videos.
        steps: of denoising.
        guidance: scale of classifier-free guidance.
        strength: of image-to-image, how much of the small picture is drawn anew.
        num_frames: of a video.
        frames: what is kept of a video: the latents of its `first` frame, of `all`, or the first as a grey
            `picture` of 512 x 512.
        project: width of a random projection of what is kept; None keeps it as it is.
        project_seed: of that projection.
        seed: of the noise; a row's own seed follows from it and the row's id.
        adapter: folder or file of a LoRA adapter.
        adapter_scale: how strongly it acts.
        safety_checker: whether a pipeline's own checker looks at the pictures.
        dtype: of weights and arithmetic; `auto` is float16 on CUDA and float32 on a CPU.
        device: `auto` is CUDA where there is one.
        variant: of the weights' files, such as `fp16`.
        revision: branch, tag or commit of a pipeline of the hub.
        trust_remote_code: whether code that comes with the pipeline may run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    way: Way | None = None
    size: int | None = Field(None, ge=8)
    steps: int = Field(20, ge=1)
    guidance: float = Field(7.5, ge=0)
    strength: float | None = Field(None, gt=0, le=1)
    num_frames: int | None = Field(None, ge=1)
    frames: Frames | None = None
    project: int | None = Field(None, ge=1)
    project_seed: int | None = Field(None, ge=0)
    seed: int = Field(0, ge=0)
    adapter: Path | None = None
    adapter_scale: float | None = None
    safety_checker: bool = True
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    variant: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False

    def check(self) -> None:
        """Refuse options that have no meaning without another.

        Raises:
            ConfigError: there is one.
        """
        if self.project_seed is not None and self.project is None:
            raise ConfigError("--option project-seed: nothing is projected; give --option project=1024 too")
        if self.adapter_scale is not None and self.adapter is None:
            raise ConfigError("--option adapter-scale: there is no adapter; give --option adapter=DIR too")
        if self.strength is not None and self.way != "image-to-image":
            raise ConfigError(
                "--option strength is of the way image-to-image; give --option way=image-to-image too"
            )
        if int(self.steps * (self.strength or 1)) < 1:
            raise ConfigError(
                f"--option strength={self.strength:g} leaves none of {self.steps} steps; give more of both"
            )

    def find_dtype(self, device: Device) -> DiffusionDtype:
        """The arithmetic, by the device where it is left to us."""
        if self.dtype == "auto":
            return "float16" if device == "cuda" else "float32"
        return self.dtype
