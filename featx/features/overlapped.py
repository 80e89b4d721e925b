"""Overlapped work: batches run on threads while the next are made and the last are written."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

__all__ = ["Overlapped"]

# The second fills the cores that the first one's last images leave idle.
AT_A_TIME = 2

Result = TypeVar("Result")


class Overlapped:
    """Runs work on a few threads, and hands its results on in the order in which it was begun.

    No more than `AT_A_TIME` pieces of work run and one waits, so that memory stays flat. Left by
    an error, it drops what has not begun and waits for what has.

    Examples
    --------
    >>> found = []
    >>> with Overlapped() as overlapped:
    ...     for number in range(3):
    ...         overlapped.start(lambda: "work", lambda result, seconds: found.append(result))
    ...     overlapped.finish()
    >>> found
    ['work', 'work', 'work']
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="featx-network")
        self._begun: deque[tuple[Future[Any], Callable[[Any, float], None]]] = deque()
        self._costs = _Costs()

    def __enter__(self) -> Overlapped:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def start(self, work: Callable[[], Result], keep: Callable[[Result, float], None]) -> None:
        """Begin some work, once there is room for it."""
        self._begun.append((self._pool.submit(self._run, work), keep))
        if len(self._begun) > AT_A_TIME:
            self._hand_on()

    def finish(self) -> None:
        """Wait for all that was begun, and hand its results on."""
        while self._begun:
            self._hand_on()

    def _run(self, work: Callable[[], Result]) -> tuple[Result, float]:
        with self._costs.charged() as cost:
            result = work()
        return result, cost.seconds

    def _hand_on(self) -> None:
        future, keep = self._begun.popleft()
        keep(*future.result())


class _Cost:
    seconds = 0.0


class _Costs:
    """Splits the time that goes by evenly among the work that is being done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[_Cost] = set()
        self._since = time.perf_counter()

    @contextmanager
    def charged(self) -> Iterator[_Cost]:
        cost = _Cost()
        with self._lock:
            # Time in which nothing ran was spent on what now begins: images were made for it.
            if self._running:
                self._split()
            self._running.add(cost)
        try:
            yield cost
        finally:
            with self._lock:
                self._split()
                self._running.remove(cost)

    def _split(self) -> None:
        now = time.perf_counter()
        for cost in self._running:
            cost.seconds += (now - self._since) / len(self._running)
        self._since = now
