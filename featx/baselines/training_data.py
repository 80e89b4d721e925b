"""What a training is given: recipe, images, split and initial weights, checked before it begins."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.class_weight import compute_class_weight

from featx.backbones._keras import import_keras
from featx.backbones.registry import get_registered
from featx.backbones.weights import Weights, find_weights
from featx.baselines.baseline_recipe import BaselineRecipe
from featx.baselines.views import ImageViews, Indices, Probabilities, Render, predict
from featx.baselines.vision_transformer import VIT, find_vit_weights
from featx.datasets.dataset import ImageDataset
from featx.datasets.splitting import hold_out
from featx.errors import UsageError
from featx.images.augmentation import Augmentation
from featx.runtime.serialization import digest_of_values
from featx.runtime.versions import library_versions

if TYPE_CHECKING:
    import keras


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

    @property
    def digest(self) -> str:
        """Digest of the images, labels and split, by which another training is noticed."""
        return digest_of_values(
            {name: self.identity[name] for name in ("classes", "training", "validation")}
        )

    @cached_property
    def identity(self) -> dict[str, Any]:
        """JSON values that determine a training, besides its recipe."""

        def contents(indices: Indices) -> list[list[Any]]:
            return [[self.views.digest(i), int(self.images.labels[i])] for i in indices.tolist()]

        return {
            "classes": self.images.class_names,
            "random_state": self.random_state,
            "back end": import_keras().config.backend(),
            "versions": library_versions("tensorflow", "tensorflow-cpu", "jax", "torch"),
            "training": contents(self.training),
            "validation": contents(self.validation),
        }


@dataclass(frozen=True, eq=False)
class FitTask:
    """Recipe of one network, its images, and what it sees of them."""

    recipe: BaselineRecipe
    data: TrainingData
    render: Render

    @property
    def steps(self) -> int:
        """Number of steps per epoch."""
        wanted = self.recipe.steps_per_epoch
        return wanted or math.ceil(len(self.data.training) / self.recipe.batch_size)

    @property
    def head_epochs(self) -> int:
        """Number of epochs with a frozen backbone; at least one epoch trains all layers."""
        return min(self.recipe.head_epochs, self.recipe.epochs - 1)

    @property
    def targets(self) -> npt.NDArray[np.float32]:
        """Network targets: shape (n_images, 1) with two classes, else one-hot."""
        one_hot = np.eye(self.data.n_classes, dtype=np.float32)[self.data.images.labels]
        return one_hot[:, 1:] if self.data.n_classes == 2 else one_hot

    @property
    def validation_labels(self) -> Indices:
        """Classes of the validation images."""
        return self.data.images.labels[self.data.validation]

    @property
    def class_weights(self) -> dict[int, float] | None:
        """Balanced class weights, None where the recipe has none."""
        if not self.recipe.class_weights:
            return None
        labels = self.data.images.labels[self.data.training]
        weights = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
        return dict(enumerate(weights.tolist()))

    def order(self, epoch: int) -> Indices:
        """Draw the images of each step of an epoch: an array of shape (steps, batch_size).

        Where an epoch is one pass, its last step is filled up with images of its first. Where the
        recipe fixes the steps, passes follow each other across epochs.
        """
        if self.recipe.steps_per_epoch is None:
            return np.resize(self._shuffle(epoch), (self.steps, self.recipe.batch_size))
        needed = self.steps * self.recipe.batch_size
        first, skipped = divmod(epoch * needed, len(self.data.training))
        passes = -(-(skipped + needed) // len(self.data.training))
        stream = np.concatenate([self._shuffle(first + number) for number in range(passes)])
        return stream[skipped : skipped + needed].reshape(self.steps, self.recipe.batch_size)

    def predict(self, network: keras.Model) -> Probabilities:
        """Return the probabilities of the validation images."""
        indices, batch_size = self.data.validation, self.recipe.batch_size
        return predict(network, self.render, indices, batch_size)

    def _shuffle(self, number: int) -> Indices:
        return np.random.default_rng([self.data.random_state, number]).permutation(
            self.data.training
        )


def adjust(recipe: BaselineRecipe, **changes: Any) -> BaselineRecipe:
    """Replace settings of a recipe; None keeps the recipe's own."""
    changes = {name: value for name, value in changes.items() if value is not None}
    for name in ("epochs", "batch_size"):
        if changes.get(name, 1) < 1:
            raise UsageError(
                f"{name.replace('_', ' ')} {changes[name]} is too small; give 1 or more"
            )
    policy_of(changes.get("augmentation", recipe.augmentation))
    pieces = tuple(adjust(piece, **changes) for piece in recipe.pieces)
    if pieces:
        changes.pop("epochs", None)
    recipe = replace(recipe, **changes, pieces=pieces)
    if min(recipe.size) < recipe.minimum_size:
        raise UsageError(
            f"{recipe.size[0]} x {recipe.size[1]} pixels are too few for {recipe.name}: it needs "
            f"{recipe.minimum_size} x {recipe.minimum_size} or more"
        )
    return recipe


