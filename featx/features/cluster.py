"""Extraction on a Dask cluster: chunks of images for workers that share the cache.

Workers run the `fill_cache` of a single machine, so results are identical. Anyone who reaches a
Dask scheduler can run code on its workers, so an address beyond this machine must use TLS.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from featx.backbones.weights import find_weights
from featx.errors import FeatxError, MissingExtraError, UnreadableImageError, UsageError
from featx.features import pipeline
from featx.features.cache.file_hashes import Hashed, strict_error
from featx.features.pipeline import ENGINES, Embedder, Mask, images_to_read
from featx.images.archives import Member
from featx.images.sources import Source
from featx.runtime.memory import keeping_freed_memory
from featx.runtime.parallel import set_engine_threads, set_jobs
from featx.runtime.progress import progress

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Cluster", "connected"]

logger = logging.getLogger(__name__)

# Retries after errors that may pass, such as those of a network drive.
RETRIES = 2
CONNECT_SECONDS = 10

# Networks that a worker keeps in memory, since it serves one extraction after another.
ENGINES_PER_WORKER = 8


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
    try:
        security = Security()
        keys = security.get_connection_args("client").get("ssl_context")
        if address.startswith("tls://") and keys is None:
            raise UsageError(
                f"{address} needs TLS keys. Name them in Dask's configuration, under "
                "distributed.comm.tls (or DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT, ...)"
            )
        client = Client(address, security=security, set_as_default=False, timeout=CONNECT_SECONDS)
    except OSError as error:
        raise FeatxError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}). Start one with "
            "`dask scheduler` and give the address that it prints"
        ) from error
    with client:
        workers = client.nthreads()
        if not workers:
            raise FeatxError(
                f"the scheduler at {address} has no workers. Start some: `dask worker {address}`"
            )
        logger.info(
            f"Cluster {address}: {len(workers)} workers, {sum(workers.values())} threads. "
            f"Dashboard: {client.dashboard_link or 'none'}"
        )
        yield client


def _check_address(address: str, allow_open: bool) -> None:
    """Refuse malformed addresses, and open ones that other machines can reach."""
    found = re.fullmatch(r"(?:(tcp|tls)://)?(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})", address)
    if found is None:
        raise UsageError(
            f"{address!r} is not the address of a Dask scheduler; write tcp://127.0.0.1:8786 or "
            "tls://HOST:8786, as `dask scheduler` prints it"
        )
    protocol, host = found[1], found[2].strip("[]")
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    if protocol != "tls" and host != "localhost" and not allow_open:
        raise UsageError(
            f"the scheduler {address} is open: anyone who reaches it can run code on its workers. "
            "Use TLS (tls://HOST:PORT, see docs.dask.org), or, on a network that only "
            "trusted people reach, --allow-open-scheduler"
        )


Chunk = tuple[dict[Embedder, Mask], Hashed]
"""Images of one task, and their missing rows."""


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster whose workers see the images, the weights and the cache."""

    client: Client
    resources: Mapping[str, float] | None = None

    def fill_cache(
        self, missing: Mapping[Embedder, Mask], hashed: Hashed, *, strict: bool = False
    ) -> dict[str, UnreadableImageError]:
        """Compute missing rows on the workers; see `featx.features.pipeline.fill_cache`."""
        if not missing:
            return {}
        self._check_resources()
        whole = _sendable(missing, hashed)
        views = next(iter(missing.values())).shape[1]
        names = ", ".join(embedder.backbone.name for embedder in missing)
        title = f"Embedding with {names} on the cluster"
        # In the order of digests, so that a second run has the chunks that the first one missed.
        numbers = sorted(images_to_read(hashed, missing), key=hashed.digests.__getitem__)
        step = max(1, pipeline.ROWS_PER_SHARD // views)
        chunks = [numbers[start : start + step] for start in range(0, len(numbers), step)]
        failures: dict[str, UnreadableImageError] = {}
        with _explaining_loss(), progress(title, len(numbers), "images") as advance:
            # One worker makes the probes that all others compare their features with.
            self._submit(whole, []).result()
            for chunk, unreadable in self._run(whole, chunks):
                for number in chunk:
                    error = unreadable.get(hashed.digests[number])
                    if strict and error is not None:
                        raise strict_error(hashed.images.names[number], error)
                failures |= unreadable
                advance(len(chunk))
        return failures

    def _run(
        self, whole: Chunk, chunks: list[list[int]]
    ) -> Iterator[tuple[list[int], dict[str, UnreadableImageError]]]:
        """Yield the numbers of each chunk's images with those that cannot be decoded.

        A chunk whose worker dies is computed by another one; a chunk that kills several workers is
        halved until the image is found.
        """
        from distributed import KilledWorker, as_completed

        futures = {self._submit(whole, chunk): chunk for chunk in chunks}
        completed: Any = as_completed(futures, loop=self.client.loop)
        for future in completed:
            chunk = futures.pop(future)
            try:
                yield chunk, future.result()
            except KilledWorker:
                if len(chunk) == 1:
                    reason = UnreadableImageError("each process that reads it is killed")
                    yield chunk, {whole[1].digests[chunk[0]]: reason}
                    continue
                logger.warning(
                    f"Workers died while they read {len(chunk):,} images; halves are tried."
                )
                for half in (chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]):
                    again = self._submit(whole, half)
                    futures[again] = half
                    completed.add(again)

    def _submit(self, whole: Chunk, numbers: list[int]) -> Future[dict[str, UnreadableImageError]]:
        missing, hashed = whole
        chunk = {key: mask[numbers] for key, mask in missing.items()}, hashed.select(numbers)
        resources = None if self.resources is None else dict(self.resources)
        return self.client.submit(
            _fill_chunk, chunk, pure=False, retries=RETRIES, resources=resources
        )

    def _check_resources(self) -> None:
        """Refuse resources that no worker has, for which Dask would wait forever."""
        needed = self.resources or {}
        # Newer versions describe only the first few workers unless asked for all.
        for worker in self.client.scheduler_info(n_workers=-1)["workers"].values():
            if all(worker["resources"].get(name, 0) >= least for name, least in needed.items()):
                return
        text = ",".join(f"{name}={amount:g}" for name, amount in needed.items())
        raise UsageError(
            f"no worker of the cluster has the resources {text}. Start some with "
            f"`dask worker ADDRESS --resources {text}`, or leave --resources out"
        )


