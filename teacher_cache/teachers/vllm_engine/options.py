"""The options of `vllm:`, and what can be refused about them before vLLM is imported, which takes seconds."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import ConfigError
from teacher_cache.teachers.local.options import LocalOptions, Pooling
from teacher_cache.teachers.teacher import WHOLE_VOCABULARY, TeacherSettings

# vLLM raises lower ones in silence, and refuses higher ones.
_COLDEST, _HOTTEST = 0.01, 2.0


class VllmOptions(BaseModel):
    """`--option KEY=VALUE` of this backend.

    Attributes:
        dtype: of weights and arithmetic; `auto` is bfloat16 on CUDA and float32 on a CPU.
        pooling: of the prompt's hidden states, as for `transformers:`.
        chat: whether prompts go through the chat template; `auto` where there is one.
        logprobs_mode: before (`raw`) or after (`processed`) the temperature.
        adapter: folder of a LoRA adapter that was trained on this model.
        quantization: in vLLM's words; None is what the model's configuration says.
        max_model_len: most tokens of prompt and text together; None is the model's context.
        tensor_parallel_size: GPUs that share the model.
        gpu_memory_utilization: share of a GPU's memory that is taken; None is vLLM's own.
        kv_cache_gb: memory for keys and values, GiB; None is 4 on a CPU, and what is left on a GPU.
        enforce_eager: no compiled graphs; None compiles on CUDA alone.
        prefix_caching: keep keys and values of equal beginnings; None does so on CUDA alone, since the same
            row then gives the same bits whatever was asked before.
        revision: branch, tag or commit of a model of the hub.
        trust_remote_code: whether code that comes with the model may run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    pooling: Pooling | None = None
    chat: Literal["auto", "true", "false"] = "auto"
    logprobs_mode: Literal["raw_logprobs", "processed_logprobs"] = "raw_logprobs"
    adapter: Path | None = None
    quantization: str | None = None
    max_model_len: int | None = Field(None, ge=1)
    tensor_parallel_size: int = Field(1, ge=1)
    gpu_memory_utilization: float | None = Field(None, gt=0, le=1)
    kv_cache_gb: float | None = Field(None, gt=0)
    enforce_eager: bool | None = None
    prefix_caching: bool | None = None
    revision: str | None = None
    trust_remote_code: bool = False

    @property
    def local(self) -> LocalOptions:
        """Those that `transformers:` has too."""
        return LocalOptions(
            dtype=self.dtype,
            pooling=self.pooling,
            chat=self.chat,
            revision=self.revision,
            trust_remote_code=self.trust_remote_code,
        )

    def check(self, settings: TeacherSettings) -> None:
        """Refuse what vLLM cannot do.

        Raises:
            ConfigError: a temperature out of its range; whole distributions of a model on several GPUs.
        """
        temperature = settings.generation.temperature
        if temperature and not _COLDEST <= temperature <= _HOTTEST:
            raise ConfigError(
                f"--sampling-temperature {temperature:g}: vLLM takes 0, or {_COLDEST:g} to {_HOTTEST:g}"
            )
        if self.watches(settings) and self.tensor_parallel_size > 1:
            raise ConfigError(
                f"--option tensor-parallel-size={self.tensor_parallel_size}: whole distributions (--codec "
                "sampled, --top-k -1, --score beside an adapter) are seen in one process alone; leave it "
                "out, or give --top-k 1 or more"
            )

    def watches(self, settings: TeacherSettings) -> bool:
        """Whether entries are chosen where the whole distribution is, and not of the most probable ones."""
        entries = settings.entries
        sees_all = entries.codec == "sampled" or entries.top_k == WHOLE_VOCABULARY
        # vLLM mixes up the rows of a prompt's log-probabilities where there is an adapter.
        is_mixed_up = entries.given_answers and self.adapter is not None
        return "logprobs" in settings.store and (sees_all or is_mixed_up)
