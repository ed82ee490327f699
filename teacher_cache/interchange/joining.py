"""Foreign rows to examples: joined with a file of prompts by id, or made of what the rows themselves say."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from schemas.errors import ConfigError, SourceError
from schemas.example import Example, conversation_text
from schemas.tasks import TaskSpec, find_task
from teacher_cache.interchange.asked import read_asked
from teacher_cache.interchange.foreign import ForeignRow
from teacher_cache.interchange.keys import key_of


class Joiner(Protocol):
    """Gives each foreign row its example."""

    @property
    def task(self) -> TaskSpec:
        """Of all rows."""
        ...

    def example(self, row: ForeignRow, split: str | None) -> Example:
        """The example of a row, its prompt resolved.

        Raises:
            SourceError: there is none, or the row before had the same.
        """
        ...

    def unanswered(self) -> Sequence[Example]:
        """Examples that no row named, in order."""
        ...


class WithPrompts:
    """Joins by id.

    Args:
        path: of the prompts.
        task: None takes that of the prompts.

    Raises:
        SourceError: the prompts cannot be read.
    """

    def __init__(self, path: Path, task: str | None) -> None:
        self._path = path
        reading = read_asked(path, task)
        self.task = reading.task
        self._examples = {example.id: _resolved(example, self.task) for example in reading.examples}
        for example in reading.examples:
            self.task.check(example)
        self._ids = {key_of(identifier): identifier for identifier in self._examples}
        self._places: dict[str, str] = {}

    def example(self, row: ForeignRow, split: str | None) -> Example:
        """The prompt's example; the split is the prompt's own."""
        del split
        identifier = row.id if row.key is None else self._ids.get(row.key, f"with the key {row.key}")
        if identifier is None:
            raise SourceError(
                f"{row.place}: it has no id, so no prompt can be found for it; leave --prompts out"
            )
        if identifier not in self._examples:
            raise SourceError(
                f"{row.place}: the id {identifier} is not in {self._path}; give the prompts that were asked"
            )
        _check_once(self._places, identifier, row.place)
        return self._examples[identifier]

    def unanswered(self) -> Sequence[Example]:
        """Examples that no row named, in order."""
        return [example for name, example in self._examples.items() if name not in self._places]


class WithoutPrompts:
    """Makes examples of the rows.

    Args:
        task: None is `free`.
        number_rows: name rows by their position.
    """

    def __init__(self, task: str | None, *, number_rows: bool) -> None:
        self.task = find_task(task or "free")
        if self.task.fields:
            raise ConfigError(
                f"--task {self.task.name} has the fields {', '.join(self.task.fields)}, which no foreign "
                "file holds; give them with --prompts FILE"
            )
        self._number_rows = number_rows
        self._places: dict[str, str] = {}

    def example(self, row: ForeignRow, split: str | None) -> Example:
        """An example with the row's own prompt."""
        identifier = self._identifier(row)
        _check_once(self._places, identifier, row.place)
        prompt = conversation_text(row.messages) if row.messages else row.prompt
        if prompt is None:
            raise SourceError(
                f"{row.place}: nothing says what was asked; give the prompts with --prompts FILE, or, where "
                "the row has the prompt's tokens, --tokenizer DIR"
            )
        return Example(
            id=identifier,
            task=self.task.name,
            split=split or "train",
            fields={},
            prompt=prompt,
            messages=row.messages,
        )

    def unanswered(self) -> Sequence[Example]:
        """None: the rows are all there is."""
        return []

    def _identifier(self, row: ForeignRow) -> str:
        if self._number_rows:
            return f"row-{len(self._places) + 1:06d}"
        if row.id is None and row.key is not None:
            raise SourceError(
                f"{row.place}: it has an example_key and no id; give the prompts.jsonl of its export with "
                "--prompts, or --number-rows"
            )
        if not row.id:
            raise SourceError(f"{row.place}: it has no id; add a column example_id, or give --number-rows")
        return row.id


def _resolved(example: Example, task: TaskSpec) -> Example:
    return replace(example, prompt=task.prompt(example))


def _check_once(places: dict[str, str], identifier: str, place: str) -> None:
    if (first := places.setdefault(identifier, place)) != place:
        raise SourceError(f"{place}: the id {identifier} stands in {first} too; keep one of them")
