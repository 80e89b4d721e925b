"""Embedding: the views that a cache lacks, computed and written part by part."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from featx.backbones.pooling import POOLINGS
from featx.backbones.registry import BackboneSpec
from featx.backbones.weights import Weights
from featx.errors import FeatxError, UnreadableImageError
from featx.features.cache.drift import check_drift
from featx.features.cache.file_hashes import Hashed, strict_error
from featx.features.cache.store import Features, FeatureStore, RowKey
from featx.features.overlapped import Overlapped
from featx.features.quantized import read_network
from featx.features.recipe import Recipe
from featx.features.rendering import Pixels, render
from featx.features.wanted import WantedRows
from featx.runtime.progress import progress

if TYPE_CHECKING:
    from featx.backbones.engines import Engine

__all__ = ["Embedding", "Lacking", "Lane", "complete", "compute", "find_lacking"]

logger = logging.getLogger(__name__)

# A part is what a kill can cost; at some 100 views a second this is a few seconds' work.
ROWS_A_PART = 512
ROWS_A_BATCH = 32


@dataclass(frozen=True, eq=False)
class Embedding:
    """One backbone, and where its rows are kept."""

    recipe: Recipe
    backbone: BackboneSpec
    weights: Weights
    cache: Path
    engine: str
    weights_dir: Path | None = None

    @cached_property
    def store(self) -> FeatureStore:
        """Where the rows are kept."""
        return FeatureStore(self.cache, self.recipe)

    @property
    def width(self) -> int:
        """How many features a row has."""
        return self.backbone.features * POOLINGS[self.recipe.pooling]

    def _make_engine(self) -> Engine:
        from featx.backbones.engines import make_engine
        from featx.backbones.quantization import QuantizedEngine

        recipe = self.recipe
        if recipe.precision == "int8":
            network = read_network(recipe, self.cache, self.weights_dir)
            return QuantizedEngine(network, self.backbone)
        return make_engine(
            self.backbone,
            self.weights,
            self.engine,
            pooling=recipe.pooling,
            precision=recipe.precision,
        )


Lacking = dict[Embedding, npt.NDArray[np.bool_]]
"""For each backbone that lacks rows, which of those that are wanted."""


def complete(
    embeddings: Sequence[Embedding], hashed: Hashed, wanted: WantedRows, *, strict: bool
) -> dict[str, UnreadableImageError]:
    """Compute those of the wanted rows that the cache lacks, reading each image once."""
    lacking = find_lacking(embeddings, wanted)
    try:
        with ExitStack() as stack:
            lanes = [stack.enter_context(Lane(embedding)) for embedding in lacking]
            title = f"Embedding with {', '.join(lane.title for lane in lanes)}"
            total = sum(int(lacks.sum()) for lacks in lacking.values())
            advance = stack.enter_context(progress(title, total, "views"))
            masks = list(lacking.values())
            return compute(lanes, masks, hashed, wanted, strict=strict, advance=advance)
    finally:
        for embedding in lacking:
            embedding.store.save_index()


def find_lacking(embeddings: Sequence[Embedding], wanted: WantedRows) -> Lacking:
    """Find which of the wanted rows are not in the cache, and that it can be written to.

    Returns
    -------
    dict of Embedding to ndarray of bool, shape (n_distinct, views)
        Those backbones that lack some, and which.
    """
    lacking = {embedding: ~embedding.store.there(wanted) for embedding in embeddings}
    for embedding, lacks in lacking.items():
        logger.debug(
            f"{embedding.backbone.name}: {lacks.size - int(lacks.sum()):,} of {lacks.size:,} rows "
            f"are in the cache ({embedding.store.folder})."
        )
    lacking = {embedding: lacks for embedding, lacks in lacking.items() if lacks.any()}
    for embedding in lacking:
        # An unwritable cache is told before anything is computed.
        embedding.store.describe()
    return lacking


def compute(
    lanes: Sequence[Lane],
    lacking: Sequence[npt.NDArray[np.bool_]],
    hashed: Hashed,
    wanted: WantedRows,
    *,
    strict: bool,
    advance: Callable[[int], object],
) -> dict[str, UnreadableImageError]:
    """Compute rows, reading each image once.

    Parameters
    ----------
    lacking : sequence of ndarray of bool, shape (n_distinct, views)
        For each of them, which rows.
    """
    failures: dict[str, UnreadableImageError] = {}
    if not lanes:
        return failures
    recipes = [lane.embedding.recipe for lane in lanes]
    images = render(hashed, wanted, recipes, list(lacking))
    with closing(images), Overlapped() as overlapped:
        for rendered in images:
            if isinstance(rendered.views, UnreadableImageError):
                if strict:
                    raise strict_error(hashed.images.names[rendered.place], rendered.views)
                failures[rendered.digest] = rendered.views
                continue
            for lane, views in zip(lanes, rendered.views, strict=True):
                for view, pixels in views:
                    if lane.add((rendered.digest, view), pixels):
                        lane.start(overlapped, advance)
        for lane in lanes:
            lane.start(overlapped, advance)
        overlapped.finish()
    return failures


class Lane:
    """One backbone at work: gathers views to batches, and rows to parts.

    What was embedded is written also when something failed.
    """

    def __init__(self, embedding: Embedding, engine: Engine | None = None) -> None:
        self.embedding = embedding
        if engine is None:
            engine = embedding._make_engine()
            check_drift(embedding.store, engine)
        self.engine = engine
        self.title = f"{embedding.backbone.name} ({self.engine.name})"
        self._seconds = 0.0
        self._waiting: list[tuple[RowKey, Pixels]] = []
        self._keys: list[RowKey] = []
        self._features: list[Features] = []

    def __enter__(self) -> Lane:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
            return
        try:
            self._flush()
        except FeatxError as error:
            # The first error is the one to tell.
            logger.warning(f"The last rows could not be kept: {error}")

    def add(self, key: RowKey, pixels: Pixels) -> bool:
        """Take one view, and tell whether there are enough for a batch."""
        self._waiting.append((key, pixels))
        return len(self._waiting) == ROWS_A_BATCH

    def start(self, overlapped: Overlapped, advance: Callable[[int], object]) -> None:
        """Have what waits embedded, and keep it when that is done."""
        if not self._waiting:
            return
        keys = [key for key, _ in self._waiting]
        work = partial(self._embed, [pixels for _, pixels in self._waiting])
        self._waiting = []

        def keep(values: Features, seconds: float) -> None:
            self._keep(keys, values, seconds)
            advance(len(keys))

        overlapped.start(work, keep)

    def _embed(self, views: list[Pixels]) -> Features:
        values = self.engine.embed(np.stack(views))
        if not np.isfinite(values).all():
            raise FeatxError(
                f"{self.embedding.backbone.name} gives features that are not finite; its weights "
                f"({self.embedding.weights.description}) are damaged or not its own"
            )
        return values

    def _keep(self, keys: list[RowKey], values: Features, seconds: float) -> None:
        self._keys += keys
        self._features.append(values)
        self._seconds += seconds
        if len(self._keys) >= ROWS_A_PART:
            self._flush()

    def _flush(self) -> None:
        if not self._keys:
            return
        keys, features = self._keys, np.concatenate(self._features)
        spent, self._seconds = self._seconds, 0.0
        self._keys, self._features = [], []
        self.embedding.store.add(keys, features, spent)
