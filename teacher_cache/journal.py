"""The journal of one shard: answers as they come, on disk before anyone counts on them.

A file of frames, each a header (magic, CRC-32, length) and a payload. The first payload is the cache's
fingerprint, every other one a record batch of the shard's schema. A process may die within a write: what
follows the last whole frame is cut off when the journal is opened again, and appending goes on there. A
frame that was damaged later costs its own rows alone: whole frames behind it are found and kept.
"""

import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from schemas.console import say
from schemas.errors import CacheError
from schemas.files import sync_folder

_MAGIC = b"ARMJ"
# 16 bytes, and Arrow pads a message to 8: every payload is aligned, so batches are read from the map
# without a copy.
_HEADER = struct.Struct("<4sIQ")


def _frame(payload: bytes | memoryview) -> bytes:
    padded = bytes(payload) + bytes(-len(payload) % 8)
    return _HEADER.pack(_MAGIC, zlib.crc32(padded), len(padded)) + padded


class Journal:
    """Answers of one shard that is not sealed yet.

    Args:
        path: of the file; it is made by the first `append`.
        schema: of the shard.
        fingerprint: of the cache.
    """

    def __init__(self, path: Path, schema: pa.Schema, fingerprint: str) -> None:
        self.path = path
        self._schema = schema
        self._first_frame = _frame(fingerprint.encode())
        self._end = 0

    def frames(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Whole frames in the order they were written, as (offset in the file, batch); nothing is changed.

        Raises:
            CacheError: the journal belongs to another cache.
        """
        buffer = self._mapped()
        for offset, payload in _whole_frames(buffer, self._check_first(buffer)):
            yield offset, pa.ipc.read_record_batch(payload, self._schema)

    def recover(self) -> None:
        """Cut off what a killed process left behind the last whole frame, and say what was damaged before it.

        Raises:
            CacheError: the journal belongs to another cache.
        """
        buffer = self._mapped()
        end = self._check_first(buffer)
        damaged = 0
        for offset, payload in _whole_frames(buffer, end):
            damaged += offset - end
            end = offset + _HEADER.size + payload.size
        if damaged:
            say(f"{self.path}: {damaged} damaged bytes are left out, rows lost with them are asked again")
        if end < buffer.size:
            os.truncate(self.path, end)
        self._end = end

    def batch_at(self, buffer: pa.Buffer, offset: int) -> pa.RecordBatch:
        """The batch of the frame at an offset that `frames` gave, without a copy."""
        _, _, length = _HEADER.unpack(buffer.slice(offset, _HEADER.size))
        return pa.ipc.read_record_batch(buffer.slice(offset + _HEADER.size, length), self._schema)

    def append(self, batches: Sequence[pa.RecordBatch]) -> None:
        """Write batches with one fsync; when this returns they survive a loss of power."""
        new = self._end == 0
        data = b"".join([self._first_frame] * new + [_frame(batch.serialize()) for batch in batches])
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            _write_whole(descriptor, data, self._end)
            os.fsync(descriptor)
        except OSError as error:
            error.filename = error.filename or str(self.path)
            raise
        finally:
            os.close(descriptor)
        if new:
            sync_folder(self.path.parent)
        self._end += len(data)

    def delete(self) -> None:
        """Forget the answers: the shard is sealed and the manifest says so."""
        self.path.unlink(missing_ok=True)
        self._end = 0

    def map(self) -> pa.Buffer:
        """The file's bytes, mapped into memory, for `batch_at`."""
        return self._mapped()

    def _mapped(self) -> pa.Buffer:
        if not self.path.is_file() or self.path.stat().st_size == 0:
            return pa.py_buffer(b"")
        return pa.memory_map(str(self.path)).read_buffer()

    def _check_first(self, buffer: pa.Buffer) -> int:
        first = bytes(buffer[: len(self._first_frame)])
        if first == self._first_frame:
            return len(first)
        # A torn first write left its beginning, or a length without bytes; all else is not ours to cut.
        if self._first_frame.startswith(first) or not bytes(buffer).strip(b"\0"):
            return 0
        raise CacheError(
            f"{self.path} belongs to another cache, or its first bytes are damaged; "
            "move it away, then run the same command again"
        )


def _whole_frames(buffer: pa.Buffer, offset: int) -> Iterator[tuple[int, pa.Buffer]]:
    while offset < buffer.size:
        payload = _payload(buffer, offset)
        if payload is None:
            offset = _behind_damage(buffer, offset)
        else:
            yield offset, payload
            offset += _HEADER.size + payload.size


def _behind_damage(buffer: pa.Buffer, offset: int) -> int:
    """Where the next frame may begin: where the damaged one's header says, else at the next magic."""
    if offset + _HEADER.size <= buffer.size:
        magic, _, length = _HEADER.unpack(buffer.slice(offset, _HEADER.size))
        stop = offset + _HEADER.size + length
        if magic == _MAGIC and bytes(buffer[stop : stop + len(_MAGIC)]) == _MAGIC:
            return stop
    found = re.compile(_MAGIC).search(buffer, offset + 1)
    return found.start() if found else buffer.size


def _payload(buffer: pa.Buffer, offset: int) -> pa.Buffer | None:
    if offset + _HEADER.size > buffer.size:
        return None
    magic, checksum, length = _HEADER.unpack(buffer.slice(offset, _HEADER.size))
    start = offset + _HEADER.size
    if magic != _MAGIC or start + length > buffer.size:
        return None
    payload = buffer.slice(start, length)
    return payload if zlib.crc32(payload) == checksum else None


def _write_whole(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
