"""Whether the auxiliary heads, which read the shared space, know what the output heads know.

Letters: N pairs, one a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import AnalysisError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HeadAgreement:
    """How auxiliary heads stand to output heads.

    Attributes:
        spearman: rank correlation of their metrics, -1 to 1.
        p_value: two-sided.
        gap: mean of output minus auxiliary, in the metric's unit.
        num_pairs: N.
    """

    spearman: float
    p_value: float
    gap: float
    num_pairs: int


def head_agreement(
    output_N: Sequence[float] | Floats, auxiliary_N: Sequence[float] | Floats
) -> HeadAgreement:
    """Compare two heads over runs: tasks, manifold losses, seeds.

    Args:
        output_N: metric of the output head in each run.
        auxiliary_N: of the auxiliary head in the same runs.

    Raises:
        AnalysisError: fewer than three runs, or no spread in one of the two.

    Source: arXiv 2603.10877, Table 10. By example it cannot be asked afterwards: the student's auxiliary head
    is thrown away with the projection, and its metrics stay.
    """
    from scipy.stats import spearmanr

    output, auxiliary = np.asarray(output_N, np.float64), np.asarray(auxiliary_N, np.float64)
    spread = min((len(np.unique(values)) for values in (output, auxiliary)), default=0)
    if len(output) < 3 or spread < 2:
        raise AnalysisError(
            f"Spearman of output and auxiliary heads: {len(output)} runs of {spread} different values, "
            "wanted at least three runs that differ; give runs of more tasks"
        )
    found: Any = spearmanr(output, auxiliary)
    gap = float((output - auxiliary).mean())
    return HeadAgreement(float(found.statistic), float(found.pvalue), gap, len(output))
