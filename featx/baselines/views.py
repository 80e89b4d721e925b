"""Views of images in batches for Keras, a pure function of the step of a training."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from featx.backbones._keras import import_keras
from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UnreadableImageError
from featx.images.augmentation import Augmentation, make_view
from featx.runtime.parallel import jobs_at_a_time, map_with_progress, prefetch

if TYPE_CHECKING:
    import keras

# Decoded images kept in memory; images beyond it are decoded again in each epoch.
MEMORY_BYTES = 512 * 2**20

Indices = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]
# One view of each image as network input; view 0 is not augmented.
Render = Callable[[Indices, int], npt.NDArray[np.float32]]
# Annotated, since mypy takes no attribute of an untyped module as a base class.
_PyDataset: Any = import_keras().utils.PyDataset


class ImageViews:
    """Views of a set of images.

    Examples
    --------
    >>> images = ImageDataset.from_arrays(np.zeros((3, 64, 64), np.uint8))
    >>> views = ImageViews(images, (32, 32), Augmentation.named("none"))
    >>> views.render(np.array([0, 2]), view=0).shape
    (2, 32, 32, 1)
    """

    def __init__(
        self,
        images: ImageDataset,
        size: tuple[int, int],
        augmentation: Augmentation,
        random_state: int = 0,
        memory: int = MEMORY_BYTES,
    ) -> None:
        self.images = images
        self.size = size
        self.augmentation = augmentation
        self.random_state = random_state
        self._room = memory
        self._lock = threading.Lock()
        self._pixels: dict[int, npt.NDArray] = {}
        self._digests: dict[int, str] = {}

    def with_settings(self, size: tuple[int, int], augmentation: Augmentation) -> ImageViews:
        """Return other views of the same decoded images."""
        other = copy.copy(self)
        other.size, other.augmentation = size, augmentation
        return other

    def find_unreadable(self) -> dict[int, str]:
        """Decode all images once; return the reason of each failure by index."""
        reasons = map_with_progress(self._failure, range(len(self.images)), "Reading images")
        return {index: reason for index, reason in enumerate(reasons) if reason is not None}

    def render(self, indices: Indices, view: int) -> npt.NDArray[np.float32]:
        """Return one view of each image, intensities 0 to 255, of shape (n, height, width, 1)."""
        render = partial(self._render_one, view=view)
        views = list(prefetch(render, indices.tolist(), min(jobs_at_a_time(), 8)))
        return np.stack(views)[..., np.newaxis]

    def digest(self, index: int) -> str:
        """Return the SHA-256 of one image's bytes in hexadecimal, computed once."""
        if index not in self._digests:
            self._digests[index] = self.images.digest(index)
        return self._digests[index]

    def _render_one(self, index: int, view: int) -> npt.NDArray[np.float32]:
        try:
            pixels = self._read(index)
        except UnreadableImageError as error:
            name = self.images.names[index]
            raise FeatxError(f"{name} cannot be read: {error}; leave it out") from error
        # View 0 does not depend on the digest.
        digest = self.digest(index) if view else ""
        return make_view(pixels, digest, view, self.size, self.augmentation, self.random_state)

    def _failure(self, index: int) -> str | None:
        try:
            self._read(index)
        except UnreadableImageError as error:
            return str(error)
        return None

    def _read(self, index: int) -> npt.NDArray:
        kept = self._pixels.get(index)
        if kept is not None:
            return kept
        pixels = self.images.read(index)
        with self._lock:
            if index not in self._pixels and pixels.nbytes <= self._room:
                self._room -= pixels.nbytes
                self._pixels[index] = pixels
        return pixels


class TrainingBatches(_PyDataset):
    """Endless training batches: item i is step i after the epochs already finished.

    An item depends on its step alone, so that a resumed training sees the batches that an
    uninterrupted one does. The view of epoch e (from 0) is e + 1; view 0 is for validation.
    """

    num_batches = None

    def __init__(
        self,
        render: Render,
        targets: npt.NDArray[np.float32],
        order: Callable[[int], npt.NDArray[np.int64]],
        first_epoch: int,
    ) -> None:
        super().__init__()
        self._render = render
        self._targets = targets
        self._order = lru_cache(maxsize=2)(order)
        self._first_epoch = first_epoch

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return input and targets of one step."""
        epochs, step = divmod(index, len(self._order(self._first_epoch)))
        epoch = self._first_epoch + epochs
        indices = self._order(epoch)[step]
        return self._render(indices, epoch + 1), self._targets[indices]


def run_network(
    network: keras.Model,
    render: Render,
    indices: Indices,
    batch_size: int,
    view: int = 0,
    advance: Callable[..., None] | None = None,
) -> npt.NDArray[np.float32]:
    """Return the output for one view of each image; batches are rendered ahead."""
    parts = [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]
    # The last batch is filled up, since another size would be traced again.
    batches = prefetch(
        lambda part: render(np.resize(part, batch_size), view), parts, workers=1, ahead=2
    )
    outputs = []
    for part, pixels in zip(parts, batches, strict=True):
        outputs.append(np.asarray(network.predict_on_batch(pixels))[: len(part)])
        if advance is not None:
            advance(len(part))
    return np.concatenate(outputs)


def predict(
    network: keras.Model,
    render: Render,
    indices: Indices,
    batch_size: int,
    advance: Callable[..., None] | None = None,
) -> Probabilities:
    """Return the class probabilities of unaugmented images."""
    values = run_network(network, render, indices, batch_size, advance=advance).astype(np.float64)
    return np.hstack([1 - values, values]) if values.shape[1] == 1 else values
