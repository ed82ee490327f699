"""The rows of each set of instructions, by its name, from the files that its publisher ships."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from schemas.errors import SourceError
from schemas.tasks import TaskSpec
from teacher_cache.readers.lines import read_text
from teacher_cache.readers.records import Record, read_object, read_records, text_of
from teacher_cache.readers.split_files import missing

NUM_SNI_INSTANCES, NUM_UNI, MIN_WORDS = 100, 2000, 11


@dataclass(frozen=True, slots=True)
class InstructionRow:
    """One instruction.

    Attributes:
        path: of its file.
        place: in it.
        instruction: what to do.
        input: on what; may be empty.
        output: the right answer.
    """

    path: Path
    place: str
    instruction: str
    input: str
    output: str

    @property
    def is_long(self) -> bool:
        """Whether the reference has more than ten words."""
        return len(self.output.split()) >= MIN_WORDS


# Instruction, input, output.
Texts = tuple[str, str, str]
Rows = Iterator[InstructionRow]


def rows_of_set(folder: Path, part: str, task: TaskSpec) -> Rows:
    """The rows of a set that is reported, in its order.

    Args:
        folder: of the set.
        part: its name.
        task: that they are read for.

    Raises:
        SourceError: its files are missing or not as they should be.
    """
    readers: dict[str, tuple[str, Callable[[Path, TaskSpec], Rows]]] = {
        "selfinst": ("user_oriented_instructions.jsonl", _selfinst),
        "vicuna": ("question.jsonl", _vicuna),
        "sni": ("tasks", _sni),
        "uni": ("core_data.jsonl", _uni),
    }
    name, read = readers[part]
    if (folder / name).exists():
        return read(folder / name, task)
    if (folder / "test.jsonl").is_file():
        return plain_rows(folder / "test.jsonl", task)
    raise SourceError(missing(folder, f"{name} or test.jsonl", task))


def plain_rows(path: Path, task: TaskSpec) -> Rows:
    """Rows of `instruction`, `input` and `output`.

    Raises:
        SourceError: the file is missing or not as it should be.
    """
    if not path.is_file():
        raise SourceError(missing(path.parent, path.name, task))
    return records_of(path, _of_plain)


def records_of(path: Path, read: Callable[[str, Record], Iterable[Texts]]) -> Rows:
    """Rows of a file of objects.

    Args:
        path: of the file.
        read: an object, with its place for messages, to instruction, input and output of each row in it.

    Raises:
        SourceError: the file is missing or not as it should be.
    """
    for place, record in read_records(path):
        for texts in read(f"{path}, {place}", record):
            yield InstructionRow(path, place, *texts)


def _of_plain(where: str, record: Record) -> Iterator[Texts]:
    given = text_of(where, record, "input") if "input" in record else ""
    yield text_of(where, record, "instruction"), given, text_of(where, record, "output")


def of_dolly(where: str, record: Record) -> Iterator[Texts]:
    """The row of one of Dolly's objects."""
    instruction, context, response = (
        text_of(where, record, key) for key in ("instruction", "context", "response")
    )
    yield instruction, context, response


def _selfinst(path: Path, task: TaskSpec) -> Rows:
    del task
    return records_of(path, _of_instances)


def _of_instances(where: str, record: Record) -> Iterator[Texts]:
    instruction = text_of(where, record, "instruction")
    for instance in _objects(where, record, "instances"):
        yield instruction, text_of(where, instance, "input"), text_of(where, instance, "output")


def _uni(path: Path, task: TaskSpec) -> Rows:
    del task
    return islice((row for row in records_of(path, _of_instances) if row.is_long), NUM_UNI)


def _vicuna(path: Path, task: TaskSpec) -> Rows:
    """Questions beside a model's answers, which are the references."""
    answers = sorted(path.parent.glob("answer_*.jsonl"))
    if len(answers) != 1:
        found = ", ".join(file.name for file in answers) or "none"
        raise SourceError(
            f"{path.parent}: {found}, one answer_*.jsonl is wanted, whose texts are the references of "
            f"{task.name}; keep one there"
        )
    texts = {
        str(record.get("question_id")): _said(f"{answers[0]}, {place}", record)
        for place, record in read_records(answers[0])
    }
    for place, record in read_records(path):
        key = str(record.get("question_id"))
        if key not in texts:
            raise SourceError(f"{path}, {place}: no answer to question {key} in {answers[0].name}; add one")
        yield InstructionRow(path, place, _said(f"{path}, {place}", record), "", texts[key])


def _said(where: str, record: Record) -> str:
    """What a question or an answer says: its text, or in later releases the first of its turns."""
    if "choices" in record:
        record = (_objects(where, record, "choices") or [{}])[0]
    return _first_text(where, record, "turns" if "turns" in record else "text")


def _sni(path: Path, task: TaskSpec) -> Rows:
    names = path.parent / "splits" / "default" / "test_tasks.txt"
    if not names.is_file():
        raise SourceError(missing(path.parent, "splits/default/test_tasks.txt", task))
    for name in read_text(names).split():
        if "/" in name or name.startswith("."):
            raise SourceError(f"{names}: {name[:60]!r} is no name of a task; mend the file")
        yield from _sni_task(path / f"{name}.json")


def _sni_task(path: Path) -> Rows:
    record = read_object(path)
    definition = _first_text(str(path), record, "Definition")
    for number, instance in enumerate(_objects(str(path), record, "Instances"), 1):
        if number > NUM_SNI_INSTANCES:
            return
        where = f"{path}, instance {number}"
        given, output = text_of(where, instance, "input"), _first_text(where, instance, "output")
        row = InstructionRow(path, f"instance {number}", definition, given, output)
        if row.is_long:
            yield row


def _first_text(where: str, record: Record, key: str) -> str:
    """A text, or the first of a list of texts."""
    value = record.get(key)
    if isinstance(value, list) and value:
        return text_of(where, {key: value[0]}, key)
    return text_of(where, record, key)


def _objects(where: str, record: Record, key: str) -> list[dict[str, Any]]:
    value = record.get(key)
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise SourceError(f"{where}: {key!r} is no list of objects; mend the record")
