"""Work done ahead of its use, by threads, in the order in which it is used."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Generic, TypeVar

Made = TypeVar("Made")
_EACH = 2


def in_order(makers: Iterator[Callable[[], Made]], workers: int) -> Iterator[Made]:
    """What the makers make, in their order; the same for any number of workers.

    Args:
        makers: none may depend on what another made.
        workers: threads, each two results ahead at most; 0 makes each result when it is asked for.
    """
    if workers == 0:
        for make in makers:
            yield make()
        return
    pool = ThreadPoolExecutor(workers, "loader")
    waiting: deque[Future[Made]] = deque()
    try:
        for make in makers:
            waiting.append(pool.submit(make))
            # A name that stays would keep what the maker holds alive.
            del make
            if len(waiting) > _EACH * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class Once(Generic[Made]):
    """A value that the first who asks for it makes, while the others wait.

    Args:
        make: called once.
    """

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make, self._lock = make, Lock()
        self._made: list[Made] = []

    def get(self) -> Made:
        """The value."""
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]
