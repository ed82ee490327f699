"""A student that can be compared: nothing in it is dropped by chance."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def calm_student(tmp_path_factory: pytest.TempPathFactory, make_tiny: Callable[..., Path]) -> Path:
    """A tiny BERT without dropout; that of the heads is taken out where a group starts."""
    settings = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return make_tiny(tmp_path_factory.mktemp("calm"), "bert", **settings)
