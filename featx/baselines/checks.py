"""What is refused before the first epoch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.backbones._keras import import_keras
from featx.baselines.lesson import policy_of
from featx.baselines.recipe import Recipe
from featx.datasets.dataset import ImageDataset
from featx.datasets.splitting import hold_out
from featx.errors import UsageError

__all__ = ["adjust", "check_labels", "check_precision", "split"]

Indices = npt.NDArray[np.int64]


def adjust(recipe: Recipe, **changes: Any) -> Recipe:
    """Put what the user asked for in place of the recipe's own."""
    changes = {name: value for name, value in changes.items() if value is not None}
    for name, value in changes.items():
        if name in ("epochs", "batch_size") and value < 1:
            raise UsageError(
                f"{name.replace('_', ' ')} {value} was asked for; it has to be 1 or more"
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


def check_precision(recipe: Recipe) -> None:
    """Refuse mixed precision where there is no GPU, which alone computes faster in float16."""
    if recipe.precision == "mixed_float16" and not _has_gpu():
        raise UsageError(
            "mixed precision was asked for, but "
            f"{import_keras().config.backend()} sees no GPU on this machine; on a CPU float16 is "
            "slower than float32 and no smaller: leave it out"
        )


def _has_gpu() -> bool:
    try:
        return bool(import_keras().distribution.list_devices("gpu"))
    except (RuntimeError, ValueError, NotImplementedError, AttributeError):
        return False


def check_labels(images: ImageDataset) -> None:
    """Refuse images of fewer than two classes, or without labels."""
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
    images: ImageDataset, unreadable: dict[int, str], recipe: Recipe, random_state: int
) -> tuple[Indices, Indices]:
    """Draw the images that train and those that choose."""
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
