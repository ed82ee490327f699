"""What every test stands on: no hub, one thread a worker, the same random examples each time in CI."""

import os

# Read when the libraries are first imported, so they are set before anything else is.
os.environ.update(
    HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", MPLBACKEND="Agg"
)
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the working tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def fetched() -> Path:
    """The folder that `make data` fills; a test that needs it says so by asking for it."""
    folder = REPOSITORY / "data"
    models = ("models/minilm", "models/smollm2-135m-instruct")
    tasks = ("tasks/chain-sum", "tasks/movie-reviews", "tasks/product-reviews")
    missing = [name for name in (*models, *tasks) if not (folder / name).is_dir()]
    assert not missing, f"data/{missing[0]} is not there; run `make data` first"
    return folder


def pytest_configure(config: pytest.Config) -> None:
    """Keep a CUDA device from all but `pytest -m gpu`, and vLLM: other tests hold for a CPU, to the bit."""
    if not _wants_device(config):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs vLLM or a device where there is none; torch is asked only if a test wants to know."""
    if find_spec("vllm") is None:
        skip = pytest.mark.skip(reason="no vLLM in this environment; make test-vllm runs it in its own")
        for item in items:
            if item.get_closest_marker("vllm"):
                item.add_marker(skip)
    if _wants_device(config) and _has_cuda():
        return
    skip = pytest.mark.skip(reason="pytest -m gpu runs it, where there is a CUDA device")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


def _wants_device(config: pytest.Config) -> bool:
    return config.option.markexpr.startswith(("gpu", "vllm"))


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
