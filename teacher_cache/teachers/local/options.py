"""The options of `transformers:`, and the device and the arithmetic that follow from them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.errors import ConfigError

Device = Literal["cpu", "cuda"]
Dtype = Literal["float32", "bfloat16", "float16"]
Pooling = Literal["mean", "last", "first"]


class LocalOptions(BaseModel):
    """`--option KEY=VALUE` of this backend.

    Attributes:
        dtype: of weights and arithmetic; `auto` is bfloat16 on CUDA and float32 on a CPU.
        device: `auto` is CUDA where there is one.
        pooling: of the prompt's hidden states; None is the last token of a model that reads from left to
            right, since no other token has seen the whole prompt, and the mean of an encoder.
        layer: whose hidden states are pooled; 0 is the embeddings, -1 the last layer.
        chat: whether prompts go through the chat template; `auto` where there is one.
        revision: branch, tag or commit of a model of the hub.
        trust_remote_code: whether code that comes with the model may run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    pooling: Pooling | None = None
    layer: int = -1
    chat: Literal["auto", "true", "false"] = "auto"
    revision: str | None = None
    trust_remote_code: bool = False


def find_device(options: LocalOptions) -> Device:
    """Where the model runs.

    Raises:
        ConfigError: CUDA is asked for and there is none.
    """
    if options.device == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if options.device == "cuda":
        raise ConfigError(
            "--option device=cuda: torch finds no CUDA device; give --option device=cpu, or install a torch "
            "built for your driver"
        )
    return "cpu"


def find_dtype(options: LocalOptions, device: Device) -> Dtype:
    """The arithmetic, by the device where it is left to us."""
    if options.dtype == "auto":
        return "bfloat16" if device == "cuda" else "float32"
    return options.dtype
