"""One teacher on many machines: every worker of a Ray cluster holds a teacher of its own.

The loop stays where it is, with journal, shards and manifest; what travels is batches and answers. So a
cache has the same rows, and with a deterministic teacher the same bytes, whichever engine made which of them.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from schemas.answer import Answer
from schemas.errors import ArmadaError, MismatchError, TeacherError
from schemas.example import Example
from schemas.manifest import TeacherIdentity
from schemas.manifest_file import differences
from teacher_cache.teachers import BACKENDS, Teacher, TeacherSettings

# Of each worker, on average: beyond it something is wrong with every one of them.
_DEATHS_A_WORKER = 3
_SECONDS_TO_CONNECT, _SECONDS_BETWEEN_LOOKS = 10, 5
_ADVICE = "run the same command again, it goes on"


class RayTeacher:
    """A teacher that hands batches to workers of a cluster.

    A worker that dies, alone or with its machine, costs the batches that it was answering: they are asked
    again elsewhere, and another worker is started in its place as soon as the cluster has room.

    Args:
        local: the same teacher in this process, never entered: it says who answers.
        backend: row of BACKENDS that makes it.
        settings: that it is made from; a worker's own has one process.
        num_workers: of the cluster.
        calls_a_worker: answered by a worker at once.
        gpus: that each worker holds.
        address: of the cluster; None joins the one that `RAY_ADDRESS` names, or starts one on this machine.
    """

    def __init__(
        self,
        local: Teacher,
        backend: str,
        settings: TeacherSettings,
        *,
        num_workers: int,
        calls_a_worker: int,
        gpus: float = 0.0,
        address: str | None = None,
    ) -> None:
        self._local, self._backend = local, backend
        self._settings = _for_a_worker(settings, num_workers, calls_a_worker)
        self._num_workers, self._calls, self._gpus = num_workers, calls_a_worker, gpus
        self._address = address
        self._alive: set[Any] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._retries, self._deaths = 0, 0
        # An error in it is for whoever waits next.
        self._free: asyncio.Queue[Any] = asyncio.Queue()

    @property
    def identity(self) -> TeacherIdentity:
        """Who answers, wherever: each worker is compared with it."""
        return self._local.identity

    @property
    def num_retries(self) -> int:
        """Batches that were asked again, their worker having died, and requests that workers sent again."""
        return self._retries

    async def __aenter__(self) -> Self:
        """Join or start the cluster, and have as many workers started as it has room for.

        Raises:
            TeacherError: there is no such cluster, or it has no room for a single worker.
        """
        self._ray = await asyncio.to_thread(_connect, self._address, self._num_workers)
        try:
            self._check_room()
        except TeacherError:
            await asyncio.to_thread(self._ray.shutdown)
            raise
        self._lost = asyncio.get_running_loop().create_future()
        self._watch = asyncio.create_task(self._watch_cluster())
        for _ in range(self._num_workers):
            self._start_worker()
        return self

    def _check_room(self) -> None:
        has = self._ray.cluster_resources()
        for resource, wanted in (("CPU", 1.0), ("GPU", self._gpus)):
            if has.get(resource, 0.0) < wanted:
                raise TeacherError(
                    f"--engine ray: the cluster has {has.get(resource, 0.0):g} {resource}s, a worker needs "
                    f"{wanted:g}; add nodes, or lower --gpus-per-worker"
                )

    async def _watch_cluster(self) -> None:
        """Notice that Ray ended on this machine: calls to its workers would be waited for without end."""
        here = self._ray.get_runtime_context().get_node_id()
        while not self._lost.done():
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
            nodes = await asyncio.to_thread(self._ray.nodes)
            if not any(node["NodeID"] == here and node["Alive"] for node in nodes):
                error = TeacherError(f"--engine ray: Ray's process on this machine died; {_ADVICE}")
                self._lost.set_result(error)
                self._free.put_nowait(error)

    async def _unless_lost(self, call: Awaitable[Any]) -> Any:
        """What a worker gives, or an error where the cluster is lost meanwhile."""
        task = asyncio.ensure_future(call)
        await asyncio.wait((task, self._lost), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            raise self._lost.result()
        return task.result()

    def _start_worker(self) -> None:
        task = asyncio.create_task(self._welcome())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _welcome(self) -> None:
        """Start a worker, and give it work once its teacher is loaded."""
        options = {"num_cpus": 1, "num_gpus": self._gpus, "max_concurrency": self._calls + 1}
        worker = (
            self._ray.remote(_Worker).options(**options).remote(self._backend, self._settings, Path.cwd())
        )
        try:
            host, identity = await worker.enter.remote()
            self._check_same(host, identity)
        except self._ray.exceptions.RayActorError as error:
            self._bury(worker, error)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is raised where answers are awaited
            self._free.put_nowait(_cause(error))
        else:
            self._alive.add(worker)
            for _ in range(self._calls):
                self._free.put_nowait(worker)

    def _check_same(self, host: str, identity: TeacherIdentity) -> None:
        for name, here, there in differences(self.identity.model_dump(), identity.model_dump()):
            raise MismatchError(
                f"the worker on {host} has another teacher: {name} is {there} there, {here} here; "
                "install the same packages and the same model on every machine"
            )

    def _bury(self, worker: Any, error: BaseException) -> None:
        """Let a dead worker go and start another, unless they keep dying."""
        self._alive.discard(worker)
        self._deaths += 1
        if self._deaths > _DEATHS_A_WORKER * self._num_workers:
            reason = str(error).strip().splitlines()[0]
            self._free.put_nowait(
                TeacherError(f"--engine ray: {self._deaths} workers died, the last: {reason}; {_ADVICE}")
            )
            return
        self._start_worker()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every worker, and the cluster where it was started for this run."""
        tasks = (self._watch, *self._starting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for worker in () if self._lost.done() else self._alive:
            # One that died meanwhile has nothing to leave.
            with suppress(self._ray.exceptions.RayError):
                self._retries += await worker.leave.remote()
        await asyncio.to_thread(self._ray.shutdown)

    async def answer(self, examples: Sequence[Example]) -> Sequence[Answer]:
        """Have the first free worker answer.

        Raises:
            TeacherError: no row can be answered any more.
            MismatchError: a worker has another teacher.
        """
        while True:
            worker = await self._free_worker()
            try:
                answers = await self._unless_lost(worker.answer.remote(list(examples)))
            except self._ray.exceptions.RayActorError as error:
                self._retries += 1
                if worker in self._alive:
                    self._bury(worker, error)
                continue
            except self._ray.exceptions.RayTaskError as error:
                self._free.put_nowait(worker)
                raise _cause(error) from None
            self._free.put_nowait(worker)
            return answers

    async def _free_worker(self) -> Any:
        while True:
            worker = await self._free.get()
            if isinstance(worker, Exception):
                # Others may be waiting, too.
                self._free.put_nowait(worker)
                raise worker
            if worker in self._alive:
                return worker


class _Worker:
    """A teacher in a process of the cluster."""

    def __init__(self, backend: str, settings: TeacherSettings, folder: Path) -> None:
        # Paths mean what they mean where the command was given.
        if folder.is_dir():
            os.chdir(folder)
        self._teacher = BACKENDS[backend].make(settings)

    async def enter(self) -> tuple[str, TeacherIdentity]:
        await self._teacher.__aenter__()
        return os.uname().nodename, self._teacher.identity

    async def answer(self, examples: list[Example]) -> list[Answer]:
        return list(await self._teacher.answer(examples))

    async def leave(self) -> int:
        await self._teacher.__aexit__(None, None, None)
        return self._teacher.num_retries


def _for_a_worker(settings: TeacherSettings, num_workers: int, calls: int) -> TeacherSettings:
    """Limits by the minute are divided; what is no message between processes is made one."""
    service = settings.service
    limits = {
        name: max(1, limit // num_workers)
        for name in ("max_requests_per_minute", "max_tokens_per_minute")
        if (limit := getattr(service, name)) is not None
    }
    media = settings.media
    if media is not None:
        media = replace(media, inline={key: bytes(data) for key, data in media.inline.items()})
    service = replace(service, **limits)
    return replace(settings, num_workers=1, concurrency=calls, media=media, service=service)


def _connect(address: str | None, num_workers: int) -> Any:
    # Nothing is told to anybody, and what workers print is not ours to show.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray: Any = import_module("ray")
    address = address or os.environ.get("RAY_ADDRESS")
    if address:
        _knock(address)
    # "local": else Ray would look for a cluster that somebody else has started on this machine.
    here = {"address": "local", "num_cpus": num_workers, "include_dashboard": False}
    where = {"address": address} if address else here
    try:
        ray.init(**where, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TeacherError(
            f"--address {address}: no Ray cluster there ({reason}); start one with ray start --head"
        ) from None
    return ray


def _knock(address: str) -> None:
    """Make sure that somebody listens: Ray itself tries for a quarter of an hour, deaf to signals."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        # "auto", "local" and what Ray itself refuses at once.
        return
    try:
        socket.create_connection((host, int(port)), _SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise TeacherError(
            f"--address {address}: no Ray cluster there ({error}); start one with ray start --head"
        ) from None


def _cause(error: Exception) -> Exception:
    """What a worker raised, without Ray's account of where."""
    cause = getattr(error, "cause", error)
    if isinstance(cause, ArmadaError):
        return cause
    kind = type(cause).__name__
    return TeacherError(f"--engine ray: a worker failed ({kind}: {cause}); {_ADVICE}")
