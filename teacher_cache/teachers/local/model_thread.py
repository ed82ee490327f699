"""The one thread that a model on this machine is asked in: calls awaited at once wait for each other."""

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

_Result = TypeVar("_Result")


class ModelThread:
    """A thread that can be left while it works.

    Attributes:
        left: set when no more is wanted; long work looks at it.
    """

    def __init__(self) -> None:
        self.left = Event()
        self._pool: ThreadPoolExecutor | None = None

    async def enter(self, name: str, load: Callable[[], _Result]) -> _Result:
        """Load in the thread; where that fails, or is given up, nothing is left running."""
        self.left.clear()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        try:
            return await self.run(load)
        except BaseException:
            await self.stop()
            raise

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Do the work there, after all that was asked before."""
        assert self._pool is not None, "the teacher is entered before it is asked"
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def stop(self) -> None:
        """Wait for the work that is being done, drop what waits, and free what models held."""
        self.left.set()
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
        self._pool = None
        gc.collect()
        import torch

        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
