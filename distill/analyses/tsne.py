"""States as points in a plane.

Letters: R rows, D width of the states.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import AnalysisError

_FEWEST_ROWS = 5


def tsne(states_RD: NDArray[np.floating], seed: int = 0) -> NDArray[np.float32]:
    """Lay states out so that neighbours stay neighbours; towers of other widths are laid out apart.

    Args:
        states_RD: (R, D), at least five rows.
        seed: the same seed, states and machine give the same points.

    Returns:
        (R, 2). Axes have no unit, and no point of one picture compares with one of another.

    Raises:
        AnalysisError: fewer than five rows.

    Source: arXiv 2603.10877, Figures 7 and 8; van der Maaten and Hinton, JMLR 9, 2008. The perplexity, 30 or
    a third of the rows where those are fewer, is ours.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if len(states_RD) < _FEWEST_ROWS:
        raise AnalysisError(
            f"t-SNE of {len(states_RD)} rows: wanted at least {_FEWEST_ROWS}; report on more rows"
        )
    how: Any = {"init": "pca", "perplexity": min(30.0, (len(states_RD) - 1) / 3), "random_state": seed}
    # Several threads add in the order that they finish in.
    with threadpool_limits(1):
        return TSNE(2, **how).fit_transform(states_RD)
