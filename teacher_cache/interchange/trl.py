"""TRL's data for supervised fine-tuning: `prompt` and `completion`, each a list of turns.

Its trainers that learn from a teacher's distributions (`trl.DistillationTrainer`, and `gkd`, `gold`, `sdft`
and `server_distillation` under `trl.experimental`) ask the teacher while they train; no column of theirs
holds log-probabilities, so texts are all that can be handed over. `SFTTrainer` learns the completion alone,
unless told otherwise.

Read are also `messages` (the last turn is the completion), and prompt and completion as plain texts, from
Parquet or JSON lines.

Source: trl 1.16.0 (PyPI): trainer/sft_trainer.py, trainer/distillation_trainer.py; docs, "Dataset formats
and types".
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.answer import Answer
from schemas.errors import SourceError
from schemas.rows import Row
from teacher_cache.interchange.foreign import ForeignRow
from teacher_cache.interchange.lines import read_objects
from teacher_cache.interchange.sequences import system_of
from teacher_cache.interchange.source import ExportSource, chat_messages, check_answered
from teacher_cache.interchange.tables import read_rows
from teacher_cache.interchange.vocabulary import Vocabulary
from teacher_cache.readers.conversation import Conversation, read_conversation
from teacher_cache.readers.media_items import MediaReader
from teacher_cache.readers.prompt_row import PromptRow, checked

_TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SCHEMA = pa.schema([("example_id", pa.string()), ("prompt", _TURNS), ("completion", _TURNS)])
_LINES = (".jsonl", ".ndjson", ".json")


class TrlExporter:
    """Writes rows as SFTTrainer takes them."""

    def __init__(self, source: ExportSource) -> None:
        self._system = system_of(source.cache.manifest)

    def record(self, row: Row) -> dict[str, Any]:
        """A row by column; of several samples the first.

        Raises:
            LeftOut: it has no text.
        """
        check_answered(row, ("text",))
        assert row.answer is not None
        assert row.answer.texts is not None
        return {
            "example_id": row.example.id,
            "prompt": chat_messages(row, self._system),
            "completion": [{"role": "assistant", "content": row.answer.texts[0]}],
        }

    def files(self, splits: list[str]) -> dict[str, str]:
        """How it is used."""
        from teacher_cache.interchange.cards import trl_card

        return {"README.md": trl_card(splits)}


def read_trl(path: Path, _vocabulary: Vocabulary | None) -> Iterator[ForeignRow]:
    """Rows of one Parquet file, or lines of one of JSON.

    Raises:
        SourceError: it cannot be read, or a row is not as it should be.
    """
    rows = read_objects(path) if path.suffix in _LINES else read_rows(path, (), "trl")
    for place, row in rows:
        yield _foreign(place, row)


def _foreign(place: str, row: dict[str, Any]) -> ForeignRow:
    identifier = next(
        (row[name] for name in ("example_id", "custom_id", "id") if row.get(name) is not None), None
    )
    prompt, completion = row.get("prompt"), row.get("completion")
    if row.get("messages") is None and isinstance(prompt, str) and isinstance(completion, str):
        answer = Answer(texts=(completion,))
        return ForeignRow(place=place, id=_text_of(identifier), prompt=prompt, answer=answer)
    talk = _conversation(place, row)
    alone = len(talk.messages) == 1 and talk.messages[0].role == "user"
    assert talk.reference is not None
    return ForeignRow(
        place=place,
        id=_text_of(identifier),
        prompt=talk.messages[0].content if alone else None,
        messages=() if alone else talk.messages,
        answer=Answer(texts=(talk.reference,)),
    )


def _text_of(identifier: Any) -> str | None:
    return None if identifier is None else str(identifier)


def _conversation(place: str, row: dict[str, Any]) -> Conversation:
    turns = row.get("messages")
    if turns is None:
        prompt, completion = row.get("prompt"), row.get("completion")
        if not (isinstance(prompt, list) and isinstance(completion, list)):
            raise SourceError(
                f"{place}: neither messages nor prompt and completion, both texts or both turns; name the "
                "file's own format"
            )
        turns = [*prompt, *completion]
    read = checked(place, PromptRow, {"messages": turns}).messages
    try:
        talk = read_conversation(read or [], MediaReader(None))
    except ValueError as error:
        raise SourceError(f"{place}: {error}") from None
    if talk.media:
        raise SourceError(f"{place}: it shows a picture, and pictures are not imported; leave the row out")
    if talk.reference is None:
        raise SourceError(f"{place}: no turn of the assistant stands last, so nothing was answered; add one")
    return talk
