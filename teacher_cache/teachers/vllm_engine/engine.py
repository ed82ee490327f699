"""vLLM in this process: loading an engine, or saying in one line why not; asking it, row by row in step."""

import gc
import logging
import os
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Event
from typing import Any

from schemas.answer import Answer
from schemas.errors import TeacherError
from teacher_cache.teachers.local.folder import ModelFolder
from teacher_cache.teachers.local.generation import LeftError
from teacher_cache.teachers.local.loading import is_out_of_memory
from teacher_cache.teachers.local.prompts import one_line
from teacher_cache.teachers.vllm_engine.adapter import Adapter

# Read when vLLM is imported. It would start a process of its own, tell its makers, and write pages of log.
_ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "CRITICAL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request.

    Attributes:
        row: id of the example.
        prompt: in vLLM's words.
        params: of sampling or pooling.
        check: told the number of the prompt's tokens, pictures included; raises what is wrong with it.
        read: makes an answer of what came.
    """

    row: str
    prompt: Mapping[str, Any]
    params: Any
    check: Callable[[int], None]
    read: Callable[[Any], Answer]


class Engine:
    """One engine, used by one thread.

    Args:
        folder: of the model.
        arguments: of `vllm.LLM`.
        adapter: of the model.

    Raises:
        TeacherError: vLLM cannot load the model, or there is no memory for it.
    """

    def __init__(self, folder: ModelFolder, arguments: Mapping[str, Any], adapter: Adapter | None) -> None:
        self._name = folder.name
        with _as_teacher_error(folder):
            self._llm = _load(folder, arguments)
            self._adapter = _adapter(adapter)
        self._ids = count()

    def ask(self, questions: Sequence[Question], left: Event) -> Iterator[tuple[Question, Answer]]:
        """Ask all at once; answers come as they are ready.

        Raises:
            LeftError: `left` was set.
            TeacherError: the engine cannot go on.
        """
        engine = self._llm.llm_engine
        waiting: dict[str, Question] = {}
        try:
            for question in questions:
                name = str(next(self._ids))
                fault = self._add(name, question)
                if fault is None:
                    waiting[name] = question
                else:
                    yield question, Answer(error=fault)
            while waiting:
                if left.is_set():
                    raise LeftError
                for output in self._step():
                    if output.finished:
                        question = waiting.pop(output.request_id)
                        yield question, question.read(output)
        finally:
            if waiting:
                engine.abort_request(list(waiting))

    def close(self) -> None:
        """Free its memory."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        gc.collect()

    def _add(self, name: str, question: Question) -> str | None:
        """Hand in a request; why it cannot be."""
        llm = self._llm
        try:
            (rendered,) = llm.renderer.render_cmpl([question.prompt])
            question.check(len(rendered["prompt_token_ids"]))
            llm.llm_engine.add_request(name, rendered, question.params, lora_request=self._adapter)
        except Exception as error:  # noqa: BLE001 - each model's processor has checks and errors of its own
            return one_line(error)
        return None

    def _step(self) -> Sequence[Any]:
        try:
            return self._llm.llm_engine.step()
        except Exception as error:
            advice = (
                "give a lower --option max-model-len or kv-cache-gb, and " if is_out_of_memory(error) else ""
            )
            raise TeacherError(
                f"{self._name}: vLLM stopped ({one_line(error)}); {advice}run the same command again"
            ) from error


def _load(folder: ModelFolder, arguments: Mapping[str, Any]) -> Any:
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("torch._library").setLevel(
        logging.ERROR
    )  # it misses triton, which a CPU has no use for
    import torch
    from vllm import LLM  # pyright: ignore[reportMissingImports]

    if arguments["enforce_eager"]:
        # vLLM compiles a function or two even so, which takes a compiler and twenty seconds.
        torch.compiler.set_stance("force_eager")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what vLLM stands on
        return LLM(str(folder.path), disable_log_stats=True, use_tqdm_on_load=False, **arguments)


def _adapter(adapter: Adapter | None) -> Any:
    if adapter is None:
        return None
    from vllm.lora.request import LoRARequest  # pyright: ignore[reportMissingImports]

    return LoRARequest(adapter.path.name, 1, str(adapter.path))


@contextmanager
def _as_teacher_error(folder: ModelFolder) -> Generator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - vLLM and all that it stands on check and read here
        words = one_line(error)
        if is_out_of_memory(error) or "memory" in str(error).lower():
            raise TeacherError(
                f"{folder.path}: no memory for the model and its cache ({words}); give --option "
                "max-model-len or kv-cache-gb another value, or a smaller model"
            ) from None
        raise TeacherError(
            f"{folder.path}: vLLM cannot load it ({words}); try --model transformers:"
        ) from None


def forget_engines() -> None:
    """Undo what engines leave in the process, once none is left."""
    from vllm.distributed import cleanup_dist_env_and_memory  # pyright: ignore[reportMissingImports]

    cleanup_dist_env_and_memory()
