"""`teacher-shards export`: a cache to a folder of a foreign format, a batch of rows at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.cache import open_cache
from schemas.console import Advance, progress, say
from schemas.errors import CacheError, ConfigError
from schemas.files import whole_file, write_text
from schemas.manifest import CacheManifest
from schemas.rows import Row
from teacher_cache.interchange import find_format
from teacher_cache.interchange.formats import Exporter, Format
from teacher_cache.interchange.prompts_file import PROMPTS_NAME, prompts_line
from teacher_cache.interchange.sinks import open_sink
from teacher_cache.interchange.source import ExportSource, LeftOut
from teacher_cache.interchange.staging import whole_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """The options of one export, as given.

    Attributes:
        folder: of the cache.
        out: new folder to write.
        format: name in the table of formats.
        splits: to write; None takes all that the cache has.
        tokenizer: folder of the teacher's tokenizer.
        length: tokens of each row, for a format whose rows have one length.
        quiet: no progress.
    """

    folder: Path
    out: Path
    format: str
    splits: tuple[str, ...] | None = None
    tokenizer: Path | None = None
    length: int | None = None
    quiet: bool = False


def export_cache(config: ExportConfig) -> dict[str, Any]:
    """Write a cache in a foreign format.

    Returns:
        What was written, as `--json` prints it.

    Raises:
        ArmadaError: as the tree in `schemas.errors` says; nothing is left of an export that failed.
    """
    form = find_format(config.format)
    cache = open_cache(config.folder)
    splits = _splits(config, cache.manifest)
    _check_signals(config, form, cache.manifest)
    source = ExportSource(cache=cache, splits=splits, tokenizer=config.tokenizer, length=config.length)
    with whole_folder(config.out) as folder:
        exporter = form.exporter(source)
        written = _write_all(config, form, source, exporter, folder)
        for name, text in exporter.files([split for split, rows in written.items() if rows]).items():
            write_text(folder / name, text)
        if not any(written.values()):
            raise CacheError(f"{config.folder}: no row can be written: {_reasons(source)}")
    if source.left_out:
        say(f"left out: {_reasons(source)}", quiet=config.quiet)
    return {
        "folder": str(config.out),
        "format": config.format,
        "rows": written,
        "left_out": dict(source.left_out),
    }


def _splits(config: ExportConfig, manifest: CacheManifest) -> tuple[str, ...]:
    known = tuple(manifest.request.splits)
    for split in config.splits or ():
        if split not in known:
            raise ConfigError(f"--split {split}: {config.folder} has {', '.join(known)}; give one of them")
    return tuple(split for split in known if config.splits is None or split in config.splits)


def _check_signals(config: ExportConfig, form: Format, manifest: CacheManifest) -> None:
    store, codec = manifest.request.store, manifest.request.codec
    if not set(form.needs) <= set(store):
        raise CacheError(
            f"{config.folder} stores {', '.join(store) or 'nothing'}, --format {config.format} needs "
            f"{' and '.join(form.needs)}; make a cache with cache-teacher --store {','.join(form.needs)}"
        )
    if form.holds_entries and codec == "sampled":
        raise CacheError(
            f"{config.folder} has draws (codec sampled), --format {config.format} holds the most probable "
            "entries; make a cache with cache-teacher --codec packed"
        )
    if form.holds_tokens and config.tokenizer is None:
        raise ConfigError(
            f"--format {config.format} writes the prompt's tokens too, which no cache holds; give the "
            "teacher's tokenizer with --tokenizer DIR"
        )
    if config.length is not None and not form.has_one_length:
        raise ConfigError(f"--length: rows of --format {config.format} are as long as they are; leave it out")


def _reasons(source: ExportSource) -> str:
    return (
        ", ".join(f"{count} rows {reason}" for reason, count in source.left_out.items()) or "there are none"
    )


def _write_all(
    config: ExportConfig, form: Format, source: ExportSource, exporter: Exporter, folder: Path
) -> dict[str, int]:
    written: dict[str, int] = {}
    total = sum(source.cache.manifest.request.splits[split] for split in source.splits)
    with (
        whole_file(folder / PROMPTS_NAME) as prompts,
        prompts.open("w", encoding="utf-8") as lines,
        progress(f"writing {config.format}", total, "rows", quiet=config.quiet) as advance,
    ):
        for split in source.splits:
            written[split] = 0
            path = folder / f"{split}{form.suffix}"
            with whole_file(path) as temporary, open_sink(form.schema, temporary) as put:
                for row, record in _records(source, exporter, split, advance):
                    put(record)
                    lines.write(prompts_line(row))
                    written[split] += 1
            if not written[split]:
                path.unlink()
    return written


def _records(
    source: ExportSource, exporter: Exporter, split: str, advance: Advance
) -> Iterator[tuple[Row, dict[str, Any]]]:
    for row in source.rows(split):
        try:
            yield row, exporter.record(row)
        except LeftOut as reason:
            source.left_out[str(reason)] += 1
        advance()
