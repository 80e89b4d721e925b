"""What runs on the workers of a cluster: batches of images to parts of the shared cache."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from featx.backbones.weights import Weights, find_weights
from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UnreadableImageError
from featx.features.cache.drift import check_drift
from featx.features.cache.file_hashes import Hashed
from featx.features.cache.part_index import PartIndex, PartKeys
from featx.features.cache.store import FeatureStore
from featx.features.embedding import Embedding, Lane, compute
from featx.features.recipe import Recipe
from featx.features.wanted import WantedRows
from featx.images.reading import Color, read_image
from featx.images.sources import Source, content_of, digest_of, pixels_of
from featx.runtime.memory import keeping_freed_memory
from featx.runtime.parallel import set_engine_threads, set_jobs

if TYPE_CHECKING:
    from featx.backbones.engines import Engine

__all__ = ["Batch", "Outcome", "run_batch", "run_digests", "run_probe"]

# One batch at a time uses all threads of the process, as it does on a single machine.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Batch:
    """Images, and which rows of them to compute.

    Parameters
    ----------
    lacking : tuple of ndarray of bool, shape (n_images, views)
        For each backbone, which rows.
    """

    embeddings: tuple[Embedding, ...]
    sources: tuple[Source, ...]
    names: tuple[str, ...]
    digests: tuple[str, ...]
    lacking: tuple[npt.NDArray[np.bool_], ...]

    def __len__(self) -> int:
        return len(self.digests)

    @property
    def rows(self) -> int:
        """How many rows there are to compute."""
        return sum(int(lacks.sum()) for lacks in self.lacking)

    @property
    def key(self) -> str:
        """What it is known by: the same work has the same key, whoever asks for it."""
        digest = hashlib.sha256()
        for embedding, lacks in zip(self.embeddings, self.lacking, strict=True):
            digest.update(f"{embedding.recipe.digest} {embedding.cache} {lacks.shape}".encode())
            digest.update(lacks.tobytes())
        digest.update("".join(self.digests).encode())
        return f"featx-{digest.hexdigest()[:40]}"

    def halves(self) -> list[Batch]:
        """Part it in two."""
        middle = len(self) // 2
        return [
            Batch(
                embeddings=self.embeddings,
                sources=self.sources[half],
                names=self.names[half],
                digests=self.digests[half],
                lacking=tuple(lacks[half] for lacks in self.lacking),
            )
            for half in (slice(middle), slice(middle, None))
        ]


@dataclass(frozen=True)
class Outcome:
    """What became of a batch."""

    worker: str
    unreadable: dict[str, str]
    parts: tuple[dict[str, PartKeys], ...] = ()
    unfit: str = ""
    failure: str = ""


def run_probe(embeddings: tuple[Embedding, ...]) -> Outcome:
    """Load backbones and hold them against the cache's probes, which are made if there are none."""
    nothing = np.zeros((0, 1), dtype=bool)
    return run_batch(Batch(embeddings, (), (), (), (nothing,) * len(embeddings)))


def run_batch(batch: Batch) -> Outcome:
    """Compute a batch's rows and write them into the cache."""
    with _ONE_AT_A_TIME, keeping_freed_memory():
        address = _settle()
        try:
            loaded = [_load(embedding) for embedding in batch.embeddings]
        except FeatxError as error:
            return Outcome(address, {}, unfit=str(error))
        if not len(batch):
            return Outcome(address, {})
        try:
            unreadable = _compute(loaded, batch)
        except FeatxError as error:
            return Outcome(address, {}, failure=str(error))
        return Outcome(address, unreadable, tuple(own.store.written.take() for own in loaded))


def run_digests(sources: Sequence[Source]) -> list[str | tuple[str]]:
    """Read images to know them."""
    digests: list[str | tuple[str]] = []
    for source in sources:
        try:
            digests.append(digest_of(source))
        except UnreadableImageError as error:
            digests.append((str(error),))
    return digests


@dataclass(frozen=True, eq=False)
class _KnownImages(ImageDataset):
    """Images that are still those whose digests are known, which shows as they are read."""

    digests: tuple[str, ...] = ()

    def read(self, index: int, color: Color = "gray") -> npt.NDArray:
        source = self.sources[index]
        if isinstance(source, np.ndarray):
            return pixels_of(source, color)
        content = content_of(source)
        if hashlib.sha256(content).hexdigest() != self.digests[index]:
            raise FeatxError(
                f"{self.names[index]} has other bytes here than when it was listed; run again with "
                "--rehash (rehash=True), and see that all machines read the same files"
            )
        return read_image(content, color)


