"""Fill the cache: read images, make their views, run the networks, write shards."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from featx.backbones.brought import AnyBackbone
from featx.backbones.kept import CONVERTED
from featx.backbones.pooling import pooled_columns
from featx.backbones.registry import get_backbone
from featx.backbones.weights import Weights, find_weights, find_weights_again
from featx.errors import FeatxError, UnreadableImageError
from featx.features.cache.drift import check_drift
from featx.features.cache.file_hashes import Hashed, strict_error
from featx.features.cache.store import Features, FeatureStore, RowKey
from featx.features.config import ExtractionConfig
from featx.features.engine_pool import EnginePool, Kept, kept
from featx.features.recipe import Recipe
from featx.images.augmentation import make_view
from featx.images.normalization import normalize
from featx.images.pixel_facts import pixel_facts
from featx.images.reading import Color
from featx.images.sources import Source, digest_of, load, pixels_of
from featx.runtime.parallel import prefetch
from featx.runtime.progress import progress

if TYPE_CHECKING:
    from featx.backbones.engines import Engine

logger = logging.getLogger(__name__)

# A shard is the most that a kill can cost: a few seconds of work at some 100 views a second.
ROWS_PER_SHARD = 512
ROWS_PER_BATCH = 32

# The second batch fills the cores that the first one's last images leave idle.
BATCHES_AT_A_TIME = 2

Mask = npt.NDArray[np.bool_]
"""Rows of images, shape (n_images, views)."""

Pixels = npt.NDArray[np.float32]

Failures = dict[str, UnreadableImageError]
"""Why images cannot be decoded, by digest."""


@dataclass(frozen=True, eq=False)
class Embedder:
    """One backbone with its weights, its recipe and the cache of its rows."""

    recipe: Recipe
    backbone: AnyBackbone
    weights: Weights
    config: ExtractionConfig

    @cached_property
    def store(self) -> FeatureStore:
        """Cache of the rows."""
        return FeatureStore(self.config.cache_folder, self.recipe)

    @property
    def width(self) -> int:
        """Number of features per row."""
        return len(pooled_columns(self.backbone, self.recipe.pooling))

    @property
    def title(self) -> str:
        """Name of the network for progress."""
        suffix = " with random weights" if self.recipe.random_weights else ""
        return f"{self.backbone.name}{suffix}"

    @property
    def network_key(self) -> tuple[object, ...]:
        """Everything that decides which network is loaded."""
        recipe = self.recipe
        network = recipe.weights, recipe.pooling, recipe.precision
        return self.backbone, network, self.config.engine

    def load_engine(self) -> Engine:
        """Load the network into the engine that the config names, and check it."""
        from featx.backbones.engines import make_engine
        from featx.backbones.network_check import CheckedNetwork, check_network

        recipe, folder = self.recipe, self.config.cache_folder / CONVERTED
        settings = {"pooling": recipe.pooling, "precision": recipe.precision}
        engine = make_engine(
            self.backbone, self.weights, self.config.engine, **settings, networks=folder
        )
        checked = CheckedNetwork(self.backbone, self.weights.digest, recipe.color, **settings)
        check_network(engine, checked, folder)
        return engine


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
    backbone = embedder.backbone
    if embedder.recipe.by_file:
        name, found = find_weights_again(embedder.recipe.backbone, weights.digest, folder)
        backbone = get_backbone(replace(embedder.recipe, backbone=name).backbone_name)
    else:
        found = find_weights(embedder.backbone, "imagenet", folder, allow_download=False)
    if found.digest != weights.digest:
        raise FeatxError(
            f"the weights {weights.digest[:16]} of {embedder.backbone.name} are not here. Put them "
            "into a --weights-dir that all machines see, or $FEATX_WEIGHTS_DIR of the workers"
        )
    return replace(embedder, backbone=backbone, weights=found)


def embedders_of(config: ExtractionConfig) -> tuple[Embedder, ...]:
    """Find the weights of each backbone and make its recipe, before any network is loaded."""

    def find(record: AnyBackbone) -> Embedder:
        folder, random_state = config.weights_folder, config.random_state
        weights = find_weights(record, config.weights, folder, random_state=random_state)
        recipe = Recipe.from_config(config, record, weights.digest)
        return Embedder(recipe, record, weights, config)

    return tuple(map(find, config.records))


ENGINES = EnginePool(Embedder.load_engine)


def find_missing(
    embedders: Sequence[Embedder], keys: Sequence[str], views: int
) -> dict[Embedder, Mask]:
    """Find the rows that the cache lacks, of those backbones that lack some."""
    found = {}
    for embedder in embedders:
        missing = embedder.store.missing(keys, views)
        logger.debug(
            f"{embedder.backbone.name}: {missing.size - int(missing.sum()):,} of "
            f"{missing.size:,} rows are in the cache ({embedder.store.folder})."
        )
        if missing.any():
            found[embedder] = missing
            # An unwritable cache is reported before anything is computed.
            embedder.store.describe()
    return found


def images_to_read(hashed: Hashed, missing: Mapping[Embedder, Mask]) -> list[int]:
    """Return the images that lack rows, of exact duplicates the first."""
    lacking = np.any([mask.any(axis=1) for mask in missing.values()], axis=0)
    first: dict[str, int] = {}
    for number in np.flatnonzero(lacking).tolist():
        first.setdefault(hashed.digests[number], number)
    return list(first.values())


def fill_cache(
    missing: Mapping[Embedder, Mask],
    hashed: Hashed,
    *,
    strict: bool = False,
    trust_versions: bool = True,
) -> Failures:
    """Compute missing rows and write them to the cache, decoding each image once.

    Rows computed before a failure are written, too.
    """
    failures: Failures = {}
    if not missing:
        return failures
    tracks = [
        _Track(embedder, engine, mask)
        for (embedder, mask), engine in zip(missing.items(), ENGINES.load(missing), strict=True)
    ]
    for track in tracks:
        # A function may have changed under the same version.
        trusting = trust_versions and track.engine.name != "python"
        check_drift(track.embedder.store, track.engine, trusting=trusting)
    numbers = images_to_read(hashed, missing)
    total = sum(int(track.mask[numbers].sum()) for track in tracks)
    names = ", ".join(f"{track.embedder.title} ({track.engine.name})" for track in tracks)
    with ExitStack() as stack:
        advance = stack.enter_context(progress(f"Embedding with {names}", total, "views"))
        for track in tracks:
            stack.enter_context(track)
        images = prefetch(partial(_render, hashed, tracks, kept()), numbers)
        stack.enter_context(closing(images))
        batches = _batches(images, tracks, hashed, strict, failures)
        results = prefetch(_embed, batches, BATCHES_AT_A_TIME, BATCHES_AT_A_TIME)
        stack.enter_context(closing(results))
        last = time.perf_counter()
        for track, keys, features, seconds in results:
            track.busy += seconds
            now = time.perf_counter()
            _share_time(tracks, now - last)
            last = now
            track.keep(keys, features)
            advance(len(keys))
    return failures


@dataclass(eq=False)
class _Track:
    """One backbone at work: its missing rows, views for its next batch, rows for its next shard."""

    embedder: Embedder
    engine: Engine
    mask: Mask
    waiting: list[tuple[RowKey, Pixels]] = field(default_factory=list)
    busy: float = 0.0
    seconds: float = 0.0
    keys: list[RowKey] = field(default_factory=list)
    features: list[Features] = field(default_factory=list)

    def __enter__(self) -> _Track:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.flush()
        except FeatxError as error:
            if kind is None:
                raise
            # The first error is the one to report.
            logger.warning(f"The last rows could not be written: {error}")

    def next_batch(self) -> _Batch:
        keys, views = zip(*self.waiting, strict=True)
        self.waiting = []
        return self, list(keys), list(views)

    def keep(self, keys: list[RowKey], features: Features) -> None:
        self.keys += keys
        self.features.append(features)
        if len(self.keys) >= ROWS_PER_SHARD:
            self.flush()

    def flush(self) -> None:
        if not self.keys:
            return
        self.features = [np.concatenate(self.features)]
        self.embedder.store.add(self.keys, self.features[0], self.seconds)
        self.keys, self.features, self.seconds = [], [], 0.0


_Rendered = tuple[int, list[tuple[_Track, int, Pixels]] | UnreadableImageError]
"""Number of an image, and its missing views or why there are none."""

_Batch = tuple[_Track, list[RowKey], list[Pixels]]


def _render(
    hashed: Hashed, tracks: Sequence[_Track], keeper: Kept | None, number: int
) -> _Rendered:
    """Decode one image and make its missing views; views that tracks share are made once."""
    digest, recipe = hashed.digests[number], tracks[0].embedder.recipe
    name, source = hashed.images.names[number], hashed.images.sources[number]
    try:
        image = _read(source, recipe.color, digest, name)
    except UnreadableImageError as error:
        return number, error
    if keeper is not None and image.ndim == 2:
        keeper.pixels[digest] = pixel_facts(image)
    image = normalize(image, recipe.normalization).astype(np.float32, copy=False)
    made: dict[tuple[object, ...], Pixels] = {}
    views = []
    for track in tracks:
        recipe = track.embedder.recipe
        for view in np.flatnonzero(track.mask[number]).tolist():
            settings = (view, *recipe.view_settings)
            if settings not in made:
                made[settings] = make_view(image, digest, *settings)
            views.append((track, view, made[settings]))
    return number, views


def _read(source: Source, color: Color, digest: str, name: str) -> npt.NDArray:
    """Decode an image, whose bytes must be those that its digest was computed of."""
    if isinstance(source, np.ndarray):
        return pixels_of(source, color)
    loaded = load(source)
    if digest_of(loaded) != digest:
        raise FeatxError(
            f"{name} has other bytes than when it was listed, though its size and times may be the "
            "same. Run again with --rehash (rehash=True) to read every file again; on a cluster, "
            "check that all machines read the same files"
        )
    return pixels_of(loaded, color)


def _batches(
    images: Iterable[_Rendered],
    tracks: Sequence[_Track],
    hashed: Hashed,
    strict: bool,
    failures: Failures,
) -> Iterator[_Batch]:
    """Group views into batches of one network each; unreadable images go to `failures`."""
    for number, views in images:
        if isinstance(views, UnreadableImageError):
            if strict:
                raise strict_error(hashed.images.names[number], views)
            failures[hashed.digests[number]] = views
            continue
        for track, view, pixels in views:
            track.waiting.append(((hashed.keys[number], view), pixels))
            if len(track.waiting) == ROWS_PER_BATCH:
                yield track.next_batch()
    yield from (track.next_batch() for track in tracks if track.waiting)


def _embed(batch: _Batch) -> tuple[_Track, list[RowKey], Features, float]:
    """Run the network, and measure its time in seconds."""
    track, keys, views = batch
    since = time.perf_counter()
    features = track.engine.embed(np.stack(views))
    if not np.isfinite(features).all():
        raise FeatxError(
            f"{track.embedder.backbone.name} gives features that are not finite; its weights "
            f"({track.embedder.weights.description}) are damaged or of another network"
        )
    return track, keys, features, time.perf_counter() - since


def _share_time(tracks: Sequence[_Track], elapsed: float) -> None:
    """Charge elapsed seconds to backbones in proportion to the time that their networks ran."""
    total = sum(track.busy for track in tracks)
    for track in tracks:
        track.seconds += elapsed * track.busy / total if total else 0.0
