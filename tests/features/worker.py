"""An extraction in a process of its own, with a network quick enough to be killed often.

python -m tests.features.worker IMAGES OUT [ROWS_A_PART]
"""

from __future__ import annotations

import sys

import numpy as np

from featx.datasets.dataset import ImageDataset
from featx.features import embedding
from featx.features.extraction import extract


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


class QuickMaps(QuickEngine):
    """Its features, as the maps of a single place."""

    def of(self, pixels):
        return self.embed(pixels[None])[None]


def main(images, out, rows_a_part="24"):
    embedding.ROWS_A_PART = int(rows_a_part)
    embedding.ROWS_A_BATCH = 8
    embedding.Embedding._make_engine = lambda self: QuickEngine(self.backbone.features)
    extract(ImageDataset.open(images, r"(p\d+)_"), views=4, out=out)


if __name__ == "__main__":
    main(*sys.argv[1:])
