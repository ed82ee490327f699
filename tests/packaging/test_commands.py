"""Every command starts, quickly and from here."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
COMMANDS = PROJECT["scripts"]
HEAVY = {
    *("torch", "transformers", "peft", "accelerate", "pyarrow", "polars", "datasets", "scipy", "sklearn"),
    *("matplotlib", "statsmodels", "ctranslate2", "onnxruntime", "openai", "ray", "vllm", "diffusers"),
}

# The same as the installed script does, and then says what had to be imported for it.
START = """
import importlib, json, sys
module, function = sys.argv.pop(1).split(":")
try:
    getattr(importlib.import_module(module), function)()
except SystemExit:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
    raise
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_without_a_heavy_import(command: str) -> None:
    finished = python("-c", START, COMMANDS[command], "--help")

    assert finished.returncode == 0, finished.stderr
    assert "usage" in finished.stdout.lower()
    imported = {name.partition(".")[0] for name in json.loads(finished.stderr.splitlines()[-1])}
    assert not imported & HEAVY


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_wrong_usage(command: str) -> None:
    finished = python("-c", START, COMMANDS[command], "--no-such-option")

    assert finished.returncode == 2
    assert "--no-such-option" in finished.stderr


@pytest.mark.parametrize("package", ["schemas", "teacher_cache", "distill"])
def test_package_is_ours(package: str) -> None:
    """The names are common, so another distribution's package could answer to them."""
    finished = python("-c", f"import {package}; print({package}.__file__)")

    assert finished.stdout.strip() == str(REPOSITORY / package / "__init__.py"), finished.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_installed_script_starts(command: str) -> None:
    script = Path(sys.executable).with_name(command)
    if not script.exists():
        pytest.skip("the distribution is not installed in this environment")

    finished = subprocess.run([script, "--help"], cwd="/", capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stderr
