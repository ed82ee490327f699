"""The speech teacher on real sentences: what it hears, what it refuses, and what a kill leaves."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from schemas.answer import Answer
from schemas.errors import TeacherError
from schemas.example import Example
from teacher_cache.teachers import TeacherSettings
from teacher_cache.teachers.speech.hibari import SpeechTeacher

LONG = " ".join(["This sentence is said again and again until half a minute is over."] * 12)
START = "import sys; sys.argv[0] = 'cache-teacher'; from teacher_cache.cli import main; main()"


@pytest.fixture(scope="module")
def model(fetched: Path) -> str:
    return f"hibari+{fetched / 'models' / 'whisper-tiny.en'}"


def ask(model: str, texts: Sequence[str], store: tuple[str, ...] = ("text", "repr")) -> Sequence[Answer]:
    async def answers() -> Sequence[Answer]:
        async with SpeechTeacher(TeacherSettings(name=model, store=store)) as teacher:
            return await teacher.answer(
                [
                    Example(id=str(i), task="free", split="train", fields={}, prompt=t)
                    for i, t in enumerate(texts)
                ]
            )

    return asyncio.run(answers())


def test_it_hears_what_was_said_and_says_what_it_cannot_read(model: str) -> None:
    spoken, long, silent, page = ask(model, ["A warm and funny film.", LONG, " \n ", "x" * 1_000_000])

    assert spoken.texts is not None
    # Whisper's smallest model mishears a word now and then; that it hears speech at all is what matters here.
    assert len({"a", "warm", "and", "funny", "film"} & set(spoken.texts[0].lower().rstrip(".").split())) >= 4
    assert (spoken.finish_reason, spoken.error) == (None, None)
    assert spoken.repr is not None
    assert (spoken.repr.shape, spoken.repr.dtype) == ((384,), np.float16)
    assert long.finish_reason == "cut at 30 s"
    assert silent.error == "the text gives no sound"
    assert page.error == "the text has 1000000 characters, the speech teacher reads at most 2000"


def test_a_worker_that_dies_is_one_clear_error(model: str) -> None:
    async def answer() -> None:
        async with SpeechTeacher(TeacherSettings(name=model, store=("repr",))) as teacher:
            for child in psutil.Process().children(recursive=True):
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()
            await teacher.answer([Example(id="a", task="free", split="train", fields={}, prompt="Fine.")])

    with pytest.raises(TeacherError, match=r"^a process of the speech teacher died, .* fewer --workers"):
        asyncio.run(answer())


def test_a_folder_without_a_whisper_model_is_refused(tmp_path: Path) -> None:
    for name in ("model.bin", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(TeacherError, match=r"model.bin is no Whisper model of CTranslate2"):
        SpeechTeacher(TeacherSettings(name=f"hibari+{tmp_path}", store=("repr",)))


def test_killed_it_leaves_no_process_and_resumed_it_leaves_the_same_bytes(
    model: str, fetched: Path, tmp_path: Path, repository: Path
) -> None:
    def command(out: str, workers: int) -> list[str]:
        given = [
            "--model",
            f"speech:{model}",
            "--source",
            str(fetched / "tasks" / "movie-reviews"),
            "--limit",
            "32",
        ]
        more = ["--out", str(tmp_path / out), "--workers", str(workers), "--batch-size", "2", "--quiet"]
        return [sys.executable, "-c", START, *given, *more]

    environment = os.environ | {"PYTHONPATH": str(repository)}
    whole = subprocess.Popen(command("whole", 1), env=environment)
    cut = subprocess.Popen(command("cut", 1), env=environment, stderr=subprocess.DEVNULL)
    wait_for(lambda: any((tmp_path / "cut" / "journal").glob("*.journal")))
    children = psutil.Process(cut.pid).children(recursive=True)
    cut.send_signal(signal.SIGKILL)
    cut.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert children
    assert not alive
    assert whole.wait(90) == 0

    subprocess.run(command("cut", 2), env=environment, check=True, timeout=300)
    shards = {path.name: path.read_bytes() for path in (tmp_path / "whole").glob("*.parquet")}
    assert len(shards) == 3
    for name, data in shards.items():
        assert (tmp_path / "cut" / name).read_bytes() == data


def test_ctrl_c_while_models_load_ends_every_process_at_once(
    model: str, fetched: Path, tmp_path: Path, repository: Path
) -> None:
    given = ["--model", f"speech:{model}", "--source", str(fetched / "tasks" / "movie-reviews"), "--quiet"]
    run = subprocess.Popen(
        [sys.executable, "-c", START, *given, "--out", str(tmp_path / "cache"), "--workers", "1"],
        env=os.environ | {"PYTHONPATH": str(repository)},
        stderr=subprocess.PIPE,
        text=True,
        # A terminal sends Ctrl-C to the whole group, workers included.
        start_new_session=True,
    )
    wait_for(lambda: len(psutil.Process(run.pid).children()) == 2)
    children = psutil.Process(run.pid).children()
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=120)
    _, alive = psutil.wait_procs(children, timeout=10)

    assert run.returncode == 130
    assert said.strip() == "cache-teacher: interrupted; what was done is kept, the same command goes on"
    assert not alive


def wait_for(condition: Callable[[], Any]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen within a minute")
