"""The README is true: its commands exist, with the options that it shows, and its links lead somewhere."""

import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
SCRIPTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
LINES = [line.strip().split("#")[0].strip() for line in README.splitlines() if line.startswith("    ")]
COMMANDS = [line for line in LINES if line.split(" ")[0] in SCRIPTS]


@cache
def help_of(command: str) -> str:
    module = SCRIPTS[command].partition(":")[0]
    start = [sys.executable, "-c", f"from {module} import main; main()", "--help"]
    return subprocess.run(start, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


def test_the_readme_shows_every_command() -> None:
    assert {command.split(" ")[0] for command in COMMANDS} == set(SCRIPTS)


@pytest.mark.parametrize("command", COMMANDS)
def test_options_exist(command: str) -> None:
    name, *arguments = shlex.split(command)
    known = set(re.findall(r"--[a-z][a-z-]*", help_of(name)))

    assert {argument for argument in arguments if argument.startswith("--")} <= known


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?<=make )[a-z]+(?=[ `])", README)) - {"and"}))
def test_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))

    for link in links:
        assert link.startswith("https://") or (page.parent / link).exists(), link


# CONTRIBUTING.md says where parts go that nobody has written yet.
@pytest.mark.parametrize("page", [PAGES[0], *PAGES[2:]], ids=lambda page: page.name)
def test_files_named_in_pages_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:schemas|teacher_cache|distill|tests|benchmarks|docs)/[\w/.-]+\.(?:py|md))`", page.read_text()
    )

    assert [name for name in named if not (REPOSITORY / name).exists()] == []
