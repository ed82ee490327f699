"""Mean and variance of the training split's representations, so that no training run makes a pass for them.

Letters: R rows, d width of the representation.
"""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.files import sha256_of, write_bytes
from schemas.manifest import STATS_NAME, CacheManifest
from schemas.rows import representations


class Moments:
    """Running mean and variance in float64; the same rows in the same groups give the same bits.

    Args:
        width: d.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.mean_d: NDArray[np.float64] = np.zeros(width)
        self._squares_d: NDArray[np.float64] = np.zeros(width)

    def add(self, values_Rd: NDArray[np.floating]) -> None:
        """Take in a group of rows.

        Source: Chan, Golub, LeVeque (1983), pairwise update of mean and sum of squared deviations.
        """
        if not len(values_Rd):
            return
        rows_Rd = values_Rd.astype(np.float64)
        mean_d = rows_Rd.mean(axis=0)
        total = self.count + len(rows_Rd)
        step_d = mean_d - self.mean_d
        self._squares_d += ((rows_Rd - mean_d) ** 2).sum(axis=0) + step_d**2 * (
            self.count * len(rows_Rd) / total
        )
        self.mean_d += step_d * (len(rows_Rd) / total)
        self.count = total

    @property
    def variance_d(self) -> NDArray[np.float64]:
        """Mean squared deviation; zero where no row was seen."""
        return self._squares_d / max(self.count, 1)


def has_statistics(folder: Path, manifest: CacheManifest) -> bool:
    """Whether the statistics that the manifest names, if it names any, are there."""
    path = folder / STATS_NAME
    return manifest.stats_sha256 is None or (path.is_file() and sha256_of(path) == manifest.stats_sha256)


def write_statistics(folder: Path, manifest: CacheManifest) -> str | None:
    """Write `stats.safetensors` (float64 `mean` and `variance`, int64 `count`) of the training shards.

    Returns:
        Its SHA-256, or None where the cache stores no representation, or is a part of one.
    """
    if not manifest.stores_repr or manifest.part is not None:
        return None
    from safetensors.numpy import save

    moments = Moments(manifest.teacher.repr_dim or 0)
    for file in manifest.files_of("train"):
        with pq.ParquetFile(folder / file.name) as shard:
            for group in range(shard.num_row_groups):
                column = shard.read_row_group(group, columns=["teacher_repr"]).column("teacher_repr")
                values_Rd, present_R = representations(column)
                moments.add(values_Rd[present_R])
    tensors = {"mean": moments.mean_d, "variance": moments.variance_d, "count": np.array(moments.count)}
    path = folder / STATS_NAME
    # Its own save_file makes a file that the owner alone may read, and a full disk is no OSError there.
    write_bytes(path, save(tensors))
    return sha256_of(path)
