"""Where the answer stands among the tokens of a foreign row."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.errors import SourceError


def one_span(place: str, has_target: Sequence[bool] | NDArray[np.bool_], num_tokens: int) -> tuple[int, int]:
    """The positions whose next token was scored.

    Args:
        place: for messages.
        has_target: of each position, whether it has entries that count.
        num_tokens: in the row.

    Returns:
        First position and one past the last; the tokens scored are those one further on.

    Raises:
        SourceError: there is none, there are several runs, or the last has no token behind it.
    """
    found = np.flatnonzero(np.asarray(has_target, bool))
    if not len(found):
        raise SourceError(f"{place}: no token has entries that count; take the row out")
    start, stop = int(found[0]), int(found[-1]) + 1
    if stop - start != len(found):
        raise SourceError(
            f"{place}: entries that count stand in several runs of tokens; a cache has one answer a row, so "
            "write one row for each"
        )
    if stop >= num_tokens:
        raise SourceError(
            f"{place}: the last token has entries that count, and no token stands behind it; entries of "
            "position p belong to token p + 1"
        )
    return start, stop
