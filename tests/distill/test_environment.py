import os

import pytest
from click.testing import CliRunner

from distill.cli import distill
from distill.environment import settle

NAMES = ("OMP_WAIT_POLICY", "THP_MEM_ALLOC_ENABLE")


def test_the_command_settles_what_torch_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        # Set first, so that it is put back.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    CliRunner().invoke(distill, ["--shards", "nowhere"])
    assert [os.environ.get(name) for name in NAMES] == ["PASSIVE", "1"]


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    settle()
    assert [os.environ[name] for name in NAMES] == ["ACTIVE", "0"]
