"""An extraction in a process of its own, with a network quick enough to be killed often.

python -m tests.features.worker IMAGES OUT
"""

import sys

import numpy as np

from featx.datasets.dataset import ImageDataset
from featx.features import pipeline
from featx.features.extraction import extract
from featx.features.pipeline import ENGINES


class QuickEngine:
    """Features that any change of a pixel changes, and that cost next to nothing."""

    name = "quick"

    def __init__(self, n_features):
        self.n_features = n_features

    def versions(self):
        return {"quick": "1"}

    def embed(self, pixels):
        flat = pixels.reshape(len(pixels), -1)
        padded = np.pad(flat, ((0, 0), (0, -flat.shape[1] % self.n_features)))
        return padded.reshape(len(pixels), -1, self.n_features).sum(axis=1, dtype=np.float32)


def quick_engine(embedder):
    return QuickEngine(embedder.backbone.features)


class QuickMaps(QuickEngine):
    """Its features, as the maps of a single place."""

    def of(self, pixels):
        return [self.embed(pixels[None])[None].astype(np.float64)]


def main(images, out, cache=None):
    pipeline.ROWS_PER_SHARD = 24
    pipeline.ROWS_PER_BATCH = 8
    with ENGINES.using(quick_engine):
        # Small views: the files are the point.
        images = ImageDataset.open(images, r"(p\d+)_")
        extract(images, "efficientnet_lite0@64", views=4, cache=cache, out=out)


if __name__ == "__main__":
    main(*sys.argv[1:])
