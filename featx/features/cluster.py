"""Extraction on a Dask cluster: what is missing, in batches, to workers that share the cache."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UnreadableImageError, UsageError
from featx.features.cache.file_hashes import Digest, Hashed, strict_error
from featx.features.cluster_worker import Batch, Outcome, run_batch, run_digests, run_probe
from featx.features.embedding import ROWS_A_PART, Embedding, Lacking, find_lacking
from featx.features.wanted import WantedRows, unpack_digest
from featx.images.archives import Member
from featx.images.sources import Source
from featx.runtime.progress import progress

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Cluster"]

logger = logging.getLogger(__name__)

# So many tasks a thread are on their way: the next one is there when a worker has done the last,
# and the scheduler remembers as little of a million images as of a thousand.
TASKS_A_THREAD = 2
IMAGES_A_TASK = 256

# A task is tried again after errors that may pass, such as those of a network drive.
RETRIES = 2

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster whose workers see the images and the cache."""

    client: Client
    resources: Mapping[str, float] | None = None

    def read_digests(self, images: ImageDataset, indices: Sequence[int]) -> Iterator[Digest]:
        """Read images on the workers to compute their digests."""
        sources = (_seen_from_anywhere(images.sources[index]) for index in indices)
        tasks = iter(lambda: list(islice(sources, IMAGES_A_TASK)), [])
        waiting: deque[Future[Any]] = deque()
        most = max(2, TASKS_A_THREAD * sum(self.client.nthreads().values()))
        with _telling_of_loss():
            for task in tasks:
                waiting.append(self.client.submit(run_digests, task, pure=False, retries=RETRIES))
                if len(waiting) >= most:
                    yield from _digests(waiting.popleft())
            while waiting:
                yield from _digests(waiting.popleft())

    def complete(
        self,
        embeddings: Sequence[Embedding],
        hashed: Hashed,
        wanted: WantedRows,
        *,
        strict: bool,
    ) -> dict[str, UnreadableImageError]:
        """Compute those of the wanted rows that the cache lacks, on the workers.

        The work is parted by the order of digests, so that a run that was lost is taken up with
        the same batches, less those whose parts are in the cache.
        """
        lacking = find_lacking(embeddings, wanted)
        if not lacking:
            return {}
        self._check_resources()
        run = _Run(self, tuple(lacking), hashed, strict)
        names = ", ".join(embedding.backbone.name for embedding in lacking)
        total = sum(int(lacks.sum()) for lacks in lacking.values())
        try:
            with (
                _telling_of_loss(),
                progress(f"Embedding with {names} on the cluster", total, "views") as advance,
            ):
                run.prepare()
                run.do(_batches(lacking, hashed, wanted), advance)
                run.isolate(advance)
        finally:
            for embedding in lacking:
                embedding.store.save_index()
        return run.failures

    def _check_resources(self) -> None:
        """Refuse what no worker has: Dask would wait for one that has."""
        if not self.resources:
            return
        # Newer versions describe only the first few workers unless asked for all.
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        for worker in workers:
            own = worker["resources"]
            if all(own.get(name, 0) >= amount for name, amount in self.resources.items()):
                return
        wanted = ",".join(f"{name}={amount:g}" for name, amount in self.resources.items())
        raise UsageError(
            f"no worker of the cluster has the resources {wanted}; start some with "
            f"`dask worker ADDRESS --resources {wanted}`, or leave --resources out"
        )