def check_precision(recipe: BaselineRecipe) -> None:
    """Raise an error for mixed precision without a GPU."""
    if recipe.precision == "mixed_float16" and not has_gpu():
        raise UsageError(
            f"mixed precision needs a GPU, but {import_keras().config.backend()} sees no GPU on "
            "this machine; a CPU is slower in float16: train without mixed precision"
        )


def has_gpu() -> bool:
    """Return whether Keras sees a GPU."""
    try:
        return bool(import_keras().distribution.list_devices("gpu"))
    except (RuntimeError, ValueError, NotImplementedError, AttributeError):
        return False


def check_labels(images: ImageDataset) -> None:
    """Raise an error for unlabeled images or fewer than two classes."""
    unlabeled = int((images.labels < 0).sum())
    if unlabeled:
        raise UsageError(f"{unlabeled:,} of the training images have no label; leave them out")
    counts = np.bincount(images.labels, minlength=len(images.class_names))
    missing = [name for name, count in zip(images.class_names, counts, strict=True) if not count]
    if missing or len(counts) < 2:
        present = [name for name in images.class_names if name not in missing]
        raise UsageError(
            f"the {len(images):,} training images are all {' or '.join(present) or 'unlabeled'}"
            f"{f', none is {missing[0]}' if missing else ''}; a network learns from two or more "
            "classes, each with images"
        )


def split(
    images: ImageDataset, unreadable: dict[int, str], recipe: BaselineRecipe, random_state: int
) -> tuple[Indices, Indices]:
    """Split readable images into training and validation images by the recipe's unit."""
    readable = np.setdiff1d(np.arange(len(images)), list(unreadable)).astype(np.int64)
    check_labels(images.select(readable))
    kept, aside = hold_out(
        images.labels[readable],
        images.patients[readable] if recipe.validation_by == "patient" else readable.astype(str),
        test_size=recipe.validation_size,
        random_state=random_state,
    )
    if len(kept) < recipe.batch_size:
        raise UsageError(
            f"{recipe.name} trains in batches of {recipe.batch_size}, but only {len(kept)} of the "
            f"{len(readable)} images are left for training ({len(aside)} validate); give more "
            "images or a smaller batch size"
        )
    return readable[kept], readable[aside]


def policy_of(augmentation: str | Augmentation) -> Augmentation:
    """Return an augmentation policy by its name, or unchanged."""
    return Augmentation.named(augmentation) if isinstance(augmentation, str) else augmentation


def find_starts(
    recipe: BaselineRecipe, weights: str | Path, weights_dir: str | Path | None, random_state: int
) -> list[Weights | None]:
    """Find the initial weights of each network of a recipe, None without a backbone."""
    if recipe.pieces and weights not in ("imagenet", "random"):
        raise UsageError(
            f"{recipe.name} starts from several networks, but {weights} is the weights file of "
            "one; put their files into a directory and pass it with --weights-dir"
        )
    folder = None if weights_dir is None else Path(weights_dir)
    return [_find_start(each, weights, folder, random_state) for each in recipe.pieces or (recipe,)]


def _find_start(
    recipe: BaselineRecipe, weights: str | Path, weights_dir: Path | None, random_state: int
) -> Weights | None:
    if recipe.backbone is None:
        if weights not in ("imagenet", "random"):
            raise UsageError(
                f"{recipe.name} starts from random weights; remove the weights file ({weights})"
            )
        return None
    if recipe.backbone == VIT:
        return find_vit_weights(weights, weights_dir, random_state, recipe.size)
    return find_weights(
        get_registered(recipe.backbone), weights, weights_dir, random_state=random_state
    )
