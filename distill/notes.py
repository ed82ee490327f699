"""What a reader of a result must know of its configuration."""

from collections.abc import Iterator

from distill.config import RunConfig
from distill.rules import Formulation

_CENTROID_LOSSES = ("cosine", "euclid")


def notes_of(run: RunConfig, num_epochs: int) -> Iterator[str]:
    """One sentence for each choice that changes what a number means.

    Args:
        run: its configuration.
        num_epochs: that were trained.
    """
    how = run.distillation
    if run.protocol == "paper-dev":
        yield "the reported rows chose the checkpoint: the best of its epochs, as in the authors' code"
    if run.accumulate > 1 and how and how.manifold in _CENTROID_LOSSES:
        yield (
            f"batch statistics are of {run.batch_size} rows: the two means of the {how.manifold} loss are "
            f"those of each batch, not of the {run.accumulate} batches of an optimiser step"
        )
    if how and (how.formulation, how.manifold) == (Formulation.PAPER, "cosine") and how.beta:
        yield "this cosine is an inner product, unbounded below; metrics.jsonl has the norms of both means"
    if num_epochs < run.epochs:
        yield f"stopped after {num_epochs} of {run.epochs} epochs: {run.patience} in a row were no better"
