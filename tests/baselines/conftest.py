from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from featx.datasets.dataset import ImageDataset


@pytest.fixture(scope="session")
def blobs() -> Callable[..., ImageDataset]:
    """Noise of which one class carries a bright blob and, of three, another a dark one."""

    def make(n: int = 96, size: int = 48, classes: int = 2, random_state: int = 0) -> ImageDataset:
        generator = np.random.default_rng(random_state)
        labels = np.arange(n) % classes
        pixels = generator.normal(110, 25, (n, size, size))
        rows, columns = np.mgrid[:size, :size]
        for image, label in zip(pixels, labels, strict=True):
            row, column = generator.uniform(0.35, 0.65, 2) * size
            distance = (rows - row) ** 2 + (columns - column) ** 2
            image += (0, 90, -90)[label] * np.exp(-distance / (2 * (size / 6) ** 2))
        return ImageDataset.from_arrays(
            np.clip(pixels, 0, 255).astype(np.uint8),
            [f"class{label}" for label in labels],
            patients=[f"{label}-{i // (3 * classes)}" for i, label in enumerate(labels)],
        )

    return make
