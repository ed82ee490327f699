"""How much performance moves where the teacher's representations are blurred."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from distill.controls import sigma_of
from schemas.errors import AnalysisError
from schemas.result import RunResult


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


def performance_by_sigma(results: Sequence[RunResult], head: str = "student") -> dict[float, float]:
    """The metric that chose the checkpoint, by sigma, in its order; the mean over runs with one sigma.

    Args:
        results: of one task, alike but for noise and seed.
        head: `student`, `aligner`, or an auxiliary head of theirs.

    Raises:
        AnalysisError: a run has no such head.
    """
    values: dict[float, list[float]] = defaultdict(list)
    for result in results:
        metric = str(result.selection["metric"])
        if metric not in result.metrics.get(head, {}):
            raise AnalysisError(
                f"run {result.config_hash[:8]} has no {metric} of {head}, only of "
                f"{', '.join(result.metrics)}; give runs of armada on a task with labels"
            )
        values[sigma_of(result.config["control"])].append(result.metrics[head][metric])
    return {sigma: float(np.mean(values[sigma])) for sigma in sorted(values)}
