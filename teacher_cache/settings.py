"""From options to what a backend is told, and to what the manifest keeps of it; defaults are filled in."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from schemas.codec import CODECS
from schemas.errors import ConfigError
from schemas.manifest import Plain, Request
from schemas.topk import MAX_DRAWS
from teacher_cache.config import CacheConfig
from teacher_cache.kept_pictures import MEDIA_NAME
from teacher_cache.plan import Plan
from teacher_cache.scoring import score_identity
from teacher_cache.teachers import Backend
from teacher_cache.teachers.teacher import (
    WHOLE_VOCABULARY,
    Entries,
    Generation,
    Service,
    TeacherSettings,
)
from teacher_cache.templates import PLAIN

# The option, and the field of `Generation` that it fills.
_GENERATION = {
    "system": "system",
    "max_tokens": "max_tokens",
    "sampling_temperature": "temperature",
    "num_samples": "num_samples",
    "generation_seed": "seed",
}
_ENTRIES = ("codec", "top_k", "top_p", "min_k", "num_draws")


def resolved_store(config: CacheConfig, backend: Backend, name: str) -> tuple[str, ...]:
    """The signals to keep.

    Raises:
        ConfigError: the backend gives no such signal.
    """
    store = backend.default_signals if config.store is None else config.store
    if config.store is None and config.score is not None:
        store = ("logprobs",)
    if wrong := [signal for signal in store if signal not in backend.signals]:
        known = ", ".join(backend.signals) or "nothing"
        raise ConfigError(f"--store {','.join(store)}: the backend {name} gives {known}, not {wrong[0]}")
    return tuple(store)


def default_template(backend: Backend, store: tuple[str, ...]) -> str:
    """A teacher that writes is asked a question; one that only represents is given the text (method, 12)."""
    return "instruction" if backend.generates and {"text", "logprobs"} & set(store) else PLAIN


def make_settings(
    config: CacheConfig, plan: Plan, backend: Backend, *, name: str, model: str, store: tuple[str, ...]
) -> TeacherSettings:
    """All that a teacher is told.

    Args:
        config: as given.
        plan: of the rows.
        backend: that makes the teacher.
        name: of the backend.
        model: what the backend calls the teacher.
        store: signals to keep.

    Raises:
        ConfigError: an option has no meaning here, or contradicts another.
    """
    _check_meaning(config, backend, name, store)
    _check_conversations(plan, backend, name)
    generation = {field: getattr(config, option) for option, field in _GENERATION.items()}
    entries = {option: getattr(config, option) for option in _ENTRIES}
    return TeacherSettings(
        name=model,
        store=store,
        num_workers=config.num_workers,
        concurrency=concurrency_of(config, backend),
        generation=Generation(**_without_none(generation)),
        entries=Entries(**_without_none(entries), given_answers=config.score is not None),
        service=Service(
            base_url=config.base_url,
            api_key_env=config.api_key_env,
            max_retries=config.max_retries,
            timeout=config.timeout,
            max_requests_per_minute=config.max_requests_per_minute,
            max_tokens_per_minute=config.max_tokens_per_minute,
        ),
        options=config.options,
        media=plan.media,
        media_folder=None if config.dry_run else config.folder(plan.task.name) / MEDIA_NAME,
        keep_media=config.keep_media,
    )


def concurrency_of(config: CacheConfig, backend: Backend) -> int:
    """Calls of the teacher that are awaited at once: two for each process keep it busy."""
    if config.engine == "ray":
        return config.num_workers * calls_a_worker(config, backend)
    return config.concurrency or backend.default_concurrency or 2 * config.num_workers


def calls_a_worker(config: CacheConfig, backend: Backend) -> int:
    """Calls that one worker of a cluster answers at once, `--concurrency` being for all of them."""
    if config.concurrency is not None:
        return -(-config.concurrency // config.num_workers)
    return backend.default_concurrency or 2


def make_request(config: CacheConfig, plan: Plan, settings: TeacherSettings, backend: Backend) -> Request:
    """What is asked, as the manifest keeps it."""
    parameters: dict[str, Plain] = {"template": plan.template}
    stores_entries = "logprobs" in settings.store
    if backend.generates and {"text", "logprobs"} & set(settings.store):
        kept = ("system",) if config.score is not None else tuple(_GENERATION.values())
        parameters |= {name: value for name, value in asdict(settings.generation).items() if name in kept}
    if config.score is not None:
        parameters["score"] = score_identity(config.score)
    if stores_entries:
        drawn = settings.entries.codec == "sampled"
        names = ("num_draws",) if drawn else ("top_k", "top_p", "min_k")
        parameters |= {name: getattr(settings.entries, name) for name in names}
    return Request(
        task=plan.task.name,
        source=plan.source,
        splits=plan.splits,
        prompts_digest=plan.prompts_digest(),
        teach=config.teach,
        store=settings.store,
        rows_per_shard=config.rows_per_shard,
        codec=settings.entries.codec if stores_entries else None,
        parameters=_without_none(parameters),
    )


def _check_meaning(config: CacheConfig, backend: Backend, name: str, store: tuple[str, ...]) -> None:
    if not backend.generates:
        _refuse_given(config, _GENERATION, f"the backend {name} is not told how to write")
        _refuse_given(config, ["score"], f"the backend {name} scores no answers")
    if config.keep_media and not backend.makes_pictures:
        raise ConfigError(f"--keep-media: the backend {name} makes no pictures; leave it out")
    if config.score is not None:
        _refuse_given(config, list(_GENERATION)[1:], "with --score nothing is generated")
        if "text" in store or "logprobs" not in store:
            raise ConfigError(
                f"--store {','.join(store)} with --score: scoring gives log-probabilities of the answers "
                "given, and writes no texts; store logprobs, or logprobs,repr"
            )
    if "logprobs" not in store:
        _refuse_given(config, _ENTRIES, "log-probabilities are not stored; add --store logprobs")
        return
    _check_entries(config, backend, name)


def _check_conversations(plan: Plan, backend: Backend, name: str) -> None:
    talking = next((example.id for example in plan.examples if example.messages), None)
    if backend.signals and not backend.generates and talking is not None:
        raise ConfigError(
            f"example {talking} is a conversation, and the backend {name} reads one text a row; "
            "give prompts of one user message"
        )


def _check_entries(config: CacheConfig, backend: Backend, name: str) -> None:
    codec = config.codec or Entries().codec
    if codec not in CODECS:
        raise ConfigError(f"--codec {codec}: none of {', '.join(CODECS)}")
    if codec == "sampled":
        _refuse_given(config, ["top_k", "top_p", "min_k"], "the codec sampled draws; give --num-draws")
        if not backend.whole_distribution:
            raise ConfigError(
                f"--codec sampled draws from the whole distribution, which the backend {name} does not see; "
                "give another codec"
            )
        if not 1 <= (config.num_draws or 1) <= MAX_DRAWS:
            raise ConfigError(f"--num-draws {config.num_draws}: give 1 to {MAX_DRAWS}")
        return
    _refuse_given(config, ["num_draws"], "only the codec sampled draws")
    top_k, min_k = config.top_k or Entries().top_k, config.min_k or Entries().min_k
    if top_k == WHOLE_VOCABULARY and codec == "packed":
        raise ConfigError(
            "--top-k -1 keeps the whole vocabulary, which the codec packed refuses; "
            "give --codec half or exact"
        )
    if top_k != WHOLE_VOCABULARY and min_k > top_k:
        raise ConfigError(f"--min-k {min_k} is above --top-k {top_k}; give one that is not")


def _refuse_given(config: CacheConfig, options: Iterable[str], why: str) -> None:
    if given := [option for option in options if getattr(config, option) is not None]:
        raise ConfigError(f"--{given[0].replace('_', '-')}: {why}; leave it out")


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
