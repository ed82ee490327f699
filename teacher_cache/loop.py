"""The loop: so many batches in flight, each on disk before the next is asked, whole shards sealed."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from schemas.answer import Answer
from schemas.console import Advance
from schemas.errors import TeacherError
from schemas.example import Example
from teacher_cache.clock import Clock
from teacher_cache.limits import ErrorBudget
from teacher_cache.plan import ShardPlan
from teacher_cache.scoring import noting_cuts
from teacher_cache.spending import Spending
from teacher_cache.teachers import Teacher
from teacher_cache.writer import CacheWriter


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one shard that are asked together, and their answers once they are there."""

    shard: ShardPlan
    examples: Sequence[Example]
    answers: Sequence[Answer] = ()


@dataclass(slots=True, kw_only=True)
class Loop:
    """One session of asking.

    Attributes:
        teacher: entered already.
        writer: of the cache.
        clock: counts the seconds spent waiting for the teacher.
        budget: of errors.
        spending: tokens and money.
        advance: moves the progress display.
        batch_size: rows of a batch, within one shard.
        concurrency: batches in flight.
        sorts_by_length: rows of about one length stand in one batch. Batches are cut from the whole shard, so
            that a row has the same neighbours however often the run was stopped.
        num_asked: rows answered so far.
        num_errors: rows of them that failed.
    """

    teacher: Teacher
    writer: CacheWriter
    clock: Clock
    budget: ErrorBudget
    spending: Spending
    advance: Advance
    batch_size: int
    concurrency: int
    sorts_by_length: bool = False
    num_asked: int = 0
    num_errors: int = 0
    _missing: dict[str, int] = field(default_factory=dict)
    _whole: list[ShardPlan] = field(default_factory=list)

    async def run(self, missing: Iterable[tuple[ShardPlan, Sequence[int]]]) -> None:
        """Ask all that is missing and seal every shard.

        Args:
            missing: shards in order, each with the positions of the rows to ask.

        Raises:
            TeacherError: the teacher cannot answer any more, too many rows in a row have failed, or the
                budget is used up.
        """
        batches = self._batches(missing)
        waiting = next(batches, None)
        asking: set[asyncio.Task[Batch]] = set()
        try:
            while True:
                while waiting and len(asking) < self.concurrency and self.spending.reserve(waiting.examples):
                    asking.add(asyncio.create_task(self._ask(waiting)))
                    waiting = next(batches, None)
                await self._seal_whole()
                if not asking:
                    if waiting:
                        raise self.spending.exhausted()
                    return
                with self.clock.teacher():
                    done, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
                await self._keep(done)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    def _batches(self, missing: Iterable[tuple[ShardPlan, Sequence[int]]]) -> Iterator[Batch]:
        for shard, positions in missing:
            self._missing[shard.name] = len(positions)
            if not positions:
                self._whole.append(shard)
            for chosen in self._cut(shard, positions):
                yield Batch(shard, [shard.examples[position] for position in chosen])

    def _cut(self, shard: ShardPlan, positions: Sequence[int]) -> Iterator[Sequence[int]]:
        if not self.sorts_by_length:
            for start in range(0, len(positions), self.batch_size):
                yield positions[start : start + self.batch_size]
            return
        wanted = set(positions)
        order = sorted(range(len(shard.examples)), key=lambda position: length_of(shard.examples[position]))
        for start in range(0, len(order), self.batch_size):
            if chosen := [at for at in order[start : start + self.batch_size] if at in wanted]:
                yield chosen

    async def _ask(self, batch: Batch) -> Batch:
        answers = await self.teacher.answer(batch.examples)
        if len(answers) != len(batch.examples):
            raise TeacherError(
                f"the teacher gave {len(answers)} answers to {len(batch.examples)} examples, "
                f"the first is {batch.examples[0].id}; its backend is at fault, please report it"
            )
        return Batch(batch.shard, batch.examples, noting_cuts(batch.examples, answers))

    async def _keep(self, done: set[asyncio.Task[Batch]]) -> None:
        """Journal what came back, one fsync a shard however many batches it is, then raise what did not."""
        finished = [task.result() for task in done if task.exception() is None]
        # In a thread: a slow disk must not keep a service's connections waiting.
        await asyncio.to_thread(self.writer.record, [(b.shard, b.examples, b.answers) for b in finished])
        for batch in finished:
            self._count(batch)
        for task in done:
            task.result()

    def _count(self, batch: Batch) -> None:
        self.num_asked += len(batch.answers)
        self.num_errors += sum(answer.error is not None for answer in batch.answers)
        self.spending.settle(batch.examples, batch.answers)
        failed = f"{self.num_errors} errors" if self.num_errors else ""
        self.advance(len(batch.answers), note=", ".join(filter(None, (self.spending.note, failed))))
        for example, answer in zip(batch.examples, batch.answers, strict=True):
            self.budget.count(example.id, answer.error)
        self._missing[batch.shard.name] -= len(batch.answers)
        if not self._missing[batch.shard.name]:
            self._whole.append(batch.shard)

    async def _seal_whole(self) -> None:
        while self._whole:
            await asyncio.to_thread(self.writer.seal, self._whole.pop(0))


def length_of(example: Example) -> int:
    """Characters that a teacher reads of an example."""
    return len(example.prompt or "") + len(example.answer_to_score or "")
