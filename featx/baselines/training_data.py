"""Split, decoded images that the networks of one training share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from featx.backbones._keras import import_keras
from featx.backbones.registry import get_backbone
from featx.backbones.weights import Weights, find_weights
from featx.baselines.baseline_recipe import BaselineRecipe
from featx.baselines.views import ImageViews, Indices
from featx.baselines.vision_transformer import VIT, find_vit_weights
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.runtime.files import library_versions

__all__ = ["TrainingData", "find_start"]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Images, their views, and the split into training and validation images."""

    images: ImageDataset
    views: ImageViews
    training: Indices
    validation: Indices
    random_state: int

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.images.class_names)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """JSON values that determine a training, besides its recipe."""
        return {
            "classes": self.images.class_names,
            "random_state": self.random_state,
            "back end": import_keras().config.backend(),
            "versions": library_versions("tensorflow", "tensorflow-cpu", "jax", "torch"),
            **{
                side: [[self.views.digest(i), int(self.images.labels[i])] for i in indices]
                for side, indices in (
                    ("training", self.training.tolist()),
                    ("validation", self.validation.tolist()),
                )
            },
        }


def find_start(
    recipe: BaselineRecipe, weights: str | Path, weights_dir: Path | None, random_state: int
) -> Weights | None:
    """Find the initial weights of a recipe's backbone, None without a backbone."""
    if recipe.backbone is None:
        if weights not in ("imagenet", "random"):
            raise UsageError(
                f"{recipe.name} starts from random weights; remove the weights file ({weights})"
            )
        return None
    if recipe.backbone == VIT:
        return find_vit_weights(weights, weights_dir, random_state, recipe.size)
    return find_weights(
        get_backbone(recipe.backbone), weights, weights_dir, random_state=random_state
    )
