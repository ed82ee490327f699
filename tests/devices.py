"""Where a test runs: here, and on a CUDA device where there is one, which `pytest -m gpu` asks for."""

import pytest

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
on_each_device = pytest.mark.parametrize("device", DEVICES)
