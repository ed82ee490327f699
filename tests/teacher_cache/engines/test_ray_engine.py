"""A cache made by a Ray cluster, real nodes and all, beside the same cache made by this process."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from schemas.errors import ConfigError, MismatchError, TeacherError
from schemas.example import Example
from teacher_cache.cache import cache_teacher
from teacher_cache.config import CacheConfig
from teacher_cache.engines import ray_engine
from teacher_cache.engines.ray_engine import RayTeacher
from teacher_cache.teachers import find_backend
from teacher_cache.teachers.teacher import Service, TeacherSettings
from teacher_cache.writer import CacheWriter
from tests.teacher_cache.service import FaultyService

ROWS = 60


@pytest.fixture(scope="module")
def service() -> Iterator[FaultyService]:
    with FaultyService(delay=0.02) as service:
        yield service


@pytest.fixture(scope="module")
def cluster(repository: Path) -> Iterator[Any]:
    """Two nodes with room for one worker each."""
    with pytest.MonkeyPatch.context() as patch:
        # Workers are started by the nodes, and have their environment.
        patch.setenv("PYTHONPATH", str(repository))
        patch.setenv("OPENAI_API_KEY", "sk-none")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=node)
        cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
        yield cluster
        cluster.shutdown()


@pytest.fixture
def run(
    service: FaultyService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Run stage one against the service."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    prompts = tmp_path / "prompts.jsonl"
    rows = [
        {"example_id": f"row-{i}", "split": "train", "fields": {}, "prompt": f"Sentence number {i}."}
        for i in range(ROWS)
    ]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def cache(out: str, **options: Any) -> dict[str, Any]:
        given = {"model": "openai:parrot", "base_url": service.url, "prompts": prompts, "out": tmp_path / out}
        given |= {"rows_per_shard": 20, "batch_size": 2, "concurrency": 4, "quiet": True}
        return cache_teacher(CacheConfig(**(given | options)))

    return cache


@pytest.mark.slow
def test_a_cluster_that_loses_a_node_makes_the_bytes_of_one_machine(
    *,
    cluster: Any,
    run: Callable[..., dict[str, Any]],
    service: FaultyService,
    tmp_path: Path,
    shard_bytes: Callable[[Path], dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run("local")
    teachers: list[RayTeacher] = []
    enter, record, records = RayTeacher.__aenter__, CacheWriter.record, 0

    async def entered(teacher: RayTeacher) -> RayTeacher:
        teachers.append(teacher)
        return await enter(teacher)

    def recorded(writer: CacheWriter, answered: Any) -> None:
        nonlocal records
        records += 1
        if records == 3:
            # Both workers answer by now, and the rows are not half done.
            while len(teachers[0]._alive) < 2:
                time.sleep(0.02)
            cluster.remove_node(next(node for node in cluster.list_all_nodes() if not node.head))
        record(writer, answered)

    asked_before = len(service.questions)
    with monkeypatch.context() as patch:
        patch.setattr(RayTeacher, "__aenter__", entered)
        patch.setattr(CacheWriter, "record", recorded)
        summary = run("ray", engine="ray", workers=2, address=cluster.address)

    assert (summary["asked"], summary["errors"]) == (ROWS, 0)
    assert teachers[0]._deaths >= 1
    # What the lost node was answering is asked again, and nothing else: two calls of two rows.
    assert len(service.questions) - asked_before <= ROWS + 4
    assert shard_bytes(tmp_path / "ray") == shard_bytes(tmp_path / "local")
    # The other way about: what one engine began, the other goes on with.
    assert run("ray")["asked"] == run("local", engine="ray", workers=2, address=cluster.address)["asked"] == 0


@pytest.mark.slow
def test_a_killed_run_goes_on_with_another_engine(
    cluster: Any,
    run: Callable[..., dict[str, Any]],
    tmp_path: Path,
    shard_bytes: Callable[[Path], dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record, records = CacheWriter.record, 0

    def stopped(writer: CacheWriter, answered: Any) -> None:
        nonlocal records
        records += 1
        record(writer, answered)
        if records == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CacheWriter, "record", stopped)
        with pytest.raises(KeyboardInterrupt):
            run("cut", engine="ray", workers=1, address=cluster.address)
    asked = run("cut")["asked"]
    run("whole")

    assert 0 < asked < ROWS
    assert shard_bytes(tmp_path / "cut") == shard_bytes(tmp_path / "whole")


@pytest.mark.slow
def test_ray_that_dies_on_this_machine_ends_the_run(tmp_path: Path, repository: Path) -> None:
    rows = [{"example_id": f"row-{i}", "split": "train", "fields": {}, "prompt": f"{i}"} for i in range(ROWS)]
    prompts, out = tmp_path / "prompts.jsonl", tmp_path / "cache"
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code = "from teacher_cache.cli import main; main()"
    options = ["--model", "openai:parrot", "--prompts", str(prompts), "--out", str(out), "--batch-size", "2"]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    environment |= {"PYTHONPATH": str(repository), "OPENAI_API_KEY": "sk-none"}
    with FaultyService(delay=2.0) as service:
        command = [sys.executable, "-c", code, *options, "--base-url", service.url]
        process = subprocess.Popen(
            [*command, "--engine", "ray", "--workers", "2", "--concurrency", "2"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not service.questions:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        (raylet,) = [
            one for one in psutil.Process(process.pid).children(recursive=True) if one.name() == "raylet"
        ]
        raylet.kill()
        _, errors = process.communicate(timeout=120)

    assert process.returncode == 1
    assert "Ray's process on this machine died; run the same command again, it goes on" in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_what_a_worker_cannot_do_is_one_line(
    cluster: Any,
    run: Callable[..., dict[str, Any]],
    service: FaultyService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "key", "sk-another")
    with pytest.raises(TeacherError, match=r"^[^\n]*key[^\n]*$"):
        run("refused", engine="ray", workers=1, address=cluster.address)
    with pytest.raises(TeacherError, match="the cluster has 0 GPUs, a worker needs 1; add nodes"):
        run("gpus", engine="ray", workers=1, address=cluster.address, gpus_per_worker=1)


@pytest.mark.slow
def test_a_worker_with_another_teacher_is_refused(
    cluster: Any, service: FaultyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    backend, name, model = find_backend("openai:parrot")
    reached = Service(base_url=service.url)
    settings = TeacherSettings(name=model, store=("text",), service=reached)
    here = backend.make(replace(settings, name="macaw"))

    async def ask() -> None:
        async with RayTeacher(
            here, name, settings, num_workers=1, calls_a_worker=1, address=cluster.address
        ) as teacher:
            await teacher.answer([Example(id="1", task="free", split="train", fields={}, prompt="Hello")])

    with pytest.raises(MismatchError, match="has another teacher: name is parrot there, macaw here"):
        asyncio.run(ask())


def test_no_cluster_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    class Nowhere:
        @staticmethod
        def init(**_: object) -> None:
            raise ConnectionError("Could not find any running Ray instance.\nMore lines")

    monkeypatch.setattr(ray_engine, "import_module", lambda _: Nowhere)
    with pytest.raises(TeacherError, match=r"no Ray cluster there .*; start one with ray start --head"):
        ray_engine._connect("auto", 2)


@pytest.mark.parametrize("address", ["{}", "ray://{}"])
def test_an_address_where_nobody_listens_is_one_line_at_once(
    run: Callable[..., dict[str, Any]], address: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(TeacherError, match=r"no Ray cluster there \(.*refused\); start one with ray start"):
        run("nobody", engine="ray", workers=1, address=address.format(closed))


def test_without_ray_it_says_how_it_is_installed(
    run: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("teacher_cache.engines.find_spec", lambda _: None)
    with pytest.raises(TeacherError, match=r'the package ray is not installed; run: pip install "armada-'):
        run("none", engine="ray", workers=1)


def test_options_of_a_cluster() -> None:
    with pytest.raises(ConfigError, match="--engine ray needs --workers N"):
        CacheConfig(model="none", engine="ray")
    with pytest.raises(ConfigError, match="--address is a cluster's; add --engine ray"):
        CacheConfig(model="none", address="auto")
    with pytest.raises(ConfigError, match="--gpus-per-worker is a cluster's"):
        CacheConfig(model="none", gpus_per_worker=0.5)


def test_limits_by_the_minute_are_divided() -> None:
    service = Service(max_requests_per_minute=100, max_tokens_per_minute=2)
    told = ray_engine._for_a_worker(TeacherSettings(name="x", store=(), service=service, num_workers=8), 4, 2)

    assert (told.service.max_requests_per_minute, told.service.max_tokens_per_minute) == (25, 1)
    assert (told.num_workers, told.concurrency) == (1, 2)
    assert os.environ.get("RAY_USAGE_STATS_ENABLED") in (None, "0")
