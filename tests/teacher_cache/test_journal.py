"""The journal: what was appended is there, whatever a dying process left behind it."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import CacheError
from teacher_cache.journal import Journal

SCHEMA = pa.schema([("example_id", pa.string()), ("value", pa.int64())])


def batch(*values: int) -> pa.RecordBatch:
    return pa.record_batch([[f"row-{value}" for value in values], list(values)], schema=SCHEMA)


def values(journal: Journal) -> list[list[int]]:
    return [found.column("value").to_pylist() for _, found in journal.frames()]


def opened(path: Path, fingerprint: str = "f" * 64) -> Journal:
    journal = Journal(path, SCHEMA, fingerprint)
    journal.recover()
    return journal


def test_what_was_appended_is_read_in_order(tmp_path: Path) -> None:
    journal = opened(tmp_path / "a.journal")
    journal.append([batch(1, 2), batch(3)])
    journal.append([batch(4)])

    assert values(opened(tmp_path / "a.journal")) == [[1, 2], [3], [4]]


def test_a_batch_is_found_at_its_offset(tmp_path: Path) -> None:
    journal = opened(tmp_path / "a.journal")
    journal.append([batch(1, 2), batch(3)])
    offsets = [offset for offset, _ in journal.frames()]

    assert journal.batch_at(journal.map(), offsets[1]).equals(batch(3))


def test_a_journal_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert values(opened(tmp_path / "a.journal")) == []


def test_every_cut_keeps_the_whole_frames_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    journal = opened(path)
    sizes = []
    for value in range(3):
        journal.append([batch(value)])
        sizes.append(path.stat().st_size)
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        recovered = opened(path)
        kept = sum(size <= cut for size in sizes)
        assert values(recovered) == [[value] for value in range(kept)]
        recovered.append([batch(99)])
        assert values(opened(path)) == [*([value] for value in range(kept)), [99]]


@given(data=st.data())
def test_a_changed_byte_costs_its_frame_alone(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "a.journal"
    journal = opened(path)
    journal.append([batch(1)])
    first = path.stat().st_size
    journal.append([batch(2)])
    second = path.stat().st_size
    journal.append([batch(3), batch(4)])
    damaged = bytearray(path.read_bytes())
    position = data.draw(st.integers(first, second - 1))
    damaged[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)

    # Bytes that only pad the message may change without changing a value; nothing else may.
    recovered = opened(path)
    assert values(recovered) == [[1], [3], [4]]
    recovered.append([batch(5)])
    assert values(opened(path)) == [[1], [3], [4], [5]]


def test_damage_is_said_and_a_torn_end_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.journal"
    journal = opened(path)
    for value in range(4):
        journal.append([batch(value)])
    offsets = [offset for offset, _ in journal.frames()]
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    opened(path)
    assert not capsys.readouterr().err

    # Two frames in a row, the header of one and the payload of the other.
    damaged = bytearray(whole)
    damaged[offsets[1] + 9] ^= 255
    damaged[offsets[2] + 40] ^= 255
    path.write_bytes(damaged)
    assert values(opened(path)) == [[0], [3]]
    lost = offsets[3] - offsets[1]
    assert capsys.readouterr().err.startswith(f"{path}: {lost} damaged bytes are left out")


@pytest.mark.parametrize("content", [b"PAR1 is no journal" * 20, b"ARM?", b"ARMJ" + bytes(200)])
def test_a_file_that_does_not_begin_as_ours_is_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.journal"
    path.write_bytes(content)

    with pytest.raises(CacheError, match=r"a.journal belongs to another cache, or its first bytes are dam"):
        opened(path)
    assert path.read_bytes() == content


def test_a_first_write_that_left_zeros_alone_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_bytes(bytes(4096))

    opened(path).append([batch(1)])
    assert values(opened(path)) == [[1]]


def test_the_journal_of_another_cache_is_refused(tmp_path: Path) -> None:
    opened(tmp_path / "a.journal").append([batch(1)])

    with pytest.raises(CacheError, match=r"a.journal belongs to another cache"):
        opened(tmp_path / "a.journal", "0" * 64)


def test_a_deleted_journal_begins_anew(tmp_path: Path) -> None:
    journal = opened(tmp_path / "a.journal")
    journal.append([batch(1)])
    journal.delete()
    journal.append([batch(2)])

    assert values(opened(tmp_path / "a.journal")) == [[2]]
