"""The manifest: what proves that a cache is whole, and that it is the one a run wants."""

import hashlib
import json
from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"
STATS_NAME = "stats.safetensors"

Plain = str | int | float | bool | list[str] | None
# Strict: true, 1.0 and "1" are no numbers of rows.
Count = Annotated[int, Field(ge=0, strict=True)]
Split = Annotated[str, Field(pattern="^(train|validation|test)$")]
# A bare name: what a manifest lists is in its folder.
ShardName = Annotated[str, Field(pattern="^[a-z]+-[0-9]{5,}-of-[0-9]{5,}[.]parquet$")]


def digest_of(value: object) -> str:
    """SHA-256 of a value's canonical JSON, lower-case hexadecimal."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Record(BaseModel):
    """Immutable, and strict about unknown keys: a manifest of a later version must not be half understood."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TeacherIdentity(Record):
    """Who answered: equal identities give equal answers, as far as the teacher is deterministic.

    Attributes:
        backend: row of the teacher table, `speech`, `openai`, `none`.
        name: model name as given on the command line after the colon.
        revision: digest of the weights, or the service's own revision.
        modality: what the teacher makes of a text: `audio`, `image`, `video`, `text`, `none`.
        repr_dim: width d of its representation; None where it gives none.
        repr_dtype: `float16` or `float32`.
        vocab_size: of its tokenizer; None where it has none.
        hashes: digests of tokenizer, chat template, processor, where there are any.
        versions: packages that its answers depend on.
        options: settings of the backend that change its answers.
    """

    backend: str
    name: str
    revision: str
    modality: str
    repr_dim: int | None = None
    repr_dtype: Literal["float16", "float32"] = "float16"
    vocab_size: int | None = None
    hashes: dict[str, str] = {}
    versions: dict[str, str] = {}
    options: dict[str, Plain] = {}


class Request(Record):
    """What was asked, and about which examples: with the teacher, all that decides a cache's bytes.

    Attributes:
        task: name of the task.
        source: name of the folder or file that the examples came from; no path of a machine.
        splits: rows of each split, in the order that they are written.
        prompts_digest: over ids, splits, prompts, labels and media, in order.
        teach: `all`, or `train` where the other splits are sealed with null signals.
        store: signals kept, of `text`, `repr`, `logprobs`.
        rows_per_shard: rows of each shard but a split's last.
        codec: of the top-k log-probabilities; None where none are stored.
        parameters: generation settings.
    """

    task: str
    source: str
    splits: dict[Split, Count]
    prompts_digest: str
    teach: Literal["all", "train"] = "all"
    store: tuple[str, ...] = ("repr",)
    rows_per_shard: Count
    codec: str | None = None
    parameters: dict[str, Plain] = {}


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ShardFile:
    """One sealed shard; as strict as a `Record`, and a third of its time to read: a cache may have 100,000.

    Attributes:
        name: file name, `train-00003-of-00012.parquet`.
        split: its split.
        rows: rows in it.
        taught: rows with an answer.
        errors: rows whose answer is an error.
        bytes: size of the file.
        sha256: of the file.
        prompt_tokens: charged, summed over its rows.
        completion_tokens: charged, summed over its rows.
        captured_mass: mean probability mass of a token's kept entries; None where no tails are stored.
        clamped: entries that the codec `packed` could not hold and wrote as its lowest value.
    """

    name: ShardName
    split: Split
    rows: Count
    taught: Count
    errors: Count
    bytes: Count
    sha256: str
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    captured_mass: float | None = None
    clamped: Count = 0


class Spent(Record):
    """What was charged for a cache so far, by the usage of its rows.

    Attributes:
        prompt_tokens: of all rows, those in journals too.
        completion_tokens: the same.
        cost: money; None without prices.
        projected_cost: of the whole cache, at the mean of the rows so far.
        currency: of both.
    """

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    cost: float | None = None
    projected_cost: float | None = None
    currency: str | None = None


class Part(Record):
    """Which share of a cache a folder holds, where several machines divide it.

    Attributes:
        number: of this part, from 1.
        of: parts in all.
        rows: rows that this part will hold when complete.
    """

    number: Annotated[int, Field(ge=1, strict=True)]
    of: Annotated[int, Field(ge=1, strict=True)]
    rows: Count

    def __str__(self) -> str:
        """As on the command line."""
        return f"{self.number}/{self.of}"


class CacheManifest(Record):
    """The cache in one page.

    Attributes:
        schema_version: of the shards and of this file.
        teacher: who answered.
        request: what was asked.
        files: sealed shards, in order.
        part: None where the folder holds all of the cache.
        stats_sha256: of `stats.safetensors`; None until complete, in a part, or where no representation is
            stored.
        timings: sums over all sessions: seconds in the teacher, seconds in all, retries. Never in a shard.
        spent: tokens and money, when the manifest was last written.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    teacher: TeacherIdentity
    request: Request
    files: tuple[ShardFile, ...] = ()
    part: Part | None = None
    stats_sha256: str | None = None
    timings: dict[str, float] = {}
    spent: Spent | None = None

    @model_validator(mode="after")
    def _lists_each_file_once(self) -> Self:
        for name, times in Counter(file.name for file in self.files).most_common(1):
            if times > 1:
                raise ValueError(f"{name} is listed {times} times, once is wanted")
        return self

    @property
    def fingerprint(self) -> str:
        """Digest of teacher and request: equal for all shards of a cache, and for a rerun that may go on."""
        return digest_of({"teacher": self.teacher.model_dump(), "request": self.request.model_dump()})

    @property
    def digest(self) -> str:
        """Digest of what the cache holds, clocks left out: what a result names as its origin."""
        return digest_of({"fingerprint": self.fingerprint, "files": [[f.name, f.sha256] for f in self.files]})

    @property
    def rows(self) -> int:
        """Rows that the folder will hold when complete."""
        return self.part.rows if self.part else sum(self.request.splits.values())

    @property
    def sealed_rows(self) -> int:
        """Rows in sealed shards."""
        return sum(file.rows for file in self.files)

    @property
    def complete(self) -> bool:
        """Whether every row is sealed."""
        return self.sealed_rows == self.rows

    @property
    def stores_repr(self) -> bool:
        """Whether rows carry the teacher's representation."""
        return "repr" in self.request.store and self.teacher.repr_dim is not None

    def files_of(self, split: str) -> tuple[ShardFile, ...]:
        """The sealed shards of a split, in order."""
        return tuple(file for file in self.files if file.split == split)
