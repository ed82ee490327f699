"""Very wide representations made narrow: a sparse random projection that is the same everywhere, for ever.

Letters: D numbers of the wide vector, K of the narrow one, S places that each wide number goes to.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from schemas.manifest import Plain

_PLACES = 8


@dataclass(frozen=True)
class RandomProjection:
    """A seeded linear map from D to K numbers that keeps distances and angles as far as K allows.

    Each wide number is added to S narrow ones, drawn at random, with a random sign, divided by the root of S:
    the sparse Johnson-Lindenstrauss transform. A dense Gaussian matrix of 262,144 by 1,024 would take a
    gigabyte; this takes 20 megabytes and a few milliseconds a row. Places and signs are the raw output of
    PCG64, which NumPy promises never to change, so seed and shape say all of it.

    Attributes:
        wide: D.
        narrow: K.
        seed: of places and signs.

    Source: Kane and Nelson, "Sparser Johnson-Lindenstrauss Transforms", arXiv 1012.1577.
    """

    wide: int
    narrow: int
    seed: int

    @property
    def options(self) -> dict[str, Plain]:
        """What an identity keeps of it."""
        return {
            "projection": f"sparse, {_PLACES} signs a value",
            "projection_from": self.wide,
            "projection_to": self.narrow,
            "projection_seed": self.seed,
        }

    @cached_property
    def _map(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Places and signed weights, both (S D,), the S of one wide number side by side."""
        raw = np.random.PCG64(self.seed).random_raw(self.wide * _PLACES)
        places = ((raw >> np.uint64(32)) % np.uint64(self.narrow)).astype(np.int64)
        signs = 1.0 - 2.0 * (raw & np.uint64(1)).astype(np.float64)
        return places, signs / np.sqrt(_PLACES)

    def __call__(self, values_D: NDArray[np.floating]) -> NDArray[np.float64]:
        """Project one vector, (K,); sums are made in one order, in float64."""
        places, weights = self._map
        spread = np.repeat(values_D.astype(np.float64), _PLACES)
        return np.bincount(places, weights=weights * spread, minlength=self.narrow).astype(np.float64)
