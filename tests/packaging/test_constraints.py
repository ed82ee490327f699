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
PINNED = dict(re.findall(r"^([\w.-]+)==(\S+)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    "line",
    [
        *PROJECT["dependencies"],
        *(line for extra in ("speech", "openai", "diffusion", "dev") for line in EXTRAS[extra]),
    ],
)
def test_pin_is_inside_the_declared_range(line: str) -> None:
    wanted = Requirement(line)

    assert wanted.specifier.contains(PINNED[canonicalize_name(wanted.name)])
