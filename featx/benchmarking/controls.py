"""Shortcut controls: features with little or no anatomical information.

If a control comes near the best model, the data set has a shortcut, which that model may use too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from featx.datasets.dataset import ImageDataset
from featx.errors import UnreadableImageError
from featx.features.columns import matrix_of
from featx.features.matrix import FeatureMatrix
from featx.images.sources import describe
from featx.runtime.parallel import map_with_progress

_BINS = 64


def control_matrix(images: ImageDataset, name: str) -> FeatureMatrix:
    """Compute a control's features of images.

    Examples
    --------
    >>> images = ImageDataset.from_arrays(np.zeros((2, 8, 8), np.uint8))
    >>> control_matrix(images, "histogram").X[:, 0]
    array([1., 1.], dtype=float32)
    """
    rows = map_with_progress(
        partial(_describe, images, name), range(len(images)), f"Control: {name}"
    )
    kept = [index for index, row in enumerate(rows) if row is not None]
    chosen = images.select(kept)
    recipe = {"backbone": f"control-{name}", "format": 1}
    return matrix_of(chosen, np.array([rows[index] for index in kept], dtype=np.float32), recipe)


def _describe(images: ImageDataset, name: str, index: int) -> list[float] | None:
    try:
        return CONTROLS[name](images, index)
    except UnreadableImageError:
        return None


def _histogram(images: ImageDataset, index: int) -> list[float]:
    pixels = images.read(index)
    counts, _ = np.histogram(pixels, bins=_BINS, range=(0, 255))
    return (counts / pixels.size).tolist()


def _metadata(images: ImageDataset, index: int) -> list[float]:
    height, width = images.read(index).shape[:2]
    size, channels = describe(images.sources[index])
    return [
        height,
        width,
        width / height,
        np.log(height * width),
        np.log1p(size),
        size / (height * width),
        channels,
    ]


CONTROLS: dict[str, Callable[[ImageDataset, int], list[float]]] = {
    "histogram": _histogram,
    "metadata": _metadata,
}
