"""What a network shall learn, and what it says of images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from featx.baselines.recipe import Recipe

if TYPE_CHECKING:
    import keras

__all__ = ["Source", "Task", "predict"]

Indices = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]


class Source(Protocol):
    """Where batches come from."""

    def batches(self, order: Sequence[Indices], view: int) -> Iterator[npt.NDArray[np.float32]]:
        """Give what the network sees of each batch's images, in order."""


@dataclass(frozen=True, eq=False)
class Task:
    """What a network shall learn.

    Parameters
    ----------
    labels : ndarray of int64, shape (n_images,)
        Their classes.
    """

    recipe: Recipe
    source: Source
    labels: npt.NDArray[np.int64]
    n_classes: int
    training: Indices
    validation: Indices
    random_state: int

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        wanted = self.recipe.steps_per_epoch
        return wanted or math.ceil(len(self.training) / self.recipe.batch_size)

    @property
    def head_epochs(self) -> int:
        """First epochs, in which the backbone rests; at least one epoch trains all layers."""
        return min(self.recipe.head_epochs, self.recipe.epochs - 1)

    @cached_property
    def targets(self) -> npt.NDArray[np.float32]:
        """What the output shall be: (n_images, 1) with two classes, else one-hot."""
        one_hot = np.eye(self.n_classes, dtype=np.float32)[self.labels]
        return one_hot[:, 1:] if self.n_classes == 2 else one_hot

    @cached_property
    def image_weights(self) -> npt.NDArray[np.float32]:
        """Weight of each image: n_total / (n_classes * n_c) of its class c, or 1."""
        counts = np.bincount(self.labels[self.training], minlength=self.n_classes)
        weights = counts.sum() / (self.n_classes * counts)
        if not self.recipe.class_weights:
            weights = np.ones(self.n_classes)
        return weights[self.labels].astype(np.float32)

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Draw the images of each step.

        Where an epoch is a pass, its last step is filled up with images of its first. Where the
        recipe fixes the steps, passes follow each other without regard to epochs.

        Returns
        -------
        ndarray of int64, shape (steps, batch)
        """
        if self.recipe.steps_per_epoch is None:
            return np.resize(self._shuffle(epoch), (self.steps, self.recipe.batch_size))
        needed = self.steps * self.recipe.batch_size
        first, skipped = divmod(epoch * needed, len(self.training))
        passes = -(-(skipped + needed) // len(self.training))
        stream = np.concatenate([self._shuffle(first + number) for number in range(passes)])
        return stream[skipped : skipped + needed].reshape(self.steps, self.recipe.batch_size)

    def _shuffle(self, number: int) -> Indices:
        return np.random.default_rng([self.random_state, number]).permutation(self.training)


def predict(
    network: keras.Model,
    source: Source,
    indices: Indices,
    batch_size: int,
    advance: Callable[..., None] | None = None,
) -> Probabilities:
    """Return the probabilities of some images, unaugmented, in batches of one size.

    Returns
    -------
    ndarray of float64, shape (n_indices, n_classes)
    """
    parts = [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]
    filled = [np.resize(part, batch_size) for part in parts]
    outputs = []
    for part, pixels in zip(parts, source.batches(filled, view=0), strict=True):
        outputs.append(np.asarray(network.predict_on_batch(pixels))[: len(part)])
        if advance is not None:
            advance(len(part))
    values = np.concatenate(outputs).astype(np.float64)
    return np.hstack([1 - values, values]) if values.shape[1] == 1 else values
