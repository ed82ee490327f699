"""What engines are told when they are made; what the options leave open is chosen for little memory."""

from dataclasses import dataclass
from typing import Any

from teacher_cache.teachers.local.options import Device, Dtype, Pooling
from teacher_cache.teachers.teacher import TeacherSettings
from teacher_cache.teachers.vllm_engine.adapter import Adapter
from teacher_cache.teachers.vllm_engine.hook import Watches
from teacher_cache.teachers.vllm_engine.options import VllmOptions

_GIB = 1 << 30
_CPU_CACHE_GB = 4.0
_MOST_SEQUENCES = 256
# Logits of a prompt that are held at once: half a gigabyte, and as much again for what is made of them.
_MOST_LOGITS = 1 << 27
_MOST_TOKENS = 8192
# vLLM's own share of a GPU, which two engines have to share.
_GPU_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class EngineArguments:
    """Arguments of `vllm.LLM`.

    Attributes:
        options: of the backend.
        device: where the model runs.
        dtype: of weights and arithmetic.
        context: most tokens of prompt and text together; None is vLLM's reading of the model.
        vocab_size: of the model's logits.
        adapter: of the model.
        settings: of the teacher.
    """

    options: VllmOptions
    device: Device
    dtype: Dtype
    context: int | None
    vocab_size: int
    adapter: Adapter | None
    settings: TeacherSettings

    def of_writer(self, watches: Watches) -> dict[str, Any]:
        """Of the engine that writes and scores."""
        arguments = self._shared() | {
            "runner": "generate",
            "logprobs_mode": self.options.logprobs_mode,
            "max_logprobs": -1,
        }
        if self.options.watches(self.settings):
            # What stands in a request's text must be there when its next token is chosen.
            arguments |= {"logits_processors": [watches.processor()], "async_scheduling": False}
        elif "logprobs" in self.settings.store and self.settings.entries.given_answers:
            # All tokens of a prompt that are read at once have their logits in memory at once.
            num_tokens = min(max(1, _MOST_LOGITS // self.vocab_size), _MOST_TOKENS)
            arguments |= {
                "max_num_batched_tokens": num_tokens,
                "max_num_seqs": min(num_tokens, _MOST_SEQUENCES),
                "enable_chunked_prefill": True,
            }
        return arguments

    def of_pooler(self, pooling: Pooling) -> dict[str, Any]:
        """Of the engine that pools hidden states."""
        from vllm.config import PoolerConfig  # pyright: ignore[reportMissingImports]

        kind = {"last": "LAST", "mean": "MEAN", "first": "CLS"}[pooling]
        pooler = PoolerConfig(seq_pooling_type=kind, use_activation=False)
        return self._shared() | {"runner": "pooling", "convert": "embed", "pooler_config": pooler}

    def _shared(self) -> dict[str, Any]:
        options, is_cpu = self.options, self.device == "cpu"
        eager, caching = options.enforce_eager, options.prefix_caching
        num_gpus = options.tensor_parallel_size
        arguments: dict[str, Any] = {
            "dtype": self.dtype,
            "max_model_len": self.context,
            "quantization": options.quantization,
            "tensor_parallel_size": num_gpus,
            "trust_remote_code": options.trust_remote_code,
            "load_format": "safetensors",
            "enforce_eager": is_cpu if eager is None else eager,
            "enable_prefix_caching": not is_cpu if caching is None else caching,
            "mm_processor_cache_gb": 0,
            "distributed_executor_backend": "uni" if num_gpus == 1 else "mp",
        }
        if self.adapter is not None:
            arguments |= {"enable_lora": True, "max_lora_rank": self.adapter.max_rank}
        return arguments | self._memory(is_cpu=is_cpu)

    def _memory(self, *, is_cpu: bool) -> dict[str, Any]:
        options = self.options
        gigabytes = options.kv_cache_gb or (_CPU_CACHE_GB if is_cpu else None)
        num_engines = 2 if "repr" in self.settings.store and len(self.settings.store) > 1 else 1
        share = options.gpu_memory_utilization or (None if is_cpu else _GPU_SHARE)
        memory: dict[str, Any] = {}
        if gigabytes is not None:
            memory["kv_cache_memory_bytes"] = int(gigabytes * _GIB / num_engines)
        if share is not None:
            memory["gpu_memory_utilization"] = share / num_engines
        return memory
