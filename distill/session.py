"""How a run is carried out: what changes no result, and so is no part of its configuration."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from schemas.errors import ConfigError

RESUME = ("auto", "never", "must")
SHARDINGS = ("none", "full")
# Name of a tracker to what installs it.
TRACKERS = {"tensorboard": 'pip install "armada-distill[trackers]"', "wandb": "pip install wandb"}
_SHARE = 20


@dataclass(frozen=True, slots=True)
class Every:
    """How often a checkpoint is written.

    Attributes:
        steps: batches between two; None goes by the clock.
        seconds: between two, and at least twenty times what the last one took: under 5 % of the time.
    """

    steps: int | None = None
    seconds: float = 60.0

    def due(self, steps: int, seconds: float, cost: float, *, ends_pass: bool) -> bool:
        """Whether one is to be written.

        Args:
            steps: batches since the last.
            seconds: since the last.
            cost: seconds that the last one took.
            ends_pass: a pass has just ended, where the clock waits for its cost alone.
        """
        if self.steps is not None:
            return steps >= self.steps
        least = _SHARE * cost
        return steps > 0 and seconds >= (least if ends_pass else max(self.seconds, least))


def every_of(text: str) -> Every:
    """Read `100` (batches) or `60s` (seconds).

    Raises:
        ConfigError: it is neither.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s?)", text)
    if found is None or float(found[1]) <= 0 or (not found[2] and "." in found[1]):
        raise ConfigError(f"--checkpoint-every {text}: wanted batches, such as 100, or seconds, such as 60s")
    return Every(seconds=float(found[1])) if found[2] else Every(steps=int(found[1]))


def trackers_of(given: Sequence[str]) -> tuple[str, ...]:
    """Read `--tracker`, given several times or with commas between.

    Raises:
        ConfigError: a tracker is unknown, or not installed.
    """
    names = dict.fromkeys(name.strip() for one in given for name in one.split(","))
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(f"--tracker {name}: wanted {' or '.join(TRACKERS)}")
        if find_spec(name) is None:
            raise ConfigError(f"--tracker {name}: it is not installed; run: {TRACKERS[name]}")
    return tuple(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sitting at a run.

    Attributes:
        resume: go on from a checkpoint: `auto` where there is one, `never`, or `must`.
        every: how often one is written.
        loader_workers: threads that prepare batches; 0 prepares each when it is asked for.
        gradient_checkpointing: the student's layers are computed twice, which takes time and spares memory.
        sharding: `none`, each process holds the whole student; `full`, a part of it.
        trackers: that metrics go to as well, by name.
    """

    resume: str = "auto"
    every: Every = field(default_factory=Every)
    loader_workers: int = 0
    gradient_checkpointing: bool = False
    sharding: str = "none"
    trackers: tuple[str, ...] = ()
