"""Shards: the Arrow schema of the contract, and a Parquet file that is either whole or refused.

What a shard holds depends on its rows alone: no clock, no scheduler, no order of arrival.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.errors import ShardError
from schemas.files import sha256_of, whole_file
from schemas.kept_entries import CODEC_KEY, VOCAB_KEY, KeptEntries
from schemas.manifest import SCHEMA_VERSION, CacheManifest, ShardFile
from schemas.row_groups import group_bounds, row_bytes

VERSION_KEY, FINGERPRINT_KEY = b"armada.schema_version", b"armada.fingerprint"

PAIRS = pa.list_(pa.struct([("name", pa.string()), ("text", pa.string())]))
MEDIA = pa.list_(pa.struct([("path", pa.string()), ("sha256", pa.string())]))
USAGE = pa.struct([("prompt_tokens", pa.int32()), ("completion_tokens", pa.int32())])
# Strings that repeat from row to row; a dictionary over the others would be built and thrown away.
_DICTIONARY_COLUMNS = ["task", "split", "finish_reason", "fields.list.element.name"]
# A representation is compressed where this many of its values become smaller than this share of their bytes.
_SAMPLE, _LEAST_GAIN = 1 << 19, 0.875
_AGAIN = "restore it from a copy, or run the cache-teacher command again into a new folder"


def arrow_schema(manifest: CacheManifest) -> pa.Schema:
    """The columns of a cache's shards, schema version 1, with metadata that ties them to the manifest."""
    teacher = manifest.teacher
    element = pa.float16() if teacher.repr_dtype == "float16" else pa.float32()
    representation = (
        pa.list_(element, teacher.repr_dim) if manifest.stores_repr and teacher.repr_dim else pa.null()
    )
    columns: list[tuple[str, pa.DataType]] = [
        ("example_id", pa.string()),
        ("task", pa.string()),
        ("split", pa.string()),
        ("fields", PAIRS),
        ("class_ids", pa.list_(pa.int32())),
        ("value", pa.float32()),
        ("target_text", pa.string()),
        ("prompt", pa.string()),
        ("media", MEDIA),
        ("teacher_text", pa.list_(pa.string())),
        ("teacher_repr", representation),
        ("token_ids", pa.list_(pa.int32())),
        ("token_logprobs", pa.list_(pa.float32())),
        ("topk_ids", pa.binary()),
        ("topk_logprobs", pa.binary()),
        ("tail_logprob", pa.list_(pa.float32())),
        ("usage", USAGE),
        ("finish_reason", pa.string()),
        ("error", pa.string()),
    ]
    metadata = {
        VERSION_KEY: str(SCHEMA_VERSION).encode(),
        FINGERPRINT_KEY: manifest.fingerprint.encode(),
        CODEC_KEY: (manifest.request.codec or "").encode(),
    }
    if manifest.request.codec:
        metadata[VOCAB_KEY] = str(teacher.vocab_size or 0).encode()
    return pa.schema(columns, metadata=metadata)


def shard_name(split: str, index: int, count: int) -> str:
    """File name of shard `index` (from 0) of `count` in a split."""
    return f"{split}-{index:05d}-of-{count:05d}.parquet"