class _WrittenParts(PartIndex):
    """What this process has written and not yet told; the whole index is for who plans."""

    def __init__(self, folder: Path, recipe: str) -> None:
        self.path, self.recipe = folder, recipe
        self._changed = False
        self._parts = {}

    def take(self) -> dict[str, PartKeys]:
        """Return it, and begin anew."""
        parts, self._parts = self._parts, {}
        return parts


class _WritingStore(FeatureStore):
    def __init__(self, cache: Path, recipe: Recipe) -> None:
        super().__init__(cache, recipe)
        self.written = self.__dict__["_index"] = _WrittenParts(self.folder, recipe.digest)


class _OnWorker(Embedding):
    """An embedding with what a worker has loaded for it."""

    @cached_property
    def store(self) -> _WritingStore:
        return _WritingStore(self.cache, self.recipe)

    @cached_property
    def engine_here(self) -> Engine:
        """What runs the network; fit to write rows of this recipe, or an error is raised."""
        if not (self.store.folder / "recipe.json").is_file():
            raise FeatxError(
                f"the cache {self.cache} is not seen from here; choose a --cache that all machines "
                "see under one path"
            )
        engine = self._make_engine()
        check_drift(self.store, engine, trusting=False)
        return engine


# A worker serves one extraction after the other: networks of those long past make room.
MOST_LOADED = 8

_LOADED: dict[tuple[str, str, Path], _OnWorker] = {}


def _load(embedding: Embedding) -> _OnWorker:
    """Load a backbone, once a process."""
    key = (embedding.recipe.digest, embedding.engine, embedding.cache)
    if key not in _LOADED:
        values = {field.name: getattr(embedding, field.name) for field in fields(embedding)}
        loaded = _OnWorker(**{**values, "weights": _find_weights(embedding)})
        # Made and checked now; what is not fit is not remembered.
        _ = loaded.engine_here
        _LOADED[key] = loaded
        while len(_LOADED) > MOST_LOADED:
            del _LOADED[next(iter(_LOADED))]
    return _LOADED[key]


def _find_weights(embedding: Embedding) -> Weights:
    """Find the very same weights on this machine."""
    backbone, weights = embedding.backbone, embedding.weights
    if weights.path is None:
        return weights
    places: list[str | Path] = [weights.path] if weights.path.is_file() else []
    folder = embedding.weights_dir
    for place in (*places, "imagenet"):
        with suppress(FeatxError):
            found = find_weights(
                backbone,
                place,
                folder if folder and folder.is_dir() else None,
                allow_download=False,
            )
            if found.digest == weights.digest:
                return found
    raise FeatxError(
        f"the weights {weights.digest[:16]} of {backbone.name} ({weights.description}) are not "
        "here; put them into a --weights-dir that all machines see, or into $FEATX_WEIGHTS_DIR of "
        "the workers"
    )


def _settle() -> str:
    """Take no more threads than this worker was given, and return its address."""
    from distributed import get_worker

    worker = get_worker()
    set_jobs(worker.state.nthreads)
    set_engine_threads(worker.state.nthreads)
    cv2.setNumThreads(worker.state.nthreads)
    return str(worker.address)


def _compute(loaded: Sequence[_OnWorker], batch: Batch) -> dict[str, str]:
    places = np.arange(len(batch))
    images = _KnownImages(
        names=batch.names,
        labels=np.full(len(batch), -1),
        class_names=(),
        patients=np.array(batch.names, dtype=np.str_),
        patients_known=False,
        splits=np.full(len(batch), ""),
        sources=batch.sources,
        digests=batch.digests,
    )
    nothing = np.zeros(len(batch), dtype=bool)
    hashed = Hashed(images, places, batch.digests, nothing, {})
    wanted = WantedRows(batch.digests, batch.lacking[0].shape[1])
    with ExitStack() as stack:
        lanes = [stack.enter_context(Lane(own, own.engine_here)) for own in loaded]
        failures = compute(
            lanes, batch.lacking, hashed, wanted, strict=False, advance=lambda _: None
        )
    return {digest: str(error) for digest, error in failures.items()}
