"""Extraction on a Dask cluster: chunks of images for workers that share the cache.

Workers run the `fill_cache` of a single machine, so results are identical. Anyone who reaches a
Dask scheduler can run code on its workers, so an address beyond this machine must use TLS.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from featx.errors import FeatxError, MissingExtraError, UnreadableImageError, UsageError
from featx.features import pipeline
from featx.features.cache.file_hashes import Hashed, strict_error
from featx.features.pipeline import Embedder, Failures, Mask, find_here, images_to_read
from featx.images.sources import anchored
from featx.runtime.memory import keeping_freed_memory
from featx.runtime.parallel import set_engine_threads, set_jobs
from featx.runtime.progress import progress

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10


@contextmanager
def connected(address: str | None, *, allow_open: bool = False) -> Iterator[Client | None]:
    """Connect to a scheduler (None for no cluster), with the TLS settings of Dask's own config."""
    if address is None:
        yield None
        return
    _check_address(address, allow_open)
    try:
        from distributed import Client, Security
    except ImportError as error:
        raise MissingExtraError("a Dask cluster", "featx[dask]") from error
    security = Security()
    keys = security.get_connection_args("client").get("ssl_context")
    if address.startswith("tls://") and keys is None:
        raise UsageError(
            f"{address} needs TLS keys. Name them in Dask's configuration, under "
            "distributed.comm.tls (or DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT, ...)"
        )
    try:
        client = Client(address, security=security, set_as_default=False, timeout=CONNECT_SECONDS)
    except OSError as error:
        raise FeatxError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}). Start one with "
            "`dask scheduler` and give the address that it prints"
        ) from error
    with client:
        workers = client.nthreads()
        threads = f"{len(workers)} workers, {sum(workers.values())} threads"
        logger.info(f"Cluster {address}: {threads}. Dashboard: {client.dashboard_link or 'none'}")
        yield client


def parse_address(address: str) -> tuple[str, str]:
    """Return the protocol and the host of a scheduler's address."""
    found = re.fullmatch(r"(?:(tcp|tls)://)?(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})", address)
    if found is None:
        raise UsageError(
            f"{address!r} is not the address of a Dask scheduler; write tcp://127.0.0.1:8786 or "
            "tls://HOST:8786, as `dask scheduler` prints it"
        )
    return found[1] or "tcp", found[2]


def _check_address(address: str, allow_open: bool) -> None:
    """Refuse malformed addresses, and open ones that other machines can reach."""
    protocol, host = parse_address(address)
    loopback = host in ("localhost", "[::1]") or re.fullmatch(r"127(\.\d+){3}", host)
    if protocol != "tls" and not loopback and not allow_open:
        raise UsageError(
            f"the scheduler {address} is open: anyone who reaches it can run code on its workers. "
            "Use TLS (tls://HOST:PORT, see docs.dask.org), or, on a network that only "
            "trusted people reach, --allow-open-scheduler"
        )


def fill_cache_on(
    client: Client,
    missing: Mapping[Embedder, Mask],
    hashed: Hashed,
    *,
    strict: bool = False,
    resources: Mapping[str, float] | None = None,
) -> Failures:
    """Compute missing rows on a cluster's workers; see `featx.features.pipeline.fill_cache`."""
    from distributed import KilledWorker, as_completed

    _check_workers(client, resources or {})
    missing, hashed = _sendable(missing, hashed)

    def submit(numbers: list[int]) -> Future[Failures]:
        rows = {embedder: mask[numbers] for embedder, mask in missing.items()}
        options = {"pure": False, "retries": 2, "resources": resources}
        return client.submit(_fill_chunk, rows, hashed.select(numbers), **options)

    # In the order of digests, so that a second run has the chunks that the first one missed.
    numbers = sorted(images_to_read(hashed, missing), key=hashed.digests.__getitem__)
    step = max(1, pipeline.ROWS_PER_SHARD // next(iter(missing.values())).shape[1])
    names = ", ".join(embedder.backbone.name for embedder in missing)
    title = f"Embedding with {names} on the cluster"
    failures: Failures = {}
    with _explaining_loss(), progress(title, len(numbers), "images") as advance:
        # One worker makes the probes that all others compare their features with.
        submit([]).result()
        starts = range(0, len(numbers), step)
        chunks = {submit(chunk): chunk for chunk in (numbers[i : i + step] for i in starts)}
        suspects: list[int] = []

        def keep(chunk: list[int], unreadable: Failures) -> None:
            for number in chunk if strict else ():
                if error := unreadable.get(hashed.digests[number]):
                    raise strict_error(hashed.images.names[number], error)
            failures.update(unreadable)
            advance(len(chunk))

        for future in as_completed(chunks, loop=client.loop):
            chunk = chunks.pop(future)
            try:
                keep(chunk, future.result())
            except KilledWorker:
                logger.warning(f"Workers died on {len(chunk)} images; each is tried alone.")
                suspects += chunk
        # One after the other: Dask blames all tasks of a worker that dies.
        for number in suspects:
            try:
                keep([number], submit([number]).result())
            except KilledWorker:
                reason = UnreadableImageError("each process that reads it is killed")
                keep([number], {hashed.digests[number]: reason})
    return failures


def _check_workers(client: Client, needed: Mapping[str, float]) -> None:
    """Refuse work that no worker can do, for which Dask would wait forever."""
    # Newer versions describe only the first few workers unless asked for all.
    for worker in client.scheduler_info(n_workers=-1)["workers"].values():
        if all(worker["resources"].get(name, 0) >= least for name, least in needed.items()):
            return
    option = ",".join(f"{name}={amount:g}" for name, amount in needed.items())
    option = option and f" --resources {option}"
    raise UsageError(
        f"the cluster has no worker{option}. Start some with `dask worker ADDRESS{option}`"
    )


def _sendable(
    missing: Mapping[Embedder, Mask], hashed: Hashed
) -> tuple[dict[Embedder, Mask], Hashed]:
    """Copy without large indexes, labels and patients, and with absolute paths."""
    sources = tuple(map(anchored, hashed.images.sources))
    rows = {
        replace(own, config=replace(own.config, cache=own.config.cache_folder)): mask
        for own, mask in missing.items()
    }
    labels, patients = np.full(len(sources), -1), np.full(len(sources), "")
    images = replace(hashed.images, sources=sources, labels=labels, patients=patients)
    return rows, replace(hashed, images=images)


@contextmanager
def _explaining_loss() -> Iterator[None]:
    try:
        yield
    except FeatxError:
        raise
    except Exception as error:
        raise FeatxError(
            f"the work on the cluster failed ({type(error).__name__}: {error}). When scheduler and "
            "workers run, run the same command again: it continues from the rows in the cache"
        ) from error


# One chunk at a time uses all threads of a worker.
_ONE_AT_A_TIME = threading.Lock()


def _fill_chunk(missing: Mapping[Embedder, Mask], hashed: Hashed) -> Failures:
    """Compute the missing rows of a chunk; this runs on a worker."""
    from distributed import get_worker

    worker = get_worker()
    with _ONE_AT_A_TIME, keeping_freed_memory():
        for set_threads in (set_jobs, set_engine_threads, cv2.setNumThreads):
            set_threads(worker.state.nthreads)
        try:
            found = {find_here(embedder): mask for embedder, mask in missing.items()}
            return pipeline.fill_cache(found, hashed, trust_versions=False)
        except FeatxError as error:
            raise FeatxError(f"{error} (worker {worker.address})") from error
