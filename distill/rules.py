"""What each option of a run may be: the names to choose from, and the bounds of numbers.

Imports nothing heavy, so that --help answers at once.
"""

import math
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from distill.methods import METHODS
from distill.readings import READINGS


class Formulation(StrEnum):
    """Whose reading of the losses: the paper's equations or the authors' code."""

    REFERENCE = "reference"
    PAPER = "paper"


MANIFOLDS = ("cosine", "euclid", "elementwise", "none")
ALIGNERS = tuple(READINGS)
SCHEDULES = ("alternating", "joint", "pretrained", "frozen")
PROTOCOLS = ("held-out", "paper-dev")
LR_SCHEDULES = ("constant", "linear")
PRECISIONS = ("auto", "fp32", "bf16")
DEVICES = ("auto", "cpu", "cuda")


def _is_control(value: str) -> bool:
    if value in ("none", "shuffle"):
        return True
    found = re.fullmatch(r"noise:((\d+\.?\d*|\.\d+)(e[+-]?\d+)?)", value)
    # More would be infinite once it is float32.
    return found is not None and float(found[1]) <= 1e30


def _is_divergence(value: str) -> bool:
    if value in ("forward", "reverse"):
        return True
    found = re.fullmatch(r"jsd:(\d+\.?\d*|\.\d+)", value)
    beta = float(found[1]) if found else math.nan
    # losses/divergence.py says why not nearer to the ends.
    return beta in (0, 1) or 0.01 <= beta <= 0.99


Rule = tuple[Callable[[Any], bool], str]
_WHOLE: Rule = (lambda value: value >= 1, "a whole number of at least 1")
_RATE: Rule = (lambda value: 0 < value < math.inf, "a number above 0")
_WEIGHT: Rule = (lambda value: 0 <= value < math.inf, "a number of at least 0")

RULES: dict[str, Rule] = {
    "alpha": (lambda value: 0 <= value <= 1, "a number from 0 to 1"),
    "beta": _WEIGHT,
    "gamma": _WEIGHT,
    # Below it the matching loss, divided by it, leaves what float32 can hold.
    "temperature": (lambda value: 1e-3 <= value < math.inf, "a number of at least 0.001"),
    "kd_weight": _WEIGHT,
    "kd_temperature": (lambda value: 1e-3 <= value < math.inf, "a number of at least 0.001"),
    "kd_divergence": (_is_divergence, "forward, reverse or jsd:B, B 0, 1 or 0.01 to 0.99"),
    "max_new_tokens": _WHOLE,
    "epochs": _WHOLE,
    "batch_size": _WHOLE,
    "accumulate": _WHOLE,
    "patience": _WHOLE,
    "lr": _RATE,
    "aligner_lr": _RATE,
    "lr_schedule": (lambda value: value in LR_SCHEDULES, f"one of {', '.join(LR_SCHEDULES)}"),
    "warmup": (lambda value: 0 <= value <= 1, "a share of the steps, 0 to 1"),
    "weight_decay": _WEIGHT,
    "max_length": (lambda value: value >= 3, "at least 3 tokens"),
    "hidden_dim": _WHOLE,
    "manifold_dim": _WHOLE,
    "limit_train": _WHOLE,
    "seed": (lambda value: 0 <= value < 2**32, "a whole number from 0 to 4294967295"),
    "student": (lambda value: bool(value.strip()), "a folder or a hub name"),
    "control": (_is_control, "none, shuffle or noise:SIGMA, SIGMA up to 1e30"),
    "method": (lambda value: value in METHODS, f"one of {', '.join(METHODS)}"),
    "manifold": (lambda value: value in MANIFOLDS, f"one of {', '.join(MANIFOLDS)}"),
    "formulation": (lambda value: value in tuple(Formulation), f"one of {', '.join(Formulation)}"),
    "aligner": (lambda value: value in ALIGNERS, f"one of {', '.join(ALIGNERS)}"),
    "schedule": (lambda value: value in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
    "protocol": (lambda value: value in PROTOCOLS, f"one of {', '.join(PROTOCOLS)}"),
    "precision": (lambda value: value in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
    "device": (lambda value: value in DEVICES, f"one of {', '.join(DEVICES)}"),
    "lora_rank": _WHOLE,
    "lora_alpha": _RATE,
    "lora_dropout": (lambda value: 0 <= value < 1, "a probability, from 0 to less than 1"),
    "lora_targets": (
        lambda value: all(name.strip() for name in value.split(",")),
        "names of modules with commas between, such as q_proj,v_proj, or all-linear",
    ),
}
