"""`teacher-shards import`: a foreign file, or a folder of them, to a whole teacher cache.

Files are read once to check every row and to know which examples there are, and once for each split to seal
them. The folder appears when it is whole: a run that was killed leaves nothing that passes for a cache, and
the same command begins anew. The same input gives the same bytes.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from schemas.answer import Answer
from schemas.console import say
from schemas.errors import ConfigError, SourceError
from schemas.example import Example
from schemas.files import write_text
from schemas.manifest import MANIFEST_NAME, CacheManifest, Request, TeacherIdentity
from schemas.manifest_file import read_manifest, write_manifest
from teacher_cache.config import SPLITS
from teacher_cache.folder import CONFIG_NAME
from teacher_cache.interchange import find_format
from teacher_cache.interchange.foreign import ForeignRow, check_row
from teacher_cache.interchange.foreign_files import ForeignFile, digest_of_files, find_files
from teacher_cache.interchange.formats import Format
from teacher_cache.interchange.joining import Joiner, WithoutPrompts, WithPrompts
from teacher_cache.interchange.sealing import Answered, seal_split
from teacher_cache.interchange.staging import whole_folder
from teacher_cache.interchange.survey import Survey
from teacher_cache.interchange.vocabulary import Vocabulary, find_vocabulary
from teacher_cache.plan import Plan
from teacher_cache.selection import in_split_order

DEFAULT_CODEC = "packed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportConfig:
    """The options of one import, as given.

    Attributes:
        path: of the foreign file, or a folder of them.
        format: name in the table of formats.
        out: folder of the new cache.
        task: of the rows; None takes that of `prompts`, or `free`.
        tokenizer: folder of the tokenizer that the tokens are of.
        vocab_size: number of ids, where there is no tokenizer or the model's is padded.
        prompts: file of the examples, joined by id.
        number_rows: name rows by their position, where the format has no ids.
        codec: of the entries; None is packed.
        rows_per_shard: rows of each shard but a split's last.
        quiet: no progress.
    """

    path: Path
    format: str
    out: Path
    task: str | None = None
    tokenizer: Path | None = None
    vocab_size: int | None = None
    prompts: Path | None = None
    number_rows: bool = False
    codec: str | None = None
    rows_per_shard: int = 1000
    quiet: bool = False


def import_cache(config: ImportConfig) -> dict[str, Any]:
    """Make a cache of a foreign file.

    Returns:
        What the cache holds, as `--json` prints it.

    Raises:
        ArmadaError: as the tree in `schemas.errors` says; nothing is left of an import that failed.
    """
    form = find_format(config.format)
    joiner = _joiner(config)
    source = _Source(config, form, _vocabulary(config, form))
    survey, examples = source.survey(joiner)
    plan = Plan(joiner.task, config.path.absolute().name, in_split_order(examples, SPLITS))
    manifest = _manifest(config, plan, source, survey)
    if _holds(config.out, manifest):
        say(f"{config.out} holds this import already", quiet=config.quiet)
        return _summary(config, read_manifest(config.out))
    shards = plan.shards(config.rows_per_shard)
    by_id = {example.id: example for example in plan.examples}
    with whole_folder(config.out) as folder:
        write_text(folder / CONFIG_NAME, _resolved(config, manifest))
        for split in plan.splits:
            answered = source.answered(split, survey, by_id, manifest.request.codec)
            of_split = [shard for shard in shards if shard.split == split]
            manifest = seal_split(folder, manifest, of_split, answered)
        write_manifest(folder, manifest)
    return _summary(config, manifest)


class _Source:
    """The foreign files.

    Args:
        config: as given.
        form: of the files.
        vocabulary: of their tokens.
    """

    def __init__(self, config: ImportConfig, form: Format, vocabulary: Vocabulary | None) -> None:
        self.files: list[ForeignFile] = find_files(config.path, form.suffixes)
        self.vocabulary = vocabulary
        self._config, self._form = config, form

    def survey(self, joiner: Joiner) -> tuple[Survey, list[Example]]:
        """Check every row; the examples in the files' order, those that nobody answered last."""
        survey, examples = Survey(), list[Example]()
        for file, row in self._rows():
            check_row(row)
            examples.append(joiner.example(row, file.split))
            survey.add(row, examples[-1].id, self._config.codec or DEFAULT_CODEC)
        if not survey.store:
            raise SourceError(f"{self._config.path}: no row has an answer; give a file that has")
        return survey, [*examples, *joiner.unanswered()]

    def answered(self, split: str, survey: Survey, by_id: dict[str, Example], codec: str | None) -> Answered:
        """The rows of a split, in order."""
        for (_, row), identifier in zip(self._rows(), survey.ids, strict=True):
            if by_id[identifier].split == split:
                yield by_id[identifier], row.sealed(codec)
        told = set(survey.ids)
        missing = f"{self._config.path.absolute().name} has no row for it"
        for identifier, example in by_id.items():
            if identifier not in told and example.split == split:
                yield example, Answer(error=missing)

    def _rows(self) -> Iterator[tuple[ForeignFile, ForeignRow]]:
        for file in self.files:
            rows, place = self._form.reader(file.path, self.vocabulary), f"{file.path}: its first row"
            while (row := self._next(rows, place)) is not None:
                yield file, row
                place = f"{row.place}: the row after it"

    def _next(self, rows: Iterator[ForeignRow], place: str) -> ForeignRow | None:
        try:
            return next(rows, None)
        # A list where a number should be, a number beyond all: the readers take a row apart as it should be.
        except (TypeError, AttributeError, OverflowError, UnicodeError) as error:
            raise SourceError(
                f"{place} is not as {self._config.format} has it ({error}); mend it, or leave it out"
            ) from None


