"""Extraction: images to rows of features, through the cache."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from featx.backbones.registry import Backbone, get_backbone
from featx.backbones.weights import Weights, find_weights
from featx.errors import FeatxError, UnreadableImageError, UsageError
from featx.features.matrix import FeatureMatrix
from featx.features.recipe import Recipe
from featx.features.store import FeatureStore, RowKey
from featx.images.augmentation import POLICIES, Augmentation, make_view
from featx.images.dataset import ImageDataset
from featx.images.reading import Colour
from featx.progress import progress, say

if TYPE_CHECKING:
    from featx.backbones.engines import Engine

__all__ = ["default_cache", "extract"]

# A part is what a kill can cost; at some 100 views a second this is a few seconds' work.
ROWS_A_PART = 512
ROWS_A_BATCH = 32


def default_cache() -> Path:
    """Return ``$FEATX_CACHE``, or else ``featx`` in the user's cache folder."""
    if "FEATX_CACHE" in os.environ:
        return Path(os.environ["FEATX_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "featx"


def extract(
    images: ImageDataset,
    backbone: str | Sequence[str] = "efficientnet_lite0",
    augmentation: str | Augmentation = "radiograph",
    views: int = 4,
    *,
    weights: str | Path = "imagenet",
    weights_dir: str | Path | None = None,
    cache: str | Path | None = None,
    engine: str = "auto",
    seed: int = 0,
    colour: Colour = "grey",
    strict: bool = False,
) -> FeatureMatrix:
    """Embed the views of images with a frozen backbone.

    Rows that the cache holds are taken from it; the others are computed and written to it part by
    part, so that a run that was stopped goes on where it was.

    Parameters
    ----------
    images : ImageDataset
        What to embed.
    backbone : str or sequence of str, default="efficientnet_lite0"
        Names from `list_backbones`; the features of several are set side by side.
    augmentation : str or Augmentation, default="radiograph"
        How views 1, 2, ... are drawn.
    views : int, default=4
        Views of each image: the image itself and ``views - 1`` augmented ones.
    weights : {"imagenet", "random"} or path, default="imagenet"
        Which weights; a file only where there is one backbone.
    weights_dir : path-like, optional
        Where to look for weights files; by default ``$FEATX_WEIGHTS_DIR``.
    cache : path-like, optional
        Folder of the cache; see `default_cache`.
    engine : {"auto", "keras", "openvino"}, default="auto"
        What runs the network.
    seed : int, default=0
        Decides the augmented views, and the weights where they are random.
    colour : {"grey", "rgb"}, default="grey"
        How images are read; grey is right for radiographs.
    strict : bool, default=False
        Whether an unreadable image is an error; otherwise it is named in the result, left out.

    Returns
    -------
    FeatureMatrix
        The same whatever the order, the number of runs or what was cached.

    Raises
    ------
    UsageError
        If a name is not known, or there is nothing to extract.
    FeatxError
        If weights are not to be had, the cache cannot be written to, or no image can be read.

    Examples
    --------
    >>> import featx, tempfile
    >>> images = featx.ImageDataset.from_arrays(np.zeros((2, 32, 32), np.uint8), ["a", "b"],
    ...                                         patients=["p", "q"])
    >>> with tempfile.TemporaryDirectory() as cache:
    ...     featx.extract(images, views=2, cache=cache)
    FeatureMatrix(efficientnet_lite0: 2 images, 4 rows, 1,280 features)
    """
    policy = Augmentation.named(augmentation) if isinstance(augmentation, str) else augmentation
    names = [backbone] if isinstance(backbone, str) else list(backbone)
    _check(images, names, policy, views, weights)
    folder = Path(cache) if cache is not None else default_cache()
    records = [get_backbone(name) for name in names]
    # All are found before the first runs: hours later is a bad time to hear of a missing file.
    found = [find_weights(record, weights, _path(weights_dir), seed=seed) for record in records]
    digests = _digests(images, strict)
    matrices = []
    for record, record_weights in zip(records, found, strict=True):
        recipe = Recipe(record.name, record_weights.digest, record.size, policy, seed, colour)
        task = _Extraction(images, digests, recipe, record, record_weights, folder, engine, strict)
        matrices.append(task.run(views))
    return FeatureMatrix.join(matrices)


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _check(
    images: ImageDataset, names: list[str], policy: Augmentation, views: int, weights: str | Path
) -> None:
    if len(images) == 0:
        raise UsageError("there is no image to extract features of")
    if not names:
        raise UsageError("there is no backbone to extract features with; name at least one")
    if len(set(names)) < len(names):
        raise UsageError(f"the backbones repeat: {', '.join(names)}")
    if views < 1:
        raise UsageError(f"views={views}: at least 1, the image itself, is needed")
    if views > 1 and policy == POLICIES["none"]:
        raise UsageError(
            f"the policy 'none' draws no augmented views, so views={views} would repeat the same "
            "one; ask for views=1, or for another policy"
        )
    if len(names) > 1 and str(weights) not in ("imagenet", "random"):
        raise UsageError(f"the weights file {weights} cannot be that of {len(names)} backbones")


def _digests(images: ImageDataset, strict: bool) -> list[str | UnreadableImageError]:
    """Digest of every image, or why there is none."""
    results: list[str | UnreadableImageError] = []
    with progress("Reading files", len(images), "images") as advance:
        for index in range(len(images)):
            try:
                results.append(images.digest(index))
            except UnreadableImageError as error:
                if strict:
                    raise _strict_error(images.names[index], error) from error
                results.append(error)
            advance()
    return results


def _strict_error(name: str, error: UnreadableImageError) -> FeatxError:
    return FeatxError(
        f"{name} is unreadable: {error}; mend or remove it, or leave --strict out to go on without"
    )


@dataclass
class _Extraction:
    """One backbone over one set of images."""

    images: ImageDataset
    digests: list[str | UnreadableImageError]
    recipe: Recipe
    backbone: Backbone
    weights: Weights
    cache: Path
    engine_name: str
    strict: bool
    failures: dict[str, UnreadableImageError] = field(default_factory=dict)

    def run(self, views: int) -> FeatureMatrix:
        """Return the matrix of the first `views` views."""
        rows: dict[RowKey, int] = {}
        for digest in self.digests:
            if isinstance(digest, str):
                for view in range(views):
                    rows.setdefault((digest, view), len(rows))
        features = np.empty((len(rows), self.backbone.features), dtype=np.float32)
        store = FeatureStore(self.cache, self.recipe)
        found, seconds = store.collect(rows, features)
        missing = [key for key, row in rows.items() if not found[row]]
        if missing:
            store.describe()
            seconds += self._compute(store, missing, rows, features)
        return self._assemble(views, rows, features, seconds)

    def _compute(
        self,
        store: FeatureStore,
        missing: list[RowKey],
        rows: dict[RowKey, int],
        features: npt.NDArray[np.float32],
    ) -> float:
        engine = self._make_engine()
        writer = _PartWriter(store)
        title = f"Embedding with {self.backbone.name} ({engine.name})"
        with writer, progress(title, len(missing), "views") as advance:
            for keys, pixels in _batches(self._render(missing), ROWS_A_BATCH):
                values = engine.embed(pixels)
                if not np.isfinite(values).all():
                    raise FeatxError(
                        f"{self.backbone.name} gives features that are not finite; its weights "
                        f"({self.weights.description}) are damaged or not its own"
                    )
                features[[rows[key] for key in keys]] = values
                writer.add(keys, values)
                advance(len(keys))
        return writer.seconds

    def _make_engine(self) -> Engine:
        from featx.backbones.engines import make_engine

        return make_engine(self.backbone, self.weights, self.engine_name)

    def _render(self, missing: list[RowKey]) -> Iterator[tuple[RowKey, npt.NDArray[np.float32]]]:
        """Yield each missing view, read and warped ahead of time by a few threads."""
        views: dict[str, list[int]] = {}
        for digest, view in missing:
            views.setdefault(digest, []).append(view)
        place: dict[str, int] = {}
        for index, digest_or_error in enumerate(self.digests):
            if isinstance(digest_or_error, str):
                place.setdefault(digest_or_error, index)
        jobs = ((place[digest], digest, wanted) for digest, wanted in views.items())
        for digest, result in _ahead(self._render_image, jobs):
            if isinstance(result, UnreadableImageError):
                if self.strict:
                    raise _strict_error(self.images.names[place[digest]], result)
                self.failures[digest] = result
            else:
                for view, pixels in zip(views[digest], result, strict=True):
                    yield (digest, view), pixels

    def _render_image(
        self, job: tuple[int, str, list[int]]
    ) -> tuple[str, list[npt.NDArray[np.float32]] | UnreadableImageError]:
        index, digest, views = job
        recipe = self.recipe
        try:
            image = self.images.read(index, recipe.colour)
        except UnreadableImageError as error:
            return digest, error
        return digest, [
            make_view(image, digest, view, recipe.size, recipe.augmentation, recipe.seed)
            for view in views
        ]

    def _assemble(
        self,
        views: int,
        rows: dict[RowKey, int],
        features: npt.NDArray[np.float32],
        seconds: float,
    ) -> FeatureMatrix:
        kept, unreadable = [], []
        for index, digest in enumerate(self.digests):
            error = digest if not isinstance(digest, str) else self.failures.get(digest)
            if error is None:
                kept.append(index)
            else:
                unreadable.append((self.images.names[index], str(error)))
        if not kept:
            name, reason = unreadable[0]
            raise FeatxError(
                f"none of the {len(self.images):,} images can be read; {name} for one: {reason}"
            )
        readable = self.images.select(kept)
        digests = tuple(str(self.digests[index]) for index in kept)
        order = [rows[digest, view] for digest in digests for view in range(views)]
        return FeatureMatrix(
            X=features[order],
            image=np.repeat(np.arange(len(kept)), views),
            view=np.tile(np.arange(views), len(kept)),
            names=readable.names,
            digests=digests,
            labels=readable.labels,
            patients=readable.patients,
            splits=readable.splits,
            class_names=readable.class_names,
            recipes=(self.recipe.to_dict(),),
            unreadable=tuple(unreadable),
            seconds=seconds,
        )


class _PartWriter:
    """Gathers rows and writes them part by part; what is left, also when something failed."""

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self.seconds = 0.0
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
        self.seconds += spent
        self.store.add(keys, features, spent)


def _ahead(work, jobs: Iterable) -> Iterator:  # type: ignore[no-untyped-def]
    """Map in order with threads, a bounded number of jobs ahead of the consumer."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers, thread_name_prefix="featx-reader") as pool:
        waiting: deque[Future] = deque()
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
    rows: Iterable[tuple[RowKey, npt.NDArray[np.float32]]], size: int
) -> Iterator[tuple[list[RowKey], npt.NDArray[np.float32]]]:
    keys: list[RowKey] = []
    pixels: list[npt.NDArray[np.float32]] = []
    for key, image in rows:
        keys.append(key)
        pixels.append(image)
        if len(keys) == size:
            yield keys, np.stack(pixels)
            keys, pixels = [], []
    if keys:
        yield keys, np.stack(pixels)
