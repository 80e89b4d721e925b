"""Split, decoded images that the networks of one training share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.backbones._keras import import_keras
from featx.backbones.registry import get_backbone
from featx.backbones.weights import Weights, find_weights
from featx.baselines.architectures import build_network
from featx.baselines.baseline_recipe import BaselineRecipe
from featx.baselines.fitting import FitResult, FitTask, fit_network, key_of
from featx.baselines.settings import policy_of
from featx.baselines.views import ImageViews, Indices, ViewSource
from featx.baselines.vision_transformer import VIT, find_vit_weights
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.runtime.files import library_versions

if TYPE_CHECKING:
    import keras

__all__ = ["TrainingData", "find_start", "random_states_restored"]


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
    def _identity(self) -> dict[str, Any]:
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

    def fit(
        self, recipe: BaselineRecipe, weights: Weights | None, folder: Path | None
    ) -> tuple[BaselineRecipe, FitResult]:
        """Train the network of a recipe; return the recipe as used, and the result."""
        if weights is not None and weights.source == "random":
            recipe = replace(recipe, train_batch_norm=True)
        views = self.views.with_settings(recipe.size, policy_of(recipe.augmentation))
        start = None if weights is None else weights.digest

        def build() -> keras.Model:
            return build_network(recipe, recipe.size, self.n_classes, weights)

        with _precision(recipe.precision):
            return recipe, self.fit_on(views, build, recipe, folder, start)

    def fit_on(
        self,
        source: ViewSource,
        build: Callable[[], keras.Model],
        recipe: BaselineRecipe,
        folder: Path | None,
        start: object,
    ) -> FitResult:
        """Train the network that `build` returns on the views of a source."""

        def build_seeded() -> keras.Model:
            import_keras().utils.set_random_seed(self.random_state)
            return build()

        task = FitTask(
            recipe,
            source,
            self.images.labels,
            self.n_classes,
            self.training,
            self.validation,
            self.random_state,
        )
        key = key_of(recipe=recipe.to_dict(), start=start, **self._identity)
        with random_states_restored():
            return fit_network(build_seeded, task, folder, key)


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


@contextmanager
def random_states_restored() -> Iterator[None]:
    """Restore the states of Python's and NumPy's random generators, which Keras seeds."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


@contextmanager
def _precision(name: str) -> Iterator[None]:
    """Set Keras' dtype policy for the layers built inside."""
    config = import_keras().config
    before = config.dtype_policy()
    try:
        config.set_dtype_policy(name)
        yield
    finally:
        config.set_dtype_policy(before)
