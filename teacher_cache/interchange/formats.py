"""What a foreign format is to this project: a row of the table in this folder."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from schemas.rows import Row
from teacher_cache.interchange.foreign import ForeignRow
from teacher_cache.interchange.source import ExportSource
from teacher_cache.interchange.vocabulary import Vocabulary


class Exporter(Protocol):
    """Writes rows of one cache in a foreign format."""

    def record(self, row: Row) -> dict[str, Any]:
        """A row by column or key.

        Raises:
            LeftOut: the format cannot hold it.
        """
        ...

    def files(self, splits: list[str]) -> dict[str, str]:
        """Texts of the files that stand beside the rows, by name."""
        ...


Reader = Callable[[Path, Vocabulary | None], Iterator[ForeignRow]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A foreign format.

    Attributes:
        exporter: makes what writes a cache.
        reader: reads one file.
        schema: of the Parquet files that are written; None where JSON lines are.
        suffixes: of the files that are read.
        needs: signals that a cache must store.
        holds_entries: whether log-probabilities of the most probable tokens are part of it.
        holds_tokens: whether rows are made of token ids, prompt and all, so that a tokenizer is needed.
        has_one_length: whether all rows have one length, so that shorter ones are padded.
        needs_vocabulary: whether a file says nothing of the vocabulary's size.
    """

    exporter: Callable[[ExportSource], Exporter]
    reader: Reader
    schema: pa.Schema | None = None
    suffixes: tuple[str, ...] = (".parquet",)
    needs: tuple[str, ...] = ()
    holds_entries: bool = False
    holds_tokens: bool = False
    has_one_length: bool = False
    needs_vocabulary: bool = False

    @property
    def suffix(self) -> str:
        """Of its files."""
        return ".jsonl" if self.schema is None else ".parquet"
