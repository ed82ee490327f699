"""Serving: what the loop costs beside a vLLM server, and vLLM in process beside the bare library.

The server has SmolLM2-135M in float32 on this CPU, in a process of `.venv-vllm`. It is asked by
cache-teacher, which keeps every answer with an fsync, and by a bare asyncio client that throws them away: the
same prompts, as many in flight, in turns. The second part runs on a GPU alone, in an environment that has
vLLM.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.bare_client import ask_all
from benchmarks.measure import ROOT, Claim, claim_of, seconds_of
from schemas.example import Example
from teacher_cache.cache import cache_teacher
from teacher_cache.config import CacheConfig
from teacher_cache.plan import make_plan

_PYTHON = ROOT / ".venv-vllm/bin/python"
_MODEL = ROOT / "data/models/smollm2-135m-instruct"
_SOURCE = ROOT / "data/tasks/movie-reviews"
_NAME = "smollm2"
_ROWS, _IN_FLIGHT, _MAX_TOKENS, _ROUNDS = 48, 16, 16, 5
_GPU_ROWS, _GPU_MAX_TOKENS = 2048, 256
_SECONDS_TO_START = 300


def run() -> list[Claim]:
    """Measure where vLLM is; say in one line where it is not."""
    if find_spec("vllm") is not None and _has_cuda():
        return [*_served(sys.executable), _in_process()]
    if not _PYTHON.exists():
        print("serving: no .venv-vllm, so nothing is measured; run make vllm-env first")
        sys.exit(0)
    print("serving: not run: tokens a second of vllm: by the bare library, which wants a GPU")
    return _served(str(_PYTHON))


def _served(python: str) -> list[Claim]:
    examples = _examples(_ROWS)
    with _server(python) as url:
        _bare(url, examples)
        _cached(url)  # now all that is imported late is there
        pairs = [(_cached(url), _bare(url, examples)) for _ in range(_ROUNDS)]
    seconds = sorted(summary["seconds"] for summary, _ in pairs)[_ROUNDS // 2]
    bare = sorted(seconds for _, seconds in pairs)[_ROUNDS // 2]
    own = [1 - summary["teacher_seconds"] / summary["seconds"] for summary, _ in pairs]
    return [
        claim_of(
            "share of its time that the loop does not wait for the server",
            own,
            at_most=0.05,
            detail=f"{_ROWS} rows, {_IN_FLIGHT} in flight, {_MAX_TOKENS} tokens each: {seconds:.2f} s",
        ),
        claim_of(
            "cache-teacher against a bare asyncio client that keeps nothing",
            [summary["seconds"] / seconds for summary, seconds in pairs],
            at_most=1.05,
            detail=f"{seconds:.2f} and {bare:.2f} s",
        ),
    ]


def _examples(rows: int) -> Sequence[Example]:
    return make_plan(CacheConfig(model="none", source=_SOURCE, limit=rows)).examples


def _cached(url: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return cache_teacher(
            CacheConfig(
                model=f"openai:{_NAME}",
                source=_SOURCE,
                limit=_ROWS,
                base_url=url,
                concurrency=_IN_FLIGHT,
                max_tokens=_MAX_TOKENS,
                out=Path(folder) / "cache",
                quiet=True,
            )
        )


def _bare(url: str, examples: Sequence[Example]) -> float:
    asked = ask_all(url, _NAME, examples, in_flight=_IN_FLIGHT, max_tokens=_MAX_TOKENS)
    return seconds_of(lambda: asyncio.run(asked))


@contextmanager
def _server(python: str) -> Generator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        python,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(_MODEL),
        "--port",
        str(port),
    ]
    command += ["--served-model-name", _NAME, "--dtype", "float32", "--enforce-eager"]
    command += ["--no-enable-prefix-caching", "--generation-config", "vllm"]
    environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet) as process:
        try:
            _wait(process, port)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    sys.exit(f"serving: no server on port {port} after {_SECONDS_TO_START} s")


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _in_process() -> Claim:
    """Prompts a second of the whole command by those of `LLM.generate` on the same prompts."""
    pairs = [(_through_vllm_backend(), _through_library()) for _ in range(2)]
    return claim_of(
        "rows a second, cache-teacher --model vllm: by LLM.generate, loading included in both",
        [bare / ours for ours, bare in pairs],
        at_least=0.9,
        detail=f"{_GPU_ROWS} rows of up to {_GPU_MAX_TOKENS} tokens",
    )


def _through_vllm_backend() -> float:
    with tempfile.TemporaryDirectory() as folder:
        config = CacheConfig(
            model=f"vllm:{_MODEL}",
            source=_SOURCE,
            limit=_GPU_ROWS,
            max_tokens=_GPU_MAX_TOKENS,
            batch_size=1024,
            rows_per_shard=_GPU_ROWS,
            out=Path(folder) / "cache",
            quiet=True,
        )
        return seconds_of(lambda: cache_teacher(config))


def _through_library() -> float:
    from vllm import LLM, SamplingParams  # pyright: ignore[reportMissingImports]

    def generate() -> None:
        llm = LLM(str(_MODEL), dtype="bfloat16")
        params = SamplingParams(temperature=0, max_tokens=_GPU_MAX_TOKENS)
        turns = [[{"role": "user", "content": example.prompt or ""}] for example in _examples(_GPU_ROWS)]
        llm.chat(turns, params, use_tqdm=False)  # pyright: ignore[reportArgumentType]
        llm.llm_engine.engine_core.shutdown()

    return seconds_of(generate)
