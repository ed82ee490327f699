"""The worst night of a service, through the real command: the right rows and status, and no key anywhere."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from schemas.cache import open_cache
from schemas.manifest_file import read_manifest
from tests.teacher_cache.service import FaultyService

KEY = "sk-proj-AbCdEf0123456789xyz"
START = "import sys; sys.argv[0] = 'cache-teacher'; from teacher_cache.cli import main; main()"
# Faults that pass, and what the row's error says of those that stay.
STAYING = {
    "429": "429: slow down",
    "500": "500: the service is tired",
    "503": "503: the service is tired",
    "reset": "Server disconnected",
    "half": "peer closed connection",
    "slow": "the answer was not whole after",
    "hang": "nothing came for",
    "notjson": "the answer is no JSON",
    "none": "0 choices in the answer",
    "other": "an answer to another request",
    "nan": "a log-probability of nan",
    "context": "400: maximum context length",
    "refusal": "refused to answer",
}
Command = Callable[..., list[str]]


@pytest.fixture
def service() -> Iterator[Any]:
    with FaultyService(vllm=True, key=KEY) as service:
        yield service


@pytest.fixture
def command(tmp_path: Path, service: Any) -> Command:
    def line(prompts: Sequence[str], *more: str) -> list[str]:
        rows = [
            {"example_id": f"row-{i}", "task": "free", "split": "train", "prompt": prompt, "fields": {}}
            for i, prompt in enumerate(prompts)
        ]
        file = tmp_path / "prompts.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        given = ["--model", "openai:parrot", "--prompts", str(file), "--out", str(tmp_path / "cache")]
        reached = ["--base-url", service.url, "--timeout", "3", "--max-retries", "2"]
        return [sys.executable, "-c", START, *given, *reached, "--rows-per-shard", "20", *more]

    return line


def environment(repository: Path, key: str = KEY) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(repository), "OPENAI_API_KEY": key, "OPENAI_LOG": "debug"}


def finish(line: Sequence[str], repository: Path, key: str = KEY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line, env=environment(repository, key), capture_output=True, text=True, timeout=120, check=False
    )


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    cache = open_cache(folder)
    rows: dict[str, dict[str, Any]] = {}
    for _, shard in cache.shards("train"):
        with shard:
            rows |= {row["example_id"]: row for row in shard.read().to_pylist()}
    return rows


def assert_no_key(folder: Path, *said: str) -> None:
    written = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert written
    for name, data in [*written.items(), *((text[:20], text.encode()) for text in said)]:
        assert KEY.encode() not in data, name
        assert KEY[:10].encode() not in data, name
        assert KEY[-8:].encode() not in data, name


def test_every_fault_ends_in_the_right_rows(command: Command, repository: Path, tmp_path: Path) -> None:
    prompts = [f"row {fault} <<{fault}>>" for fault in STAYING if fault != "context"]
    prompts += [f"row {fault} <<{fault}*2>>" for fault in STAYING if fault not in ("context", "refusal")]
    prompts += ["x" * 5000, *(f"Sentence number {i}." for i in range(20))]
    stored = ("--store", "text,logprobs", "--top-k", "3", "--option", "vocab-size=256")

    run = finish(command(prompts, *stored, "--json"), repository)
    rows = rows_of(tmp_path / "cache")
    assert run.returncode == 3, run.stderr[-2000:]
    assert len(rows) == len(prompts)
    failed = {name: row for name, row in rows.items() if row["error"]}
    assert json.loads(run.stdout)["errors"] == len(failed) == len(STAYING)
    for row in failed.values():
        fault = next((fault for fault in STAYING if f"<<{fault}>>" in row["prompt"]), "context")
        assert STAYING[fault] in row["error"], row["error"]
        assert row["teacher_text"] is None
    assert all(row["teacher_text"] for name, row in rows.items() if name not in failed)
    assert_no_key(tmp_path, run.stdout, run.stderr)


def test_a_key_refused_midway_stops_and_the_same_command_goes_on(
    command: Command, service: Any, repository: Path, tmp_path: Path
) -> None:
    service.key_lasts = 60
    line = command([f"Sentence number {i}." for i in range(100)], "--concurrency", "4")

    stopped = finish(line, repository)
    asked = len(service.asked)
    service.key_lasts = None
    again = finish(line, repository)
    assert stopped.returncode == 1
    assert stopped.stderr.splitlines()[-1].startswith(
        "cache-teacher: 127.0.0.1 refused the key in OPENAI_API_KEY (401: Incorrect API key provided: [key]"
    )
    # The list of models, sixty answers less that, and those in flight when the first was refused.
    assert asked <= 60 + 4
    assert again.returncode == 0
    assert len(service.asked) - asked <= 1 + 100 - 59 + 4
    assert_no_key(tmp_path, stopped.stdout, stopped.stderr)


@pytest.mark.parametrize(
    ("more", "key", "code", "message"),
    [
        (("--model", "openai:ara"), KEY, 1, "--model openai:ara: 127.0.0.1 has no such model; it has parrot"),
        ((), "sk-another-key-000", 1, "127.0.0.1 refused the key in OPENAI_API_KEY (401: "),
        (
            ("--store", "logprobs", "--top-k", "50", "--option", "vocab-size=256"),
            KEY,
            1,
            "127.0.0.1 refuses logprobs=True (400: Requested sample logprobs of 50, which is greater than",
        ),
        (("--base-url", "http://127.0.0.1:9/v1"), KEY, 1, "no service answers at http://127.0.0.1:9/v1 ("),
        (("--base-url", f"http://me:{KEY}@127.0.0.1/v1"), KEY, 2, "--base-url of 127.0.0.1 carries a user"),
        (("--store", "repr"), KEY, 2, "--store repr: how many numbers an embedding has must be known"),
    ],
)
def test_what_a_service_cannot_give_is_refused_in_one_line(
    command: Command,
    service: Any,
    repository: Path,
    tmp_path: Path,
    *,
    more: tuple[str, ...],
    key: str,
    code: int,
    message: str,
) -> None:
    run = finish(command(["a", "b"], *more, "--quiet"), repository, key)

    said = [line for line in run.stderr.splitlines() if line.startswith("cache-teacher: ")]
    assert run.returncode == code, run.stderr
    assert message in said[-1]
    assert not [asked for asked in service.questions if "b" in json.dumps(asked.get("messages", ""))]
    assert_no_key(tmp_path, run.stdout, run.stderr)


def test_killed_at_most_the_requests_in_flight_are_sent_again(
    command: Command, service: Any, repository: Path, tmp_path: Path
) -> None:
    service.delay = 0.02
    prompts = [f"Sentence number {i}." for i in range(120)]
    line = command(prompts, "--concurrency", "6", "--quiet")

    kills = 0
    while kills < 3:
        running = subprocess.Popen(line, env=environment(repository), stderr=subprocess.DEVNULL)
        before = len(service.questions)
        wait_for(lambda before=before: len(service.questions) >= before + 25)
        running.send_signal(signal.SIGKILL)
        running.wait()
        kills += 1
    finished = finish(line, repository)
    assert finished.returncode == 0, finished.stderr
    times = Counter(body["messages"][0]["content"] for body in service.questions)
    assert set(times) == set(prompts)
    assert sum(times.values()) - len(prompts) <= kills * 6
    assert len(rows_of(tmp_path / "cache")) == len(prompts)
    assert service.most_at_once <= 6
    assert read_manifest(tmp_path / "cache").complete


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within half a minute")
