"""Parallel fits with one thread each, so that results are reproducible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed
from joblib.parallel import get_active_backend
from threadpoolctl import threadpool_limits

from featx.runtime.parallel import chosen_jobs

Result = TypeVar("Result")


def run_all(
    function: Callable[..., Result],
    tasks: Sequence[tuple[Any, ...]],
    *,
    n_jobs: int | None = None,
    done: Callable[[Result], object] | None = None,
) -> list[Result]:
    """Call a function for each task in parallel, `done` for each result.

    Examples
    --------
    >>> run_all(pow, [(2, 3), (3, 2)])
    [8, 9]
    """
    streams = get_active_backend(prefer="threads")[0].supports_return_generator
    # Everything slow here releases Python's lock, so threads share the matrix without a copy.
    workers = Parallel(
        n_jobs=_configured(n_jobs),
        prefer="threads",
        return_as="generator" if streams else "list",
    )
    results = []
    with threadpool_limits(1):
        for result in workers(delayed(_single_threaded)(function, *task) for task in tasks):
            results.append(result)
            if done is not None:
                done(result)
    return results


def n_workers(n_jobs: int | None = None) -> int:
    """Return the number of calls that `run_all` makes at once.

    Examples
    --------
    >>> n_workers(3)
    3
    """
    backend, _ = get_active_backend(prefer="threads")
    return backend.effective_n_jobs(_configured(n_jobs))


def _configured(n_jobs: int | None) -> int | None:
    if n_jobs is not None:
        return n_jobs
    # Queried without a preference, because with one joblib forgets the configured number.
    backend, configured = get_active_backend()
    if configured is None and not backend.nesting_level:
        return chosen_jobs() or -1
    return configured


def _single_threaded(function: Callable[..., Result], *task: Any) -> Result:
    # OpenMP counts threads for each calling thread, so the limit outside does not apply here.
    with threadpool_limits(1):
        return function(*task)