def write_shard(path: Path, groups: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write a shard whole or not at all: a temporary name, fsync, rename."""
    with whole_file(path) as temporary:
        write_groups(temporary, groups, schema)


def write_groups(where: Path | pa.NativeFile, groups: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write the row groups of a shard one after the other."""
    coming = iter(groups)
    first = list(islice(coming, 1))
    with pq.ParquetWriter(
        where,
        schema,
        # pyarrow takes more than its stub says: here a codec a column, and a list of columns.
        compression=_compression(schema, first),  # pyright: ignore[reportArgumentType]
        use_dictionary=_DICTIONARY_COLUMNS,  # pyright: ignore[reportArgumentType]
        write_page_checksum=True,
    ) as writer:
        for group in chain(first, coming):
            # One chunk a column: page boundaries would otherwise follow the order in which answers came in.
            writer.write_table(group.combine_chunks(), row_group_size=max(1, group.num_rows))


def _compression(schema: pa.Schema, first: Sequence[pa.Table]) -> dict[str, str]:
    """The codec of every leaf column: none for a representation that zstd makes little smaller.

    Most are noise but for their exponents, and unpacking them is most of what reading them takes.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    leaves = [column.path for column in pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema]
    codecs = dict.fromkeys(leaves, "zstd")
    if first and not pa.types.is_null(schema.field("teacher_repr").type):
        values = pc.call_function("list_flatten", [first[0].column("teacher_repr")])
        sample = values.slice(0, _SAMPLE).to_numpy().tobytes()
        if sample and pa.compress(sample, "zstd").size > _LEAST_GAIN * len(sample):
            codecs |= {leaf: "none" for leaf in leaves if leaf.startswith("teacher_repr.")}
    return codecs


def seal(folder: Path, name: str, split: str, table: pa.Table) -> ShardFile:
    """Write one shard of a cache and describe it for the manifest."""
    bounds = group_bounds(row_bytes(table))
    return seal_groups(folder, name, split, (table.slice(a, b - a) for a, b in bounds), table.schema)


def seal_groups(
    folder: Path, name: str, split: str, groups: Iterable[pa.Table], schema: pa.Schema
) -> ShardFile:
    """Write one shard whose row groups come one at a time, so that no more than one is in memory."""
    counts: Counter[str] = Counter()
    kept = KeptEntries(schema)
    path = folder / name
    write_shard(path, _counted(groups, counts, kept), schema)
    return ShardFile(
        name=name,
        split=split,
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
        captured_mass=kept.mass,
        clamped=kept.num_clamped,
        **counts,
    )


def _counted(groups: Iterable[pa.Table], counts: Counter[str], kept: KeptEntries) -> Iterator[pa.Table]:
    for group in groups:
        errors = group.num_rows - group.column("error").null_count
        counts.update(rows=group.num_rows, taught=_count_heard(group) - errors, errors=errors)
        counts.update(_sum_usage(group))
        kept.add(group)
        yield group


def _count_heard(table: pa.Table) -> int:
    heard = np.zeros(table.num_rows, bool)
    for name in ("teacher_text", "teacher_repr", "token_ids", "topk_ids", "error"):
        heard |= table.column(name).is_valid().to_numpy()
    return int(heard.sum())


def _sum_usage(table: pa.Table) -> dict[str, int]:
    counts = zip(("prompt_tokens", "completion_tokens"), table.column("usage").flatten(), strict=True)
    return {name: int(np.nansum(count.to_numpy())) for name, count in counts}


def open_shard(
    folder: Path, file: ShardFile, manifest: CacheManifest, *, verify: bool = True
) -> pq.ParquetFile:
    """Open a shard for reading after checking that it is the one that the manifest names.

    Args:
        folder: of the cache.
        file: its entry in the manifest.
        manifest: of the cache.
        verify: read every byte and compare the digest; else only size, footer and schema are checked.

    Raises:
        ShardError: it is missing, cut short, altered, foreign, of another version, or has other columns.
    """
    path = folder / file.name
    if not path.is_file():
        raise ShardError(f"{path} is missing, the manifest lists it with {file.rows} rows; {_AGAIN}")
    size = path.stat().st_size
    if size < file.bytes:
        raise ShardError(f"{path} is cut short: {size} bytes, the manifest says {file.bytes}; {_AGAIN}")
    try:
        shard = reader_of(path)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from None
    _check_columns(path, shard.schema_arrow, manifest)
    if size != file.bytes or (verify and sha256_of(path) != file.sha256):
        raise ShardError(
            f"{path} was altered: its SHA-256 is not {file.sha256[:16]}..., which the manifest has; {_AGAIN}"
        )
    if shard.metadata.num_rows != file.rows:
        raise ShardError(
            f"{path} has {shard.metadata.num_rows} rows, the manifest says {file.rows}; {_AGAIN}"
        )
    return shard


def reader_of(where: Path | pa.NativeFile) -> pq.ParquetFile:
    """Open a shard; the pages that are read are compared with their checksums."""
    return pq.ParquetFile(where, memory_map=True, page_checksum_verification=True)


def unreadable(path: Path, error: Exception) -> ShardError:
    """What is said of a shard that pyarrow cannot open, or of which it cannot read a page."""
    return ShardError(f"{path} is not a readable Parquet file ({str(error).partition(chr(10))[0]}); {_AGAIN}")


def _check_columns(path: Path, found: pa.Schema, manifest: CacheManifest) -> None:
    metadata = found.metadata or {}
    version = metadata.get(VERSION_KEY, b"none").decode(errors="replace")
    if version != str(SCHEMA_VERSION):
        raise ShardError(
            f"{path} has schema version {version}, this reader needs {SCHEMA_VERSION}; "
            "run cache-teacher again with this version"
        )
    wanted = arrow_schema(manifest)
    if unknown := [name for name in found.names if name not in wanted.names]:
        raise ShardError(
            f"{path} has the column {unknown[0]}, unknown to schema version {SCHEMA_VERSION}; {_AGAIN}"
        )
    if missing := [name for name in wanted.names if name not in found.names]:
        raise ShardError(f"{path} lacks the column {missing[0]} of schema version {SCHEMA_VERSION}; {_AGAIN}")
    for field in wanted:
        if (kind := found.field(field.name).type) != field.type:
            raise ShardError(f"{path}: column {field.name} is {kind}, this cache has {field.type}; {_AGAIN}")
    fingerprint = metadata.get(FINGERPRINT_KEY, b"none").decode(errors="replace")
    if fingerprint != manifest.fingerprint:
        raise ShardError(
            f"{path} belongs to another cache: its fingerprint is {fingerprint[:16]}, "
            f"this cache's is {manifest.fingerprint[:16]}; {_AGAIN}"
        )