@dataclass
class _Run:
    """One extraction on a cluster, and what is known of its workers so far."""

    cluster: Cluster
    embeddings: tuple[Embedding, ...]
    hashed: Hashed
    strict: bool
    failures: dict[str, UnreadableImageError] = field(default_factory=dict)
    suspects: list[Batch] = field(default_factory=list)
    unfit: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Have one worker make the probes that all others are held against."""
        embeddings = tuple(map(_sent, self.embeddings))
        while self._refused(_result(self._submit(run_probe, embeddings))):
            pass

    def do(self, batches: Iterator[Batch], advance: Callable[..., None]) -> None:
        """Do batches, a bounded number at a time; those that end their workers are put aside."""
        from distributed import as_completed

        running: dict[str, Batch] = {}
        completed = as_completed(loop=self.cluster.client.loop)

        def start(batch: Batch) -> None:
            future = self._submit(run_batch, batch, key=batch.key)
            running[future.key] = batch
            completed.add(future)

        for batch in islice(batches, self._room(0)):
            start(batch)
        for future in completed:
            batch = running.pop(future.key)
            outcome = self._outcome(future)
            # Released before the same work may be asked for again.
            future.release()
            if outcome is None:
                self.suspects.append(batch)
            elif self._refused(outcome):
                start(batch)
            else:
                self._keep(batch, outcome, advance)
            for following in islice(batches, self._room(len(running))):
                start(following)

    def isolate(self, advance: Callable[..., None]) -> None:
        """Do what ended its workers once more, alone, halving it until the image is found."""
        if self.suspects:
            count = sum(map(len, self.suspects))
            logger.warning(
                f"{count:,} images were with workers that died again and again; they are tried "
                "apart, to find those that are to blame."
            )
        while self.suspects:
            batch = self.suspects.pop()
            outcome = self._outcome(self._submit(run_batch, batch, key=f"{batch.key}-apart"))
            if outcome is None and len(batch) > 1:
                self.suspects += batch.halves()
            elif outcome is None:
                reason = "it ends the process that reads it, each time that it is tried"
                self._keep(batch, Outcome("", {batch.digests[0]: reason}), advance)
            elif self._refused(outcome):
                self.suspects.append(batch)
            else:
                self._keep(batch, outcome, advance)

    def _submit(self, work: Callable[..., Outcome], what: object, key: str | None = None) -> Any:
        client = self.cluster.client
        workers = None
        if self.unfit:
            workers = [address for address in client.nthreads() if address not in self.unfit]
            if not workers:
                address, reason = next(iter(self.unfit.items()))
                raise FeatxError(f"no worker of the cluster is fit; {address} for one: {reason}")
        return client.submit(
            work,
            what,
            key=key,
            pure=False,
            retries=RETRIES,
            workers=workers,
            resources=None if self.cluster.resources is None else dict(self.cluster.resources),
        )

    def _room(self, running: int) -> int:
        threads = sum(self.cluster.client.nthreads().values())
        return max(0, max(2, TASKS_A_THREAD * threads) - running)

    def _outcome(self, future: Future[Outcome]) -> Outcome | None:
        """Return what became of a batch, or None if it ended its worker too often."""
        from distributed import KilledWorker

        try:
            return _result(future)
        except KilledWorker:
            return None

    def _refused(self, outcome: Outcome) -> bool:
        """Tell whether a worker is not fit, in which case it gets no more."""
        if outcome.unfit and outcome.worker not in self.unfit:
            logger.warning(f"The worker {outcome.worker} is left out: {outcome.unfit}")
            self.unfit[outcome.worker] = outcome.unfit
        return bool(outcome.unfit)

    def _keep(self, batch: Batch, outcome: Outcome, advance: Callable[..., None]) -> None:
        if outcome.failure:
            raise FeatxError(f"{outcome.failure} (worker {outcome.worker})")
        by_recipe = {embedding.recipe.digest: embedding for embedding in self.embeddings}
        for sent, parts in zip(batch.embeddings, outcome.parts, strict=bool(outcome.parts)):
            by_recipe[sent.recipe.digest].store.learn(parts)
        names = dict(zip(batch.digests, batch.names, strict=True))
        for digest, reason in outcome.unreadable.items():
            error = UnreadableImageError(reason)
            if self.strict:
                raise strict_error(names[digest], error)
            self.failures[digest] = error
        advance(batch.rows, f"{len(self.cluster.client.nthreads()):,} workers")


def _batches(lacking: Lacking, hashed: Hashed, wanted: WantedRows) -> Iterator[Batch]:
    """Part the images that lack rows, in the order of their digests."""
    embeddings = tuple(map(_sent, lacking))
    numbers = np.flatnonzero(np.any([lacks.any(axis=1) for lacks in lacking.values()], axis=0))
    size = max(1, ROWS_A_PART // wanted.views)
    for start in range(0, len(numbers), size):
        own: npt.NDArray[np.int64] = numbers[start : start + size]
        places = wanted.first[own].tolist()
        yield Batch(
            embeddings=embeddings,
            sources=tuple(_seen_from_anywhere(hashed.images.sources[place]) for place in places),
            names=tuple(hashed.images.names[place] for place in places),
            digests=tuple(unpack_digest(wanted.digests, number) for number in own.tolist()),
            lacking=tuple(lacks[own] for lacks in lacking.values()),
        )


def _sent(embedding: Embedding) -> Embedding:
    """Return an embedding without its store, and with paths that lead there from any folder."""
    path, folder = embedding.weights.path, embedding.weights_dir
    return replace(
        embedding,
        weights=replace(embedding.weights, path=None if path is None else path.absolute()),
        cache=embedding.cache.absolute(),
        weights_dir=None if folder is None else folder.absolute(),
    )


def _seen_from_anywhere(source: Source) -> Source:
    if isinstance(source, Member):
        return replace(source, archive=source.archive.absolute())
    return source.absolute() if isinstance(source, Path) else source


@contextmanager
def _telling_of_loss() -> Iterator[None]:
    """Say what to do where the scheduler is lost, or a task fails for reasons of its own."""
    try:
        yield
    except FeatxError:
        raise
    except (OSError, TimeoutError, CancelledError) as error:
        raise FeatxError(
            f"the scheduler was lost ({type(error).__name__}); when there is one again, run the "
            "same command: it goes on from the parts that are in the cache"
        ) from error


def _digests(future: Future[Any]) -> Iterator[Digest]:
    for digest in _result(future):
        yield digest if isinstance(digest, str) else UnreadableImageError(*digest)


def _result(future: Future[Result]) -> Result:
    """Wait for a task, and say what to do where it is lost."""
    from distributed import KilledWorker

    try:
        return future.result()
    except (KilledWorker, FeatxError, CancelledError):
        raise
    except Exception as error:
        raise FeatxError(
            f"a batch failed on the cluster ({type(error).__name__}: {error}); see to it and run "
            "the same command again: what is already computed is kept"
        ) from error
