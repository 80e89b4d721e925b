"""What a model learns from, and what it is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from featx.datasets.dataset import ImageDataset
from featx.features.matrix import FeatureMatrix

__all__ = ["Sides"]

Images = TypeVar("Images", FeatureMatrix, ImageDataset)


@dataclass(frozen=True)
class Sides(Generic[Images]):
    """Training images, test images and external validation sets."""

    train: Images
    test: Images
    externals: dict[str, Images] = field(default_factory=dict)
    peak_memory: int = 0

    @property
    def tested(self) -> dict[str, Images]:
        """What models are shown: the test images under ``""``, and external sets by name."""
        return {"": self.test, **self.externals}

    @cached_property
    def identity(self) -> list[Any]:
        """Everything that a row depends on, but features."""
        shown = {name: _identity(images) for name, images in self.tested.items()}
        return [_identity(self.train), shown]


def _identity(images: FeatureMatrix | ImageDataset) -> list[Any]:
    """Everything of images that a model learns from, but their features."""
    if isinstance(images, FeatureMatrix):
        rows = [images.image.tolist(), images.view.tolist()]
        digests = list(images.digests)
    else:
        rows = []
        digests = [images.digest(index) for index in range(len(images))]
    return [digests, images.labels.tolist(), images.patients.tolist(), images.class_names, *rows]