def _joiner(config: ImportConfig) -> Joiner:
    if config.prompts is not None:
        if config.number_rows:
            raise ConfigError("--number-rows and --prompts both name the rows; give one of them")
        return WithPrompts(config.prompts, config.task)
    if config.format == "openai-batch":
        raise ConfigError(
            "--format openai-batch: the output of a batch does not say what was asked; give its input file "
            "with --prompts"
        )
    return WithoutPrompts(config.task, number_rows=config.number_rows)


def _vocabulary(config: ImportConfig, form: Format) -> Vocabulary | None:
    found = find_vocabulary(config.tokenizer, config.vocab_size)
    if found is None and form.needs_vocabulary:
        raise ConfigError(
            f"--format {config.format} does not say how large the vocabulary is; give --tokenizer DIR, or "
            "--vocab-size N"
        )
    return found


def _manifest(config: ImportConfig, plan: Plan, source: _Source, survey: Survey) -> CacheManifest:
    vocabulary = source.vocabulary
    if config.codec is not None and survey.vocab_size is None:
        raise ConfigError(f"--codec: {config.path} has no log-probabilities; leave it out")
    teacher = TeacherIdentity(
        backend="import",
        name=config.path.absolute().name,
        revision=digest_of_files(source.files),
        modality="text",
        vocab_size=survey.vocab_size,
        hashes={} if vocabulary is None else vocabulary.hashes,
        options={"format": config.format, "models": sorted(survey.models)},
    )
    request = Request(
        task=plan.task.name,
        source=plan.source,
        splits=plan.splits,
        prompts_digest=plan.prompts_digest(),
        store=survey.store,
        rows_per_shard=config.rows_per_shard,
        codec=None if survey.vocab_size is None else config.codec or DEFAULT_CODEC,
    )
    return CacheManifest(teacher=teacher, request=request)


def _holds(out: Path, wanted: CacheManifest) -> bool:
    """Whether this very import is there and whole."""
    if not (out / MANIFEST_NAME).is_file():
        return False
    found = read_manifest(out)
    return found.complete and found.fingerprint == wanted.fingerprint


def _resolved(config: ImportConfig, manifest: CacheManifest) -> str:
    resolved = asdict(config) | {"task": manifest.request.task, "codec": manifest.request.codec}
    return json.dumps(resolved, indent=1, default=str, ensure_ascii=False) + "\n"


def _summary(config: ImportConfig, manifest: CacheManifest) -> dict[str, Any]:
    return {
        "folder": str(config.out),
        "format": config.format,
        "task": manifest.request.task,
        "rows": manifest.rows,
        "splits": manifest.request.splits,
        "store": list(manifest.request.store),
        "taught": sum(file.taught for file in manifest.files),
        "errors": sum(file.errors for file in manifest.files),
        "shards": len(manifest.files),
        "bytes": sum(file.bytes for file in manifest.files),
        "digest": manifest.digest,
    }
