"""Batches of views for training: decoded and augmented in threads while the network computes."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UnreadableImageError
from featx.images.augmentation import Augmentation, make_view
from featx.runtime.parallel import jobs_at_a_time
from featx.runtime.progress import progress

__all__ = ["ViewSource"]

# Decoded images kept in memory; beyond it images are decoded anew every epoch.
MEMORY_BYTES = 512 * 2**20

BATCHES_AHEAD = 3

Indices = npt.NDArray[np.int64]


class ViewSource:
    """Views of a set of images, in batches.

    Examples
    --------
    >>> images = ImageDataset.from_arrays(np.zeros((3, 64, 64), np.uint8))
    >>> source = ViewSource(images, (32, 32), Augmentation.named("none"))
    >>> [batch.shape for batch in source.batches([np.array([0, 1]), np.array([2, 0])], view=0)]
    [(2, 32, 32, 1), (2, 32, 32, 1)]
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
        self._workers = min(jobs_at_a_time(), 8)

    def seen_as(self, size: tuple[int, int], augmentation: Augmentation) -> ViewSource:
        """Return a source of other views of the same images; decoded images serve both."""
        other = copy.copy(self)
        other.size, other.augmentation = size, augmentation
        return other

    def find_unreadable(self) -> dict[int, str]:
        """Decode every image once, keeping what fits into memory."""
        reasons = {}

        def attempt(index: int) -> str | None:
            try:
                self._read(index)
            except UnreadableImageError as error:
                return str(error)
            return None

        with (
            ThreadPoolExecutor(self._workers) as pool,
            progress("Reading images", total=len(self.images), unit="images") as advance,
        ):
            for index, reason in enumerate(pool.map(attempt, range(len(self.images)))):
                if reason is not None:
                    reasons[index] = reason
                advance()
        return reasons

    def batches(self, order: Sequence[Indices], view: int) -> Iterator[npt.NDArray[np.float32]]:
        """Render batches ahead of their use, in order.

        Yields
        ------
        ndarray of float32, shape (batch, height, width, 1)
            Intensities from 0 to 255.
        """
        pending: deque[Future[npt.NDArray[np.float32]]] = deque()
        pool = ThreadPoolExecutor(self._workers)
        try:
            for indices in order:
                pending.append(pool.submit(self._render_batch, indices, view))
                if len(pending) > BATCHES_AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def digest(self, index: int) -> str:
        """Return the SHA-256 of one image's bytes, in hexadecimal, computed once."""
        if index not in self._digests:
            self._digests[index] = self.images.digest(index)
        return self._digests[index]

    def _render_batch(self, indices: Indices, view: int) -> npt.NDArray[np.float32]:
        batch = np.empty((len(indices), *self.size, 1), dtype=np.float32)
        for row, index in enumerate(indices.tolist()):
            batch[row, ..., 0] = self._render(index, view)
        return batch

    def _render(self, index: int, view: int) -> npt.NDArray[np.float32]:
        try:
            pixels = self._read(index)
        except UnreadableImageError as error:
            name = self.images.names[index]
            raise FeatxError(f"{name} cannot be read: {error}; leave it out") from error
        # View 0 is the same whatever the digest: no need to hash.
        digest = self.digest(index) if view else ""
        return make_view(pixels, digest, view, self.size, self.augmentation, self.random_state)

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
