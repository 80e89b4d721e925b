"""Parallel work on this machine: number of jobs, and ordered maps over threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from featx.errors import UsageError
from featx.runtime.progress import progress

Job = TypeVar("Job")
Result = TypeVar("Result")

_jobs: int | None = None
_engine_threads: int | None = None


def set_jobs(jobs: int | None) -> None:
    """Set how many fits and image readers run at once in this process; None for one per core.

    For fits, a ``joblib.parallel_config`` around them or their own ``n_jobs`` takes precedence.

    Examples
    --------
    >>> set_jobs(2)
    >>> jobs_at_a_time()
    2
    >>> set_jobs(None)
    """
    global _jobs
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs={jobs}: at least 1 is needed")
    _jobs = jobs


def chosen_jobs() -> int | None:
    """Return the number that `set_jobs` set, if any."""
    return _jobs


def jobs_at_a_time() -> int:
    """Return the number that `set_jobs` set, or else the number of usable cores.

    Limits by ``taskset`` and containers count.
    """
    if _jobs is not None:
        return _jobs
    from joblib import cpu_count

    return int(cpu_count())


def set_engine_threads(threads: int) -> None:
    """Set the number of threads of networks loaded later in this process."""
    global _engine_threads
    _engine_threads = threads
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = str(threads)


def engine_threads() -> int | None:
    """Return the number that `set_engine_threads` set; None leaves it to the engine."""
    return _engine_threads


def prefetch(
    work: Callable[[Job], Result],
    jobs: Iterable[Job],
    workers: int | None = None,
    ahead: int | None = None,
) -> Generator[Result, None, None]:
    """Map in order over threads, at most `ahead` results before the consumer.

    Jobs are drawn in the consumer's thread. An error is raised in the place of its result; work
    that has not begun by then is dropped.

    Examples
    --------
    >>> list(prefetch(str.upper, ["a", "b"]))
    ['A', 'B']
    """
    workers = workers or jobs_at_a_time()
    ahead = 4 * workers if ahead is None else ahead
    with ThreadPoolExecutor(workers, thread_name_prefix="featx") as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def map_with_progress(
    work: Callable[[Job], Result], jobs: Sequence[Job], title: str
) -> list[Result]:
    """Map in order over threads, showing progress."""
    results = []
    with progress(title, len(jobs), "images") as advance:
        for result in prefetch(work, jobs):
            results.append(result)
            advance()
    return results
