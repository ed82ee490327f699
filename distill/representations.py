"""The teacher's representations on their way to the aligner: read by window, standardised, controlled.

Letters: R rows of the split, W rows of a window, B batch, D width of the representation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from distill.config import DistillationConfig
from distill.controls import donors, noise, sigma_of
from distill.split import Split
from distill.tokens import cache_folder, kept
from schemas.cache import TeacherCache
from schemas.errors import CacheError
from schemas.files import whole_file
from schemas.manifest import STATS_NAME, digest_of

Values = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Standardiser:
    """Mean and spread of the training split, taken from every representation.

    Attributes:
        mean_D: float32.
        scale_D: one over the standard deviation, float32; 1 where a value never varies.
    """

    mean_D: NDArray[np.float32]
    scale_D: NDArray[np.float32]

    def __call__(self, values_BD: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values with mean 0 and variance 1 over the training split."""
        return (values_BD - self.mean_D) * self.scale_D


def standardiser(cache: TeacherCache) -> Standardiser:
    """Read the statistics that stage one left beside the shards.

    Raises:
        CacheError: there are none.
    """
    from safetensors.numpy import load_file

    path = cache.folder / STATS_NAME
    if not path.is_file():
        raise CacheError(
            f"{cache.folder} has no {STATS_NAME}, --standardise needs it; give --raw, or make the cache again"
        )
    stats = load_file(path)
    variance = stats["variance"]
    scale = 1 / np.sqrt(np.where(variance > 0, variance, 1.0))
    return Standardiser(stats["mean"].astype(np.float32), scale.astype(np.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Representations:
    """Representations of one split, as the aligner gets them.

    Attributes:
        split: that they belong to.
        seed: of the run.
        sigma: of the noise that is added; 0 adds none.
        standardiser: None leaves them raw.
        donor_R: the row whose representation each row gets; None is its own.
    """

    split: Split
    seed: int
    sigma: float = 0.0
    standardiser: Standardiser | None = None
    donor_R: NDArray[np.int64] | None = None

    def window(self, groups: Sequence[int]) -> Values:
        """As stored, (W, D), for the rows of some row groups in the order given."""
        if self.donor_R is None:
            return self.split.representations(groups)[0]
        return _matrix(self.split)[self.donor_R[self.split.rows_of(groups)]]

    def ready(self, values_BD: Values, place: tuple[int, int, int]) -> NDArray[np.float32]:
        """As the aligner reads them.

        Args:
            values_BD: rows of a window.
            place: epoch, pass and batch, from which noise is drawn.
        """
        values = values_BD.astype(np.float32)
        if self.standardiser is not None:
            values = self.standardiser(values)
        if self.sigma:
            values += noise(values.shape, self.sigma, self.seed, place)
        return values


def representations_of(
    split: Split, taught_R: NDArray[np.bool_], distillation: DistillationConfig, seed: int
) -> Representations:
    """The representations of a split under a run's settings.

    Raises:
        CacheError: they are to be standardised and the cache has no statistics.
    """
    return Representations(
        split=split,
        seed=seed,
        sigma=sigma_of(distillation.control),
        standardiser=standardiser(split.cache) if distillation.standardise else None,
        donor_R=donors(distillation.control, taught_R, seed),
    )


def _matrix(split: Split) -> Values:
    """All representations of a split, memory-mapped: a shuffle asks for rows from anywhere."""
    path = (
        cache_folder()
        / "representations"
        / f"{digest_of([split.cache.manifest.digest, split.name])[:32]}.npy"
    )

    def make() -> None:
        with whole_file(path) as temporary:
            _write_matrix(split, str(temporary))

    return kept(path, partial(np.load, mmap_mode="r"), make)


def _write_matrix(split: Split, path: str) -> None:
    first, _ = split.representations([0])
    shape = (split.num_rows, first.shape[1])
    matrix = np.lib.format.open_memmap(path, mode="w+", dtype=first.dtype, shape=shape)
    for group in range(split.num_groups):
        matrix[split.rows_of([group])] = split.representations([group])[0]
    matrix.flush()
