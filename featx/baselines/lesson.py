"""The images and settings that every network of one training shares."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from featx.backbones._keras import import_keras
from featx.backbones.registry import get_backbone
from featx.backbones.weights import Weights, find_weights
from featx.baselines.architectures import build_network
from featx.baselines.batches import ViewSource
from featx.baselines.loop import Result, train
from featx.baselines.recipe import Recipe
from featx.baselines.state import Keeper, key_of
from featx.baselines.task import Source, Task
from featx.baselines.transformer import VIT, find_vit_weights
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.images.augmentation import Augmentation
from featx.runtime.files import library_versions

if TYPE_CHECKING:
    import keras

__all__ = ["Learned", "Lesson", "find_start", "policy_of", "seeded"]

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What there is to learn from."""

    images: ImageDataset
    source: ViewSource
    training: Indices
    validation: Indices
    random_state: int

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return len(self.images.class_names)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        return {
            "classes": self.images.class_names,
            "random_state": self.random_state,
            "back end": import_keras().config.backend(),
            "versions": library_versions("tensorflow", "tensorflow-cpu", "jax", "torch"),
            **{
                side: [[self.source.digest(i), int(self.images.labels[i])] for i in indices]
                for side, indices in (
                    ("training", self.training.tolist()),
                    ("validation", self.validation.tolist()),
                )
            },
        }

    def learn(self, recipe: Recipe, weights: Weights | None, folder: Path | None) -> Learned:
        """Build and train the network of a recipe, or go on with it where `folder` has a state."""
        if weights is not None and weights.source == "random":
            recipe = replace(recipe, train_batch_norm=True)
        start = None if weights is None else weights.digest
        with seeded(self.random_state), _precision(recipe.precision):
            network = build_network(recipe, recipe.size, self.n_classes, weights)
            augmentation = policy_of(recipe.augmentation)
            source = self.source.seen_as(recipe.size, augmentation)
            result = self.run(network, recipe, source, folder, start)
        return Learned(recipe, network, result, result.seconds_before)

    def run(
        self,
        network: keras.Model,
        recipe: Recipe,
        source: Source,
        folder: Path | None,
        start: object,
    ) -> Result:
        """Train a network that is built, on what `source` gives of the images."""
        labels, n_classes = self.images.labels, self.n_classes
        task = Task(
            recipe, source, labels, n_classes, self.training, self.validation, self.random_state
        )
        keeper = None
        if folder is not None:
            keeper = Keeper(folder, key_of(recipe=recipe.to_dict(), start=start, **self._identity))
        return train(network, task, keeper)


@dataclass(frozen=True, eq=False)
class Learned:
    """A network, the recipe that was used, what training gave, and seconds of earlier runs."""

    recipe: Recipe
    network: keras.Model
    result: Result
    seconds_before: float


def find_start(
    recipe: Recipe, weights: str | Path, weights_dir: Path | None, random_state: int
) -> Weights | None:
    """Find the weights that a recipe starts from, None for one without a backbone."""
    if recipe.backbone is None:
        if weights not in ("imagenet", "random"):
            raise UsageError(
                f"{recipe.name} starts from random weights and takes no weights file ({weights})"
            )
        return None
    if recipe.backbone == VIT:
        return find_vit_weights(weights, weights_dir, random_state, recipe.size)
    return find_weights(
        get_backbone(recipe.backbone), weights, weights_dir, random_state=random_state
    )


def policy_of(augmentation: str | Augmentation) -> Augmentation:
    """Return the policy that a name stands for, or the policy given."""
    if isinstance(augmentation, str):
        return Augmentation.named(augmentation)
    return augmentation


@contextmanager
def seeded(random_state: int) -> Iterator[None]:
    """Seed Keras and its back end, and give Python's and NumPy's generators back as they were."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        import_keras().utils.set_random_seed(random_state)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


@contextmanager
def _precision(name: str) -> Iterator[None]:
    """Build layers in a precision, and leave Keras with the one it had."""
    config = import_keras().config
    before = config.dtype_policy()
    try:
        config.set_dtype_policy(name)
        yield
    finally:
        config.set_dtype_policy(before)
