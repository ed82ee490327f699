"""A model served by vLLM and asked through `openai:` gives the rows that `vllm:` gives in this process."""

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.answer import Answer
from schemas.codec import CODECS
from schemas.example import Example, Media, Message
from schemas.topk import TopK
from teacher_cache.media import MediaSource
from teacher_cache.teachers import BACKENDS
from teacher_cache.teachers.teacher import Entries, Generation, Service, TeacherSettings

# vLLM and what it stands on warn of their own.
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]

Rows = Callable[..., list[Example]]
Both = dict[str, list[Answer]]
PROMPTS = ("What is the capital of France?", "Say yes.", "Write one line about the sea.")
GIVEN = ("Paris, of course.", "no", "Blue.")
ENTRIES = Entries(codec="exact", top_k=6)
SERVED = "served"
SECONDS_TO_START = 240


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[str]:
    """A server of the model, and its base URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += [
        "--served-model-name",
        SERVED,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--dtype",
        "float32",
    ]
    command += ["--enforce-eager", "--no-enable-prefix-caching", "--generation-config", "vllm", *arguments]
    environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    environment |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    with tempfile.TemporaryDirectory() as logs:
        log = Path(logs) / "server.log"
        with log.open("w") as told:
            process = subprocess.Popen(command, env=environment, stdout=told, stderr=told)
        try:
            _wait(process, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(60)


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    until = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < until:
        assert process.poll() is None, f"the server ended: {log.read_text()[-2000:]}"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"no server after {SECONDS_TO_START} s: {log.read_text()[-2000:]}")


def ask(backend: str, name: str, rows: Sequence[Example], store: str, **settings: Any) -> list[Answer]:
    teacher = BACKENDS[backend].make(TeacherSettings(name=name, store=tuple(store.split(",")), **settings))

    async def asked() -> list[Answer]:
        async with teacher:
            return list(await teacher.answer(rows))

    return asyncio.run(asked())


def ask_both(
    folder: Path, url: str, asked: Sequence[Example], wanted: dict[str, dict[str, Any]]
) -> dict[str, Both]:
    """Each way of asking, through the service and in this process."""
    options = {"tokenizer": str(folder)}
    found: dict[str, Both] = {}
    for way, how in wanted.items():
        through = how | {"service": Service(base_url=url), "options": options, "concurrency": 4}
        inside = how | {"options": {"kv-cache-gb": "0.5"}}
        found[way] = {
            "openai": ask("openai", SERVED, asked, **through),
            "vllm": ask("vllm", str(folder), asked, **inside),
        }
    return found


WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"store": "text,logprobs", "generation": Generation(max_tokens=8), "entries": ENTRIES},
    "drawn": {
        "store": "text,logprobs",
        "generation": Generation(
            max_tokens=8, temperature=0.7, num_samples=2, seed=3, system="You are brief."
        ),
        "entries": ENTRIES,
    },
    "given": {"store": "logprobs", "entries": replace(ENTRIES, given_answers=True)},
}


@pytest.fixture(scope="module")
def smollm2(fetched: Path, rows: Rows) -> dict[str, Both]:
    folder = fetched / "models" / "smollm2-135m-instruct"
    with served(folder, "--max-logprobs", "-1") as url:
        return ask_both(folder, url, rows(PROMPTS, GIVEN), WAYS)


def entries_of(answer: Answer, vocab_size: int) -> TopK:
    assert answer.topk_ids is not None
    assert answer.topk_logprobs is not None
    return CODECS["exact"].decode(answer.topk_ids, answer.topk_logprobs, vocab_size)


def check_same(both: Both, vocab_size: int) -> None:
    for through, inside in zip(both["openai"], both["vllm"], strict=True):
        assert (through.error, inside.error) == (None, None)
        assert _finished(through.texts) == _finished(inside.texts)
        assert through.finish_reason == inside.finish_reason
        assert np.array_equal(through.token_ids, inside.token_ids)  # type: ignore[arg-type]
        assert np.allclose(through.token_logprobs, inside.token_logprobs, rtol=0, atol=1e-4)  # type: ignore[arg-type]
        assert np.allclose(through.tail_logprob, inside.tail_logprob, rtol=1e-2, atol=1e-3)  # type: ignore[arg-type]
        top, other = entries_of(through, vocab_size), entries_of(inside, vocab_size)
        assert np.array_equal(top.counts, other.counts)
        assert np.array_equal(top.ids, other.ids)
        assert np.allclose(top.logprobs, other.logprobs, rtol=0, atol=1e-4)


def _finished(texts: tuple[str, ...] | None) -> list[str] | None:
    """Texts without the rest of a character that the limit of tokens cut: a server tells nothing of it."""
    return None if texts is None else [text.rstrip("\N{REPLACEMENT CHARACTER}") for text in texts]


@pytest.mark.parametrize("way", WAYS)
def test_texts_entries_and_log_probabilities_are_the_same_over_http(
    smollm2: dict[str, Both], way: str
) -> None:
    check_same(smollm2[way], 49_152)


def test_usage_is_what_the_server_bills(smollm2: dict[str, Both]) -> None:
    for way in ("greedy", "drawn"):
        both = smollm2[way]
        assert [answer.usage for answer in both["openai"]] == [answer.usage for answer in both["vllm"]]


def test_samples_differ_and_the_greedy_text_is_another(smollm2: dict[str, Both]) -> None:
    drawn = [answer.texts for answer in smollm2["drawn"]["vllm"]]
    assert all(texts is not None and len(texts) == 2 for texts in drawn)
    assert drawn != [answer.texts for answer in smollm2["greedy"]["vllm"]]


def test_pictures_go_through_the_service_to_the_same_rows(
    wide_seeing: Path, rows: Rows, tmp_path: Path
) -> None:
    plain = rows(PROMPTS, GIVEN)
    pictures = _pictures(tmp_path)
    turns = (Message("user", "hello"), Message("assistant", "yes?"), Message("user", "what is it?", 1))
    asked = [
        replace(plain[0], media=pictures),
        replace(plain[1], media=pictures[:1], messages=turns),
        plain[2],
    ]
    ways = {name: WAYS[name] | {"media": MediaSource(tmp_path)} for name in ("greedy", "given")}
    with served(wide_seeing, "--max-logprobs", "-1", "--limit-mm-per-prompt", '{"image": 2}') as url:
        found = ask_both(wide_seeing, url, asked, ways)

    check_same(found["greedy"], 262)
    check_same(found["given"], 262)


def _pictures(folder: Path) -> tuple[Media, ...]:
    from PIL import Image

    for name in ("red", "blue"):
        Image.new("RGB", (24, 16), name).save(folder / f"{name}.png")
    files = [folder / "red.png", folder / "blue.png"]
    return tuple(Media(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files)


def test_embeddings_of_texts_and_pictures_are_the_same_over_http(
    wide_seeing: Path, rows: Rows, tmp_path: Path
) -> None:
    texts = rows(PROMPTS)
    seen = [replace(row, id=f"{row.id} seen", media=_pictures(tmp_path)[:1]) for row in texts]
    media = MediaSource(tmp_path)
    with served(
        wide_seeing,
        "--runner",
        "pooling",
        "--convert",
        "embed",
        "--pooler-config",
        '{"use_activation": false}',
    ) as url:
        through = ask(
            "openai",
            SERVED,
            [*texts, *seen],
            "repr",
            service=Service(base_url=url),
            options={"dimensions": "128"},
            media=media,
        )
    # The endpoint reads a text as it is, a conversation through the template.
    plain = ask("vllm", str(wide_seeing), texts, "repr", options={"kv-cache-gb": "0.5", "chat": "false"})
    chat = ask("vllm", str(wide_seeing), seen, "repr", media=media, options={"kv-cache-gb": "0.5"})

    for one, other in zip(through, [*plain, *chat], strict=True):
        assert (one.error, other.error) == (None, None)
        assert np.allclose(one.repr, other.repr, rtol=4e-3, atol=4e-3)  # type: ignore[arg-type]
