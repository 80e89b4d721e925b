"""Settings of a training, validated before any image is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.backbones._keras import import_keras
from featx.baselines.baseline_recipe import BaselineRecipe
from featx.datasets.dataset import ImageDataset
from featx.datasets.splitting import hold_out
from featx.errors import UsageError
from featx.images.augmentation import Augmentation

__all__ = ["adjust", "check_labels", "check_precision", "policy_of", "split"]

Indices = npt.NDArray[np.int64]


def adjust(recipe: BaselineRecipe, **changes: Any) -> BaselineRecipe:
    """Replace settings of a recipe; None keeps the recipe's own."""
    changes = {name: value for name, value in changes.items() if value is not None}
    for name, value in changes.items():
        if name in ("epochs", "batch_size") and value < 1:
            raise UsageError(
                f"{name.replace('_', ' ')} {value} is too small; it must be at least 1"
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
    if isinstance(augmentation, str):
        return Augmentation.named(augmentation)
    return augmentation
