"""Texts tokenised once, in flat, memory-mapped files: distill/ragged.py.

Letters: R rows of the split.
"""

import fcntl
import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from distill.encoding import encode, filled
from distill.ragged import Flat, write_flat
from schemas.cache import TeacherCache
from schemas.console import say
from schemas.errors import ShardError
from schemas.files import cache_folder
from schemas.manifest import digest_of
from schemas.tasks.task import template_fields

_LAYOUT = 3
# What the files hold of each row beside its tokens.
_NARROW = ("id_hash", "cut")
Kept = TypeVar("Kept")


class Tokens:
    """The token ids of a split's rows.

    Args:
        path: of the files.

    Attributes:
        lengths: tokens of each row, (R,).
        id_hashes: hash of each row's example id, (R,).
        cut: which rows had more tokens than were kept, (R,).
    """

    def __init__(self, path: Path) -> None:
        held = Flat(path)
        self._lists = held.lists
        self.lengths: NDArray[np.int32] = self._lists["input_ids"].lengths
        self.id_hashes: NDArray[np.uint64] = held.columns["id_hash"]
        self.cut: NDArray[np.bool_] = held.columns["cut"]

    @property
    def names(self) -> tuple[str, ...]:
        """What there is of each row: `input_ids`, and `token_type_ids` for pairs."""
        return tuple(self._lists)

    def rows(self, name: str, rows: NDArray[np.int64]) -> list[NDArray[np.int32]]:
        """One column of some rows, each as a view of the file."""
        return self._lists[name].rows(rows)


def tokenised(
    cache: TeacherCache, split: str, tokenizer: Any, templates: Sequence[str], max_length: int
) -> Tokens:
    """Open the token files of a split, and make them first where there are none.

    Args:
        cache: whose texts are read.
        split: of the cache.
        tokenizer: a fast tokenizer of transformers.
        templates: names of fields in braces: one text, or two that are encoded as a pair.
        max_length: tokens kept of a text or pair.

    Raises:
        ShardError: a row lacks one of the fields.
    """
    made_with = [settings_of(tokenizer), tokenizer.pad_token_id, max_length]
    key = digest_of([_LAYOUT, cache.manifest.digest, split, *made_with, list(templates)])
    path = cache_folder() / "tokens" / f"{key[:32]}.json"

    def make() -> None:
        write_flat(path, _batches(cache, split, tokenizer, templates, max_length))

    return kept(path, Tokens, make)


def settings_of(tokenizer: Any) -> dict[str, Any]:
    """All that decides what a tokenizer gives, but the cutting and padding that its last caller set."""
    settings = json.loads(tokenizer.backend_tokenizer.to_str())
    return {name: value for name, value in settings.items() if name not in ("truncation", "padding")}


def kept(path: Path, read: Callable[[Path], Kept], make: Callable[[], None]) -> Kept:
    """Open a file that is computed once, and make it first where there is none or it is damaged.

    Args:
        path: of the file.
        read: opens it.
        make: writes it, whole.
    """
    with alone(path):
        if path.exists():
            try:
                return read(path)
            # NumPy tells an empty file by EOFError.
            except (ValueError, EOFError, FileNotFoundError) as error:
                say(f"{path} is damaged ({str(error).partition(chr(10))[0]}); it is made again")
        make()
        return read(path)


@contextmanager
def alone(path: Path) -> Generator[None]:
    """Be the only process that makes this file; the folder is made first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _batches(
    cache: TeacherCache, split: str, tokenizer: Any, templates: Sequence[str], max_length: int
) -> Iterator[pa.RecordBatch]:
    names = template_fields(templates)
    for file, shard in cache.shards(split):
        with shard:
            for group in range(shard.num_row_groups):
                table = shard.read_row_group(group, columns=["example_id", "fields"])
                columns = {name: _texts(table.column("fields"), name, file.name) for name in names}
                encoded = encode(tokenizer, filled(templates, columns), max_length)
                narrow = (hashes_of(table.column("example_id")), pa.array(encoded.cut))
                columns = {name: pa.array(ids, pa.list_(pa.int32())) for name, ids in encoded.columns.items()}
                yield pa.RecordBatch.from_pydict({**columns, **dict(zip(_NARROW, narrow, strict=True))})


def _texts(column: pa.ChunkedArray, name: str, shard: str) -> list[str]:
    names, texts = pa.concat_arrays(column.chunks).flatten().flatten()
    texts = texts.filter(pc.equal(names, name))  # pyright: ignore[reportAttributeAccessIssue]
    if len(texts) != len(column):
        raise ShardError(
            f"{shard}: {len(texts)} of {len(column)} rows have the field {name!r}, the student reads it; "
            "run cache-teacher again with this --task"
        )
    return texts.to_pylist()


def hashes_of(ids: pa.ChunkedArray) -> pa.Array:
    """A 64-bit hash of each example id."""
    digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in ids.to_pylist())
    return pa.array(np.frombuffer(b"".join(digests), "<u8"), pa.uint64())
