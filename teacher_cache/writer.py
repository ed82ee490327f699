"""Everything that a run writes into its folder: journals while rows come in, shards when they are whole.

Order of a commit: journal, fsync; shard under a temporary name, fsync, rename; manifest, fsync, rename;
journal deleted. So a shard's answers are in its journal until the manifest names the shard, and a run may
die between any two steps.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.answer import Answer, Usage
from schemas.example import Example
from schemas.manifest import CacheManifest, ShardFile
from schemas.manifest_file import write_manifest
from schemas.row_groups import group_bounds, row_bytes
from schemas.rows import Row, encode
from schemas.shard import arrow_schema, open_shard, seal, seal_groups
from teacher_cache.clock import Clock
from teacher_cache.folder import JOURNAL_NAME
from teacher_cache.journal import Journal
from teacher_cache.plan import ShardPlan
from teacher_cache.spending import Spending
from teacher_cache.statistics import has_statistics, write_statistics


class CacheWriter:
    """The files of one cache, written by one process.

    Args:
        folder: of the cache, locked by this process.
        manifest: what it shall hold, with the shards that are sealed already.
        shards: the plan, in order.
        clock: of this session.
        spending: of all sessions.
        publish: told of each manifest after it is written.
    """

    def __init__(
        self,
        folder: Path,
        manifest: CacheManifest,
        shards: Sequence[ShardPlan],
        clock: Clock,
        spending: Spending,
        *,
        publish: Callable[[CacheManifest], None] | None = None,
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self._shards = shards
        self.clock = clock
        self.spending = spending
        self._publish = publish
        self._schema = arrow_schema(manifest)
        self._journals: dict[str, Journal] = {}
        self._reopened: set[str] = set()
        self._mended: list[ShardPlan] = []
        self._charged: dict[str, dict[str, int] | None] = {}
        (folder / JOURNAL_NAME).mkdir(exist_ok=True)
        self._tidy()

    def _tidy(self) -> None:
        # The journal of a shard with errors may hold answers of a run that asked them again and was stopped.
        done = {file.name for file in self.manifest.files if not file.errors}
        for shard in self._shards:
            journal = self._journals[shard.name] = Journal(
                journal_path(self.folder, shard.name), self._schema, self.manifest.fingerprint
            )
            if shard.name in done:
                journal.delete()
            else:
                journal.recover()
        if self.manifest.complete and not has_statistics(self.folder, self.manifest):
            self._write(self._with_statistics(self.manifest))

    @property
    def unsealed(self) -> list[ShardPlan]:
        """Shards still to be sealed, in order."""
        sealed = {file.name for file in self.manifest.files} - self._reopened
        return [shard for shard in self._shards if shard.name not in sealed]

    def missing(self, shard: ShardPlan, *, retry_errors: bool = False) -> list[int]:
        """Positions in the shard that have no answer yet, or only an error that is to be asked again."""
        answered: dict[str, bool] = {}
        for _, batch in self._journals[shard.name].frames():
            identifiers = batch.column("example_id").to_pylist()
            failed = batch.column("error").is_valid().to_pylist()
            answered.update(zip(identifiers, failed, strict=True))
            if retry_errors:
                self._charged.update(zip(identifiers, batch.column("usage").to_pylist(), strict=True))
        return [
            position
            for position, example in enumerate(shard.examples)
            if (failed := answered.get(example.id)) is None or (failed and retry_errors)
        ]

    def num_taught(self, teach: str) -> int:
        """Rows that the teacher is asked about in all, `--teach` being `all` or `train`."""
        return sum(len(one.examples) for one in self._shards if teach == "all" or one.split == "train")

    def charged(self) -> tuple[int, int]:
        """Prompt and completion tokens that were charged so far."""
        charged = [
            (file.prompt_tokens, file.completion_tokens)
            for file in self.manifest.files
            if file.name not in self._reopened
        ]
        for shard in self.unsealed:
            usages: dict[str, dict[str, int] | None] = {}
            for _, batch in self._journals[shard.name].frames():
                identifiers = batch.column("example_id").to_pylist()
                usages.update(zip(identifiers, batch.column("usage").to_pylist(), strict=True))
            charged += [tuple(usage.values()) for usage in usages.values() if usage]
        prompt_tokens, completion_tokens = (sum(numbers) for numbers in zip((0, 0), *charged, strict=True))
        return prompt_tokens, completion_tokens

    def record(self, answered: Iterable[tuple[ShardPlan, Sequence[Example], Sequence[Answer]]]) -> None:
        """Append finished batches to the journals of their shards, with one frame and one fsync a shard."""
        rows: dict[str, list[Row]] = {}
        for shard, examples, answers in answered:
            pairs = zip(examples, answers, strict=True)
            new = [_row(example, self._with_earlier_charge(example.id, answer)) for example, answer in pairs]
            rows.setdefault(shard.name, []).extend(new)
        # Many rows in one frame cost little more than one, to encode now and to read when sealing.
        for name, finished in rows.items():
            self._journals[name].append([encode(finished, self._schema)])

    def _with_earlier_charge(self, example_id: str, answer: Answer) -> Answer:
        """What a row was charged for is the sum of its tries: the error that it had was paid for too."""
        before = self._charged.get(example_id)
        if not before:
            return answer
        now = answer.usage or Usage(0, 0)
        return replace(
            answer,
            usage=Usage(
                now.prompt_tokens + before["prompt_tokens"],
                now.completion_tokens + before["completion_tokens"],
            ),
        )

    def note_session(self, num_asked: int) -> None:
        """Keep the seconds and the money of a session that ends, however it does."""
        self.clock.save(self.folder / JOURNAL_NAME, num_asked)
        if self.spending.spent is not None:
            self._write(self.manifest)

    def seal(self, shard: ShardPlan) -> None:
        """Turn a whole journal into a shard, in the order of the examples."""
        if shard.name in self._reopened:
            self._mended.append(shard)
            if len(self._mended) == len(self._reopened):
                self._reseal()
            return
        journal = self._journals[shard.name]
        groups = _ordered_groups(journal, [example.id for example in shard.examples])
        self._commit(seal_groups(self.folder, shard.name, shard.split, groups, self._schema))
        journal.delete()

    def seal_unasked(self, shard: ShardPlan) -> None:
        """Seal a shard whose rows the teacher is not asked about."""
        rows = [_row(example, None) for example in shard.examples]
        table = pa.Table.from_batches([encode(rows, self._schema)])
        self._commit(seal(self.folder, shard.name, shard.split, table))

    def reopen_failed(self) -> None:
        """Copy sealed shards with errors into journals, so that their errors can be asked again.

        The manifest keeps them until all were asked: a run that is stopped leaves the cache as it was.
        """
        self._reopened = {file.name for file in self.manifest.files if file.errors}
        for file in [file for file in self.manifest.files if file.errors]:
            plan = next(shard for shard in self._shards if shard.name == file.name)
            if not self.missing(plan):
                # An earlier run copied it already, and its newer answers must stay the last.
                continue
            journal = self._journals[file.name]
            with open_shard(self.folder, file, self.manifest) as shard:
                for batch in shard.iter_batches():
                    journal.append([batch.replace_schema_metadata(self._schema.metadata)])

    def _reseal(self) -> None:
        """Let go of the shards that were asked again, whose journals are whole, and seal them anew."""
        kept = tuple(file for file in self.manifest.files if file.name not in self._reopened)
        self._reopened = set()
        self._write(self.manifest.model_copy(update={"files": kept, "stats_sha256": None}))
        for shard in self._mended:
            self.seal(shard)

    def _commit(self, file: ShardFile) -> None:
        order = [shard.name for shard in self._shards]
        files = sorted([*self.manifest.files, file], key=lambda file: order.index(file.name))
        manifest = self.manifest.model_copy(update={"files": tuple(files)})
        if len(files) == len(order):
            # The statistics come with the last shard: a manifest that is complete has them.
            manifest = self._with_statistics(manifest)
        self._write(manifest)

    def _with_statistics(self, manifest: CacheManifest) -> CacheManifest:
        return manifest.model_copy(update={"stats_sha256": write_statistics(self.folder, manifest)})

    def _write(self, manifest: CacheManifest) -> None:
        self.manifest = manifest.model_copy(
            update={"timings": self.clock.sums, "spent": self.spending.spent or manifest.spent}
        )
        write_manifest(self.folder, self.manifest)
        if self._publish is not None:
            self._publish(self.manifest)


def journal_path(folder: Path, shard_name: str) -> Path:
    """Where the answers of a shard stand until it is sealed."""
    return folder / JOURNAL_NAME / Path(shard_name).with_suffix(".journal").name


def _row(example: Example, answer: Answer | None) -> Row:
    assert example.prompt is not None, "the plan resolves every prompt"
    return Row(example, example.prompt, answer)


def _ordered_groups(journal: Journal, identifiers: Sequence[str]) -> Iterator[pa.Table]:
    """Row groups in the order of `identifiers`; only the frames that a group needs are read for it."""
    position_of = {identifier: position for position, identifier in enumerate(identifiers)}
    offsets: NDArray[np.int64] = np.full(len(identifiers), -1)
    indices, sizes = np.zeros_like(offsets), np.zeros_like(offsets)
    for offset, batch in journal.frames():
        positions = [position_of[identifier] for identifier in batch.column("example_id").to_pylist()]
        # A later frame wins: it is the answer to a row that was asked again.
        offsets[positions], indices[positions], sizes[positions] = (
            offset,
            np.arange(len(positions)),
            row_bytes(batch),
        )
    assert (offsets >= 0).all(), "a shard is sealed when every row has an answer"
    buffer = journal.map()
    for start, stop in group_bounds(sizes):
        yield _gathered(journal, buffer, offsets[start:stop], indices[start:stop])


def _gathered(
    journal: Journal, buffer: pa.Buffer, offsets: NDArray[np.int64], indices: NDArray[np.int64]
) -> pa.Table:
    frames, frame_of_row = np.unique(offsets, return_inverse=True)
    batches = [journal.batch_at(buffer, int(offset)) for offset in frames]
    starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
    return pa.Table.from_batches(batches).take(starts[frame_of_row] + indices)
