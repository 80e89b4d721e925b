"""Fits on the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from joblib import parallel_config
from joblib.parallel import get_active_backend

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["active_client", "fits_on", "memory_of_a_fit"]


@contextmanager
def fits_on(client: Client | None) -> Iterator[None]:
    """Send fits to a cluster while this is open."""
    if client is None:
        yield
        return
    with parallel_config(backend="dask", client=client):
        yield


def active_client() -> Client | None:
    """Return the client of the cluster that fits are sent to, if they are.

    Examples
    --------
    >>> active_client() is None
    True
    """
    client: Any = getattr(get_active_backend()[0], "client", None)
    return client


def memory_of_a_fit(client: Client) -> int | None:
    """Return the bytes that the smallest worker has for each of its threads."""
    # Newer versions describe only the first few workers unless asked for all.
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    shares = [
        int(worker["memory_limit"] // worker["nthreads"])
        for worker in workers
        if worker["memory_limit"]
    ]
    return min(shares, default=None)
