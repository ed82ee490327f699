"""A finished teacher cache, opened for reading."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from schemas.errors import CacheError
from schemas.files import sha256_of
from schemas.manifest import STATS_NAME, CacheManifest, ShardFile
from schemas.manifest_file import read_manifest
from schemas.shard import open_shard


@dataclass(frozen=True, slots=True)
class TeacherCache:
    """A cache whose manifest was read and whose shards were checked.

    Attributes:
        folder: where it stands.
        manifest: what it holds.
    """

    folder: Path
    manifest: CacheManifest

    def shards(self, split: str) -> Iterator[tuple[ShardFile, pq.ParquetFile]]:
        """The shards of a split in order; their bytes were checked when the cache was opened."""
        for file in self.manifest.files_of(split):
            yield file, open_shard(self.folder, file, self.manifest, verify=False)


def open_cache(folder: Path, *, verify: bool = True) -> TeacherCache:
    """Open a complete cache.

    Args:
        folder: of the cache.
        verify: read every byte and compare digests; else all files must be there in their sizes, and each is
            looked into when it is read.

    Raises:
        CacheError: it is incomplete, or its manifest or a shard is refused.
    """
    manifest = read_manifest(folder)
    if not manifest.complete:
        raise CacheError(
            f"{folder} holds {manifest.sealed_rows} of {manifest.rows} rows; "
            "run the same cache-teacher command again, it goes on"
        )
    if manifest.part is not None:
        raise CacheError(
            f"{folder} is part {manifest.part} of a cache; join the parts with teacher-shards merge, "
            "and give the folder that it makes"
        )
    for file in manifest.files if verify else _other_sizes(folder, manifest):
        open_shard(folder, file, manifest, verify=verify).close()
    stats = folder / STATS_NAME
    if manifest.stats_sha256 and not (stats.is_file() and sha256_of(stats) == manifest.stats_sha256):
        raise CacheError(
            f"{stats} is missing or altered; run the cache-teacher command again, it makes it anew"
        )
    return TeacherCache(folder, manifest)


def _other_sizes(folder: Path, manifest: CacheManifest) -> Iterator[ShardFile]:
    """Files that are not there in the size that the manifest says; opening one tells what is wrong."""
    # Names in an open folder: of 100,000 files each microsecond counts.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        for file in manifest.files:
            try:
                size = os.stat(file.name, dir_fd=descriptor).st_size
            except OSError:
                size = -1
            if size != file.bytes:
                yield file
    finally:
        os.close(descriptor)
