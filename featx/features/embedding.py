"""Embedding: the views that a cache lacks, computed and written part by part."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from featx.backbones.registry import Backbone
from featx.backbones.weights import Weights
from featx.errors import FeatxError, UnreadableImageError
from featx.features.probe import check_drift
from featx.features.recipe import Recipe
from featx.features.store import FeatureStore, RowKey
from featx.images.augmentation import make_view
from featx.images.dataset import ImageDataset
from featx.progress import progress, say

if TYPE_CHECKING:
    from featx.backbones.engines import Engine

__all__ = ["Embedding", "strict_error"]

# A part is what a kill can cost; at some 100 views a second this is a few seconds' work.
ROWS_A_PART = 512
ROWS_A_BATCH = 32

Pixels = npt.NDArray[np.float32]
Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Embedding:
    """One backbone over one set of images.

    Parameters
    ----------
    images : ImageDataset
        What to embed.
    places : dict of str to int
        Where to read an image of each digest: an index into `images`.
    recipe : Recipe
        What decides the values.
    backbone : Backbone
        The network.
    weights : Weights
        Found for it.
    cache : Path
        The cache's folder.
    engine : str
        What runs the network.
    strict : bool
        Whether an unreadable image is an error.
    """

    images: ImageDataset
    places: dict[str, int]
    recipe: Recipe
    backbone: Backbone
    weights: Weights
    cache: Path
    engine: str
    strict: bool

    @property
    def store(self) -> FeatureStore:
        """Where the rows are kept."""
        return FeatureStore(self.cache, self.recipe)

    def complete(self, wanted: Iterable[RowKey]) -> dict[str, UnreadableImageError]:
        """Compute those of the wanted rows that the cache lacks.

        Parameters
        ----------
        wanted : iterable of (digest, view)
            Which rows the cache shall hold.

        Returns
        -------
        dict of str to UnreadableImageError
            Digests of images that cannot be decoded, with the reason.

        Raises
        ------
        FeatxError
            If the cache cannot be written to, features are not finite, or, where `strict`, an
            image is unreadable.
        """
        there = self.store.keys()
        missing = [key for key in wanted if key not in there]
        failures: dict[str, UnreadableImageError] = {}
        if missing:
            # An unwritable cache is told before anything is computed.
            self.store.describe()
            self._compute(missing, failures)
        return failures

    def _compute(self, missing: list[RowKey], failures: dict[str, UnreadableImageError]) -> None:
        engine = self._make_engine()
        check_drift(self.store, engine)
        title = f"Embedding with {self.backbone.name} ({engine.name})"
        with _PartWriter(self.store) as writer, progress(title, len(missing), "views") as advance:
            for keys, pixels in _batches(self._render(missing, failures), ROWS_A_BATCH):
                values = engine.embed(pixels)
                if not np.isfinite(values).all():
                    raise FeatxError(
                        f"{self.backbone.name} gives features that are not finite; its weights "
                        f"({self.weights.description}) are damaged or not its own"
                    )
                writer.add(keys, values)
                advance(len(keys))

    def _make_engine(self) -> Engine:
        from featx.backbones.engines import make_engine

        return make_engine(self.backbone, self.weights, self.engine)

    def _render(
        self, missing: list[RowKey], failures: dict[str, UnreadableImageError]
    ) -> Iterator[tuple[RowKey, Pixels]]:
        """Yield each missing view, read and warped ahead of time by a few threads."""
        views: dict[str, list[int]] = {}
        for digest, view in missing:
            views.setdefault(digest, []).append(view)
        for digest, result in _ahead(self._render_image, views.items()):
            if isinstance(result, UnreadableImageError):
                if self.strict:
                    raise strict_error(self.images.names[self.places[digest]], result)
                failures[digest] = result
            else:
                for view, pixels in zip(views[digest], result, strict=True):
                    yield (digest, view), pixels

    def _render_image(
        self, job: tuple[str, list[int]]
    ) -> tuple[str, list[Pixels] | UnreadableImageError]:
        digest, views = job
        recipe = self.recipe
        try:
            image = self.images.read(self.places[digest], recipe.colour)
        except UnreadableImageError as error:
            return digest, error
        return digest, [
            make_view(image, digest, view, recipe.size, recipe.augmentation, recipe.seed)
            for view in views
        ]


def strict_error(name: str, error: UnreadableImageError) -> FeatxError:
    """Say that an unreadable image stops everything."""
    return FeatxError(
        f"{name} is unreadable: {error}; mend or remove it, or leave --strict out to go on without"
    )


class _PartWriter:
    """Gathers rows and writes them part by part; what is left, also when something failed."""

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self._keys: list[RowKey] = []
        self._features: list[npt.NDArray[np.float32]] = []
        self._since = time.perf_counter()

    def __enter__(self) -> _PartWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
            return
        try:
            self._flush()
        except FeatxError as error:
            # The first error is the one to tell.
            say(f"The last rows could not be kept: {error}")

    def add(self, keys: Sequence[RowKey], features: npt.NDArray[np.float32]) -> None:
        self._keys.extend(keys)
        self._features.append(features)
        if len(self._keys) >= ROWS_A_PART:
            self._flush()

    def _flush(self) -> None:
        if not self._keys:
            return
        keys, features = self._keys, np.concatenate(self._features)
        self._keys, self._features = [], []
        now = time.perf_counter()
        spent, self._since = now - self._since, now
        self.store.add(keys, features, spent)


def _ahead(work: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
    """Map in order with threads, a bounded number of jobs ahead of the consumer."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers, thread_name_prefix="featx-reader") as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _batches(
    rows: Iterable[tuple[RowKey, Pixels]], size: int
) -> Iterator[tuple[list[RowKey], Pixels]]:
    keys: list[RowKey] = []
    pixels: list[Pixels] = []
    for key, image in rows:
        keys.append(key)
        pixels.append(image)
        if len(keys) == size:
            yield keys, np.stack(pixels)
            keys, pixels = [], []
    if keys:
        yield keys, np.stack(pixels)
