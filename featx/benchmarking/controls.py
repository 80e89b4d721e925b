"""Controls: what can be told without knowing anything of lungs.

Where a control comes near the best model, the data set has a shortcut, and the best model may be
using it, too.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from featx.datasets.dataset import ImageDataset
from featx.errors import UnreadableImageError
from featx.features.matrix import FeatureMatrix
from featx.images.sources import describe
from featx.runtime.parallel import jobs_at_a_time
from featx.runtime.progress import progress

__all__ = ["CONTROLS", "control_matrix"]

_BINS = 64


def control_matrix(images: ImageDataset, name: str) -> FeatureMatrix:
    """Describe images by a control's few numbers in place of a network's features.

    Examples
    --------
    >>> images = ImageDataset.from_arrays(np.zeros((2, 8, 8), np.uint8))
    >>> control_matrix(images, "histogram").X[:, 0]
    array([1., 1.], dtype=float32)
    """

    def describe(index: int) -> list[float] | None:
        try:
            return CONTROLS[name](images, index)
        except UnreadableImageError:
            return None

    kept, rows = [], []
    with (
        progress(f"Control: {name}", len(images), "images") as advance,
        ThreadPoolExecutor(jobs_at_a_time()) as workers,
    ):
        for index, row in enumerate(workers.map(describe, range(len(images)))):
            if row is not None:
                kept.append(index)
                rows.append(row)
            advance()
    chosen = images.select(kept)
    return FeatureMatrix(
        X=np.array(rows, dtype=np.float32),
        image=np.arange(len(kept)),
        view=np.zeros(len(kept), dtype=np.int64),
        names=chosen.names,
        digests=tuple(chosen.digest(index) for index in range(len(chosen))),
        labels=chosen.labels,
        patients=chosen.patients,
        splits=chosen.splits,
        class_names=chosen.class_names,
        recipes=({"backbone": f"control-{name}", "format": 1},),
    )


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
