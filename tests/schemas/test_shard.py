"""A shard is the one that the manifest names, or it is refused with one line that names it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.cache import open_cache
from schemas.errors import CacheError, ShardError
from schemas.files import sha256_of
from schemas.manifest import CacheManifest
from schemas.manifest_file import write_manifest
from schemas.rows import decode
from schemas.shard import FINGERPRINT_KEY, VERSION_KEY, arrow_schema, open_shard, seal, write_shard

Cache = tuple[Path, CacheManifest]
NAME = "train-00000-of-00001.parquet"


def rewrite(cache: Cache, change: Callable[[pa.Table], pa.Table]) -> None:
    """Put another table in place of the training shard, with a manifest that vouches for its bytes."""
    folder, manifest = cache
    table = change(pq.read_table(folder / NAME))
    write_shard(folder / NAME, [table], table.schema)
    file = replace(manifest.files[0], sha256=sha256_of(folder / NAME), bytes=(folder / NAME).stat().st_size)
    write_manifest(folder, manifest.model_copy(update={"files": (file, *manifest.files[1:])}))


def with_metadata(key: bytes, value: bytes) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.replace_schema_metadata({**table.schema.metadata, key: value})


def test_a_whole_cache_opens_and_gives_its_rows(cache: Cache) -> None:
    opened = open_cache(cache[0])
    ((file, shard),) = opened.shards("train")

    assert (file.rows, file.taught, file.errors) == (2, 1, 0)
    assert (file.prompt_tokens, file.completion_tokens) == (3, 2)
    assert (file.captured_mass, file.clamped) == (pytest.approx(0.8), 1)
    assert opened.manifest.files[1].captured_mass is None
    assert opened.manifest.files[1].errors == 1
    rows = decode(shard.read())
    assert [row.example.id for row in rows] == ["a", "b"]
    assert rows[1].answer is None


def test_bytes_do_not_depend_on_how_the_rows_came(cache: Cache, tmp_path: Path) -> None:
    folder, manifest = cache
    table = pq.read_table(folder / NAME).cast(arrow_schema(manifest))
    one = seal(tmp_path, "train-00000-of-00002.parquet", "train", table)
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    other = seal(tmp_path, "train-00001-of-00002.parquet", "train", chunked)

    assert one.sha256 == other.sha256 == manifest.files[0].sha256


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_representation_is_compressed_where_that_gains(tmp_path: Path, cache: Cache, dtype: str) -> None:
    table = pq.read_table(cache[0] / NAME)
    for name, step, codec in (("noise", 0.0, "UNCOMPRESSED"), ("rounded", 0.25, "ZSTD")):
        values = np.random.default_rng(0).standard_normal((40, 384))
        values = (np.round(values / step) * step if step else values).astype(dtype)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 384)
        rows = table.take([0] * 40).set_column(table.schema.get_field_index("teacher_repr"), name, lists)
        rows = rows.rename_columns(table.column_names)
        write_shard(tmp_path / name, [rows], rows.schema)
        group = pq.read_metadata(tmp_path / name).row_group(0)
        columns = [group.column(index) for index in range(group.num_columns)]
        codecs = {one.path_in_schema.partition(".")[0]: one.compression for one in columns}
        assert (codecs["teacher_repr"], codecs["prompt"]) == (codec, "ZSTD")
        assert pq.read_table(tmp_path / name).equals(rows)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), r"is missing, the manifest lists it with 2 rows"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-20]),
            r"is cut short: \d+ bytes, the manifest says \d+",
        ),
        (lambda path: path.write_bytes(b""), r"is cut short: 0 bytes"),
        (lambda path: path.write_bytes(path.read_bytes() + b" "), r"is not a readable Parquet file"),
        (lambda path: path.write_bytes(bytes(path.stat().st_size)), r"is not a readable Parquet file"),
        (lambda path: path.write_bytes(flipped(path.read_bytes())), r"was altered: its SHA-256 is not"),
    ],
)
def test_damage_is_named(cache: Cache, damage: Callable[[Path], None], message: str) -> None:
    damage(cache[0] / NAME)

    refused(cache[0], message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_metadata(VERSION_KEY, b"2"), r"has schema version 2, this reader needs 1"),
        (with_metadata(VERSION_KEY, b"\xff"), r"has schema version ., this reader needs 1"),
        (with_metadata(FINGERPRINT_KEY, b"\xff"), r"belongs to another cache: its fingerprint is ."),
        (
            with_metadata(FINGERPRINT_KEY, b"f" * 64),
            r"belongs to another cache: its fingerprint is ffffffffffffffff",
        ),
        (
            lambda t: t.append_column("colour", pa.array(["red", "blue"])),
            r"has the column colour, unknown to schema",
        ),
        (lambda t: t.drop_columns(["prompt"]), r"lacks the column prompt of schema version 1"),
        (lambda t: retyped(t, "value", pa.float64()), r"column value is double, this cache has float"),
        (lambda t: t.replace_schema_metadata(None), r"has schema version none, this reader needs 1"),
    ],
)
def test_another_shard_in_its_place_is_named(
    cache: Cache, change: Callable[[pa.Table], pa.Table], message: str
) -> None:
    rewrite(cache, change)

    refused(cache[0], message)


def test_a_cache_that_is_not_whole_says_how_to_go_on(cache: Cache) -> None:
    folder, manifest = cache
    write_manifest(folder, manifest.model_copy(update={"files": manifest.files[:1]}))

    with pytest.raises(CacheError, match=r"holds 2 of 3 rows; run the same cache-teacher command again"):
        open_cache(folder)


def test_without_verifying_only_size_and_columns_are_looked_at(cache: Cache) -> None:
    folder, manifest = cache
    (folder / NAME).write_bytes(flipped((folder / NAME).read_bytes()))

    open_shard(folder, manifest.files[0], manifest, verify=False).close()
    with pytest.raises(ShardError):
        open_shard(folder, manifest.files[0], manifest)


def test_without_verifying_a_cache_opens_without_looking_into_its_files(cache: Cache) -> None:
    folder, _ = cache
    whole = (folder / NAME).read_bytes()
    (folder / NAME).write_bytes(bytes(len(whole)))
    opened = open_cache(folder, verify=False)
    with pytest.raises(ShardError, match="is not a readable Parquet file"):
        next(opened.shards("train"))

    for damage, message in ((whole[:-1], "is cut short"), (None, "is missing, the manifest lists it")):
        (folder / NAME).write_bytes(damage) if damage else (folder / NAME).unlink()
        with pytest.raises(ShardError, match=message):
            open_cache(folder, verify=False)


def refused(folder: Path, message: str) -> None:
    with pytest.raises(ShardError, match=message) as raised:
        open_cache(folder)
    assert str(raised.value).startswith(f"{folder / NAME}")
    assert "\n" not in str(raised.value)


def flipped(data: bytes) -> bytes:
    # Near the beginning stand pages; the footer at the end is checked by its own means.
    return data[:40] + bytes([data[40] ^ 1]) + data[41:]


def retyped(table: pa.Table, name: str, kind: pa.DataType) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.set_column(index, pa.field(name, kind), table[name].cast(kind))


def test_a_number_of_rows_that_is_not_the_files_is_refused(cache: Cache) -> None:
    folder, manifest = cache
    file = replace(manifest.files[0], rows=1000)

    with pytest.raises(ShardError, match=r"train-00000-of-00001.parquet has 2 rows, the manifest says 1000"):
        open_shard(folder, file, manifest, verify=False)
