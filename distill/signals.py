"""Whether a cache holds what a run reads: else refused at once, with the option that stores it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from distill.config import RunConfig
from distill.methods import METHODS, Answers
from schemas.errors import CacheError, ConfigError
from schemas.manifest import CacheManifest
from schemas.tasks import LabelKind, find_task


@dataclass(frozen=True, slots=True)
class _Need:
    signal: str
    held: bool
    advice: str


def check_signals(run: RunConfig, manifest: CacheManifest, folder: Path) -> None:
    """Refuse a run that a cache cannot feed.

    Args:
        run: its configuration.
        manifest: of the cache.
        folder: of the cache, for the message.

    Raises:
        CacheError: the task has nothing to learn, or the cache lacks a signal that the method reads.
        ConfigError: the method, or an option, is for generative tasks and this one is not.
    """
    kind = find_task(run.task).label_kind
    if kind is LabelKind.NONE:
        raise CacheError(
            f"task {run.task} has {kind} labels, wanted classes, numbers or texts; give another cache"
        )
    if kind is not LabelKind.GENERATIVE:
        _refuse_generative(run)
    for need in _needs(run, manifest):
        if not need.held:
            raise CacheError(
                f"{folder} keeps no {need.signal} of its teacher, --method {run.method} needs them; "
                f"give another cache (cache-teacher {need.advice}), or --method undistilled"
            )


def _refuse_generative(run: RunConfig) -> None:
    if METHODS[run.method].is_generative:
        raise ConfigError(
            f"--method {run.method} learns texts, the task {run.task} has labels; give --method armada or "
            "undistilled"
        )
    if run.max_new_tokens is not None:
        raise ConfigError(
            f"--max-new-tokens has no effect: the task {run.task} has no texts to write; leave it out"
        )


def _needs(run: RunConfig, manifest: CacheManifest) -> Iterator[_Need]:
    method, stored = METHODS[run.method], manifest.request.store
    if method.distils:
        yield _Need("representations", manifest.stores_repr, "--store repr")
    if method.matches_tokens:
        held = "logprobs" in stored and manifest.request.codec is not None
        yield _Need("log-probabilities", held, "--store text,logprobs")
    if method.answers is Answers.TEACHER_TEXT:
        yield _Need("texts", "text" in stored, "--store text, without --score")
