"""Checkpoints of a run: whole or not there, the newest and no other, refused where they do not belong.

checkpoint/latest.json                 which folder is the newest; written last
checkpoint/step-N/state.safetensors    weights, moments, random states
checkpoint/step-N/state.json           everything that is no tensor, and the digests of the tensor files
checkpoint/best-E.safetensors          weights of the best epoch so far, written once
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from distill.tensor_file import write_tensors
from schemas.errors import ResultError
from schemas.files import sha256_of, sync_folder, whole_file, write_text

FOLDER_NAME, POINTER_NAME = "checkpoint", "latest.json"
_LAYOUT = 3
_ADVICE = "--resume never starts anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A run between two steps.

    Attributes:
        step: batches since the run began.
        tensors: weights, moments and random states by name.
        facts: everything else, fit for JSON.
        best_epoch: whose weights are the best so far, from 1; 0 before any was measured.
        best: those weights.
    """

    step: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)


class Checkpoints:
    """The folder `checkpoint/` of one run.

    Args:
        run_folder: of the run.
        digest: of the run; what another run left is refused.
    """

    def __init__(self, run_folder: Path, digest: str) -> None:
        self.folder, self._digest = run_folder / FOLDER_NAME, digest
        self._best: tuple[str, str] | None = None

    @property
    def exist(self) -> bool:
        """Whether there is one to go on from."""
        return (self.folder / POINTER_NAME).exists()

    def save(self, snapshot: Snapshot) -> None:
        """Write a snapshot beside the last, point to it, and only then delete the last.

        Raises:
            OSError: the disk refuses; the last checkpoint stays what it was.
        """
        self.folder.mkdir(exist_ok=True)
        best = self._write_best(snapshot)
        name = f"step-{snapshot.step}"
        fresh = self.folder / f".{name}.tmp"
        for left in (fresh, self.folder / name):
            shutil.rmtree(left, ignore_errors=True)
        fresh.mkdir()
        try:
            digest = write_tensors(fresh / "state.safetensors", snapshot.tensors)
            state = {"layout": _LAYOUT, "run": self._digest, "sha256": digest, "best": best}
            write_text(fresh / "state.json", json.dumps({**state, "facts": snapshot.facts}))
            fresh.rename(self.folder / name)
        except OSError as error:
            # A write that fails does not say where.
            error.filename = error.filename or str(fresh)
            raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        sync_folder(self.folder)
        digest = sha256_of(self.folder / name / "state.json")
        write_text(self.folder / POINTER_NAME, json.dumps({"newest": name, "sha256": digest}))
        self._best = best
        self._prune({POINTER_NAME, name, *([best[0]] if best else [])})

    def _write_best(self, snapshot: Snapshot) -> tuple[str, str] | None:
        if not snapshot.best_epoch:
            return None
        name = f"best-{snapshot.best_epoch}.safetensors"
        if self._best and self._best[0] == name:
            return self._best
        with whole_file(self.folder / name) as temporary:
            digest = write_tensors(temporary, snapshot.best)
        return name, digest

    def _prune(self, kept: set[str]) -> None:
        for entry in self.folder.iterdir():
            if entry.is_dir() and entry.name not in kept:
                shutil.rmtree(entry)
            elif entry.name not in kept:
                entry.unlink()

    def load(self) -> Snapshot:
        """Read the newest checkpoint, every byte of it checked.

        Raises:
            ResultError: it is damaged, of another layout, or another run's.
        """
        pointer = self._read(self.folder / POINTER_NAME)
        folder = self.folder / str(pointer.get("newest"))
        state = self._read(folder / "state.json", pointer.get("sha256"))
        if state.get("layout") != _LAYOUT:
            found = state.get("layout")
            raise ResultError(
                f"{folder} has checkpoint layout {found}, this reader needs {_LAYOUT}; {_ADVICE}"
            )
        if state["run"] != self._digest:
            raise ResultError(
                f"{folder} belongs to the run {str(state['run'])[:8]}, this one is {self._digest[:8]}; "
                f"{_ADVICE}"
            )
        tensors = self._tensors(folder / "state.safetensors", state["sha256"])
        best = {}
        if state["best"]:
            best = self._tensors(self.folder / state["best"][0], state["best"][1])
            self._best = (state["best"][0], state["best"][1])
        facts = state["facts"]
        return Snapshot(
            step=facts["step"], tensors=tensors, facts=facts, best_epoch=facts["best"]["epoch"], best=best
        )

    def _read(self, path: Path, digest: str | None = None) -> dict[str, Any]:
        self._check(path, digest)
        try:
            value = json.loads(path.read_bytes())
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise ResultError(f"{path} is damaged: no JSON object; {_ADVICE}")
        return value

    def _tensors(self, path: Path, digest: str) -> dict[str, Tensor]:
        from safetensors.torch import load_file

        self._check(path, digest)
        return load_file(path)

    def _check(self, path: Path, digest: str | None) -> None:
        if not path.is_file():
            raise ResultError(f"{path} is missing, so the checkpoint is damaged; {_ADVICE}")
        if digest is not None and (found := sha256_of(path)) != digest:
            raise ResultError(f"{path} is damaged: sha256 {found[:12]}, wanted {str(digest)[:12]}; {_ADVICE}")

    def remove(self) -> None:
        """Delete them all; a finished run needs none."""
        shutil.rmtree(self.folder, ignore_errors=True)
