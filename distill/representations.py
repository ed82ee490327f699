"""The teacher's representations on their way to the aligner: read by window, standardised, controlled.

Letters: R rows of the split, W row groups of a window, B batch, D width of the representation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.config import DistillationConfig
from distill.controls import donors, noise, sigma_of
from distill.ragged import growing
from distill.split import Split
from distill.tokens import kept
from schemas.cache import TeacherCache
from schemas.errors import CacheError
from schemas.files import cache_folder
from schemas.manifest import STATS_NAME, digest_of

Values = NDArray[np.floating]
Pick = Callable[[NDArray[np.int64]], Values]
# Of the kept array, part of its name.
_LAYOUT = 2


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

    def window(self, groups: Sequence[int]) -> Pick:
        """Read some row groups, in ascending order; what comes back picks rows, (B,) to (B, D), as stored."""
        if self.donor_R is not None:
            matrix_RD, donor_R = _matrix(self.split), self.donor_R
            return lambda rows_B: matrix_RD[donor_R[rows_B]]
        values, starts = self.split.representations(groups), self.split.group_starts
        first_W = starts[groups]
        size_W = starts[np.add(groups, 1)] - first_W
        moved_W = np.cumsum(size_W) - size_W - first_W
        return lambda rows_B: values.take(rows_B + moved_W[first_W.searchsorted(rows_B, "right") - 1], axis=0)

    def ready(
        self,
        values_BD: Values,
        place: tuple[int, int, int],
        some: slice = slice(None),
        num_rows: int | None = None,
    ) -> NDArray[np.float32]:
        """As the aligner reads them.

        Args:
            values_BD: as stored.
            place: epoch, pass and batch, from which noise is drawn.
            some: which rows of the batch they are of.
            num_rows: of that batch; None where they are all of it.
        """
        values = values_BD.astype(np.float32)
        if self.standardiser is not None:
            values = self.standardiser(values)
        if self.sigma:
            shape = (num_rows or len(values), values.shape[1])
            values += noise(shape, self.sigma, self.seed, place)[some]
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
    """All representations of a split, memory-mapped: a shuffle asks for rows from anywhere.

    Returns:
        (R, D), as stored.
    """
    teacher = split.cache.manifest.teacher
    shape, dtype = (split.num_rows, teacher.repr_dim or 0), np.dtype(teacher.repr_dtype)
    key = digest_of([_LAYOUT, split.cache.manifest.digest, split.name])
    path = cache_folder() / "representations" / f"{key[:32]}.npy"

    def read(path: Path) -> Values:
        values = np.load(path, mmap_mode="r")
        if (values.shape, values.dtype) != ((shape[0] * shape[1],), dtype):
            raise ValueError(
                f"{values.dtype} of shape {values.shape}, wanted {dtype} of {shape[0] * shape[1]}"
            )
        return values.reshape(shape)

    def make() -> None:
        # Written in order: a mapped file that finds the disk full would end the process.
        with growing(path, dtype) as add:
            for group in range(split.num_groups):
                add(split.representations([group]).reshape(-1))

    return kept(path, read, make)
