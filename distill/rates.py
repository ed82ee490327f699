"""How a learning rate goes over the steps of a tower, as a factor of the rate that was given."""

from collections.abc import Callable

Rate = Callable[[int], float]

# From the share of the steps after the warm-up that is done, 0 to 1, to a factor.
SHAPES: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "linear": lambda share: 1.0 - share,
}


def rate_of(shape: str, warmup: float, num_steps: int) -> Rate:
    """The factor of each step: rising in equal parts to 1 over the warm-up, then as the shape has it.

    No step has a factor of 0: none would be learnt from it.

    Args:
        shape: row of SHAPES.
        warmup: share of the steps, 0 to 1.
        num_steps: that the tower takes in the whole run.

    Returns:
        From a step, counted from 0, to its factor: a pure function, so a resumed run goes on with it.
    """
    num_warm = round(warmup * num_steps)
    num_left = max(1, num_steps - num_warm)

    def factor(step: int) -> float:
        if step < num_warm:
            return (step + 1) / num_warm
        return SHAPES[shape](min(1.0, (step - num_warm) / num_left))

    return factor


def constant(_: int) -> float:
    """A rate that never changes."""
    return 1.0
