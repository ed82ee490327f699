"""How much performance moves where the teacher's representations are blurred."""

from collections.abc import Mapping

import numpy as np

from schemas.errors import AnalysisError


def sensitivity(performance: Mapping[float, float]) -> float:
    """Variance of performance over variance of the noise.

    Both variances are of the population; with n - 1 in both the ratio is the same.

    Args:
        performance: by sigma, the standard deviation of the noise.

    Returns:
        At least 0, squared units of the metric; 0 where noise changes nothing.

    Raises:
        AnalysisError: fewer than two sigmas.

    Source: arXiv 2603.10877, Figure 12: Var(performance) / Var(sigma), sigma in {0, 1, 2, 5}.
    """
    if len(performance) < 2:
        raise AnalysisError(
            f"sensitivity to noise: runs with sigma {', '.join(map(str, performance)) or 'of none'}, wanted "
            "at least two; run --control noise:SIGMA with others"
        )
    return float(np.var(list(performance.values())) / np.var(list(performance)))