def _sendable(missing: Mapping[Embedder, Mask], hashed: Hashed) -> Chunk:
    """Replace relative paths, and leave out patients and labels, which no worker needs."""
    names = hashed.images.names
    images = replace(
        hashed.images,
        labels=np.full(len(names), -1),
        patients=np.array(names, dtype=np.str_),
        sources=tuple(map(_absolute, hashed.images.sources)),
    )
    # Copies have no store, whose index may be large.
    copies = {
        replace(own, config=replace(own.config, cache=own.config.cache_folder)): mask
        for own, mask in missing.items()
    }
    return copies, replace(hashed, images=images)


def _absolute(source: Source) -> Source:
    if isinstance(source, Member):
        return replace(source, archive=source.archive.absolute())
    return source.absolute() if isinstance(source, Path) else source


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


def _fill_chunk(chunk: Chunk) -> dict[str, UnreadableImageError]:
    """Compute the missing rows of a chunk; this runs on a worker."""
    from distributed import get_worker

    worker = get_worker()
    missing, hashed = chunk
    with _ONE_AT_A_TIME, keeping_freed_memory():
        set_jobs(worker.state.nthreads)
        set_engine_threads(worker.state.nthreads)
        cv2.setNumThreads(worker.state.nthreads)
        ENGINES.size = max(ENGINES.size, ENGINES_PER_WORKER)
        try:
            found = {find_here(embedder): mask for embedder, mask in missing.items()}
            return pipeline.fill_cache(found, hashed, trust_versions=False)
        except FeatxError as error:
            raise FeatxError(f"{error} (worker {worker.address})") from error


def find_here(embedder: Embedder) -> Embedder:
    """Check that this machine sees the cache, and find the same weights on it."""
    weights, folder = embedder.weights, embedder.config.weights_folder
    if not (embedder.store.folder / "recipe.json").is_file():
        raise FeatxError(
            f"the cache {embedder.config.cache_folder} is not visible here. Choose a --cache that "
            "all machines see under one path"
        )
    if weights.path is None or weights.path.is_file():
        return embedder
    folder = folder if folder and folder.is_dir() else None
    found = find_weights(embedder.backbone, "imagenet", folder, allow_download=False)
    if found.digest != weights.digest:
        raise FeatxError(
            f"the weights {weights.digest[:16]} of {embedder.backbone.name} are not here. Put them "
            "into a --weights-dir that all machines see, or $FEATX_WEIGHTS_DIR of the workers"
        )
    return replace(embedder, weights=found)
