"""The way to the scheduler of a Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from featx.errors import FeatxError, MissingExtraError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["connected"]

logger = logging.getLogger(__name__)


@contextmanager
def connected(address: str | None) -> Iterator[Client | None]:
    """Connect to a scheduler, and say where its dashboard is."""
    if address is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError("a Dask cluster", "featx[dask]") from error
    try:
        client = Client(address, set_as_default=False)
    except (OSError, ValueError) as error:
        raise FeatxError(
            f"no Dask scheduler answers at {address} ({error}); start one with `dask scheduler`, "
            "and give the address that it prints"
        ) from error
    with client:
        workers = client.nthreads()
        if not workers:
            raise FeatxError(
                f"the scheduler at {address} has no workers; start some with "
                f"`dask worker {address}`"
            )
        logger.info(
            f"Cluster {address}: {len(workers)} workers, {sum(workers.values())} threads. "
            f"Dashboard: {client.dashboard_link or 'none'}"
        )
        yield client
