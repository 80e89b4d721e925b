"""The training loop: epochs, learning rate, validation, the epoch that is kept."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from featx.backbones._keras import import_keras
from featx.baselines.architectures import freeze
from featx.baselines.batches import ViewSource
from featx.baselines.diagnosis import area_under_curve
from featx.baselines.recipes import Recipe
from featx.errors import FeatxError
from featx.features.files import put_bytes
from featx.progress import progress

if TYPE_CHECKING:
    import keras

__all__ = ["Result", "Task", "predict", "train"]

COLUMNS = (
    "learning_rate",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "val_auc",
    "seconds",
)

Indices = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Task:
    """What a network shall learn.

    Parameters
    ----------
    recipe : Recipe
        How.
    source : ViewSource
        The images.
    labels : ndarray of int64, shape (n_images,)
        Their classes.
    n_classes : int
        How many classes there are.
    training, validation : ndarray of int64
        Which images train, and which choose.
    seed : int
        Of the order of images.
    """

    recipe: Recipe
    source: ViewSource
    labels: npt.NDArray[np.int64]
    n_classes: int
    training: Indices
    validation: Indices
    seed: int

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
        """Draw the images of each step; the last step is filled up with images of the first.

        Parameters
        ----------
        epoch : int
            From 0; each has another order.

        Returns
        -------
        ndarray of int64, shape (steps, batch)
        """
        shuffled = np.random.default_rng([self.seed, epoch]).permutation(self.training)
        return np.resize(shuffled, (self.steps, self.recipe.batch_size))


@dataclass(frozen=True, eq=False)
class Result:
    """What training gave: its history, and the validation probabilities of the epoch kept."""

    history: dict[str, list[float]]
    best_epoch: int
    probabilities: Probabilities


def train(network: keras.Model, task: Task, log: Path | None = None) -> Result:
    """Train a network, and leave it with the weights of the epoch that the recipe keeps.

    Parameters
    ----------
    network : keras.Model
        From `featx.baselines.architectures.build_network`.
    task : Task
        What to learn, and how.
    log : Path, optional
        CSV file of the history, written anew as each epoch ends.

    Returns
    -------
    Result

    Raises
    ------
    FeatxError
        If not one epoch gives finite probabilities.
    """
    recipe = task.recipe
    history: dict[str, list[float]] = {column: [] for column in COLUMNS}
    result, weights, best = None, None, (-math.inf, -math.inf)
    with progress(f"Training {recipe.name}", recipe.epochs * task.steps, "steps") as advance:
        for epoch in range(recipe.epochs):
            if epoch in (0, task.head_epochs):
                trainer = _prepare_stage(network, task, head_only=epoch < task.head_epochs)
            probabilities = _run_epoch(network, trainer, task, epoch, history, advance)
            if log is not None:
                put_bytes(log, _to_csv(history))
            if not np.isfinite(probabilities).all():
                break
            # With few validation images AUC has many ties: the lower loss then decides.
            merit = (history["val_auc"][-1], -history["val_loss"][-1])
            if recipe.keep == "last" or merit > best:
                best, weights = max(best, merit), network.get_weights()
                result = Result(history, epoch + 1, probabilities)
            if _is_stale(recipe, history["val_auc"], task.head_epochs):
                break
    if result is None:
        raise FeatxError(
            f"{recipe.name} gives no finite probability after its first epoch; its learning rate "
            f"of {recipe.learning_rate:g} is too high for these images"
        )
    network.set_weights(weights)
    return result


def _prepare_stage(network: keras.Model, task: Task, *, head_only: bool) -> keras.Model:
    """Freeze or free layers, and wrap the same layers in a model compiled to train them.

    What is compiled anew loses its traced functions; the network itself, which predicts, does not.
    """
    recipe = task.recipe
    frozen = None if head_only else recipe.frozen_layers
    freeze(network, frozen, batch_norm=recipe.train_batch_norm)
    keras = import_keras()
    two = task.n_classes == 2
    kind = keras.metrics.BinaryAccuracy if two else keras.metrics.CategoricalAccuracy
    optimiser = getattr(keras.optimizers, recipe.optimiser)(
        recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    trainer = keras.Model(network.inputs, network.outputs)
    trainer.compile(
        optimizer=optimiser,
        loss="binary_crossentropy" if two else "categorical_crossentropy",
        metrics=[kind(name="accuracy")],
        # JAX needs compiling; TensorFlow's XLA makes convolutions on a CPU several times slower.
        jit_compile=keras.config.backend() == "jax",
    )
    # Variables made within the first step would have TensorFlow trace it twice.
    optimiser.build(trainer.trainable_variables)
    return trainer


def _run_epoch(
    network: keras.Model,
    trainer: keras.Model,
    task: Task,
    epoch: int,
    history: dict[str, list[float]],
    advance: Callable[..., None],
) -> Probabilities:
    """Train one epoch and validate it; add a line to the history."""
    started = time.perf_counter()
    order = task.order(epoch)
    sums = {"loss": 0.0, "accuracy": 0.0}
    # View 0 is the image as it is: what training sees begins at 1, another one each epoch.
    for step, pixels in enumerate(task.source.batches(list(order), view=epoch + 1)):
        rate = _rate(task, history, epoch, step + 1)
        trainer.optimizer.learning_rate = rate
        trainer.reset_metrics()
        indices = order[step]
        values = trainer.train_on_batch(
            pixels, task.targets[indices], task.image_weights[indices], return_dict=True
        )
        for name in sums:
            sums[name] += float(values[name])
        advance(1, note=_note(task, history, epoch, sums["loss"] / (step + 1)))
    probabilities = predict(network, task.source, task.validation, task.recipe.batch_size)
    line = {"learning_rate": rate, **{name: total / len(order) for name, total in sums.items()}}
    line |= _validate(task.labels[task.validation], probabilities)
    line["seconds"] = time.perf_counter() - started
    for column in COLUMNS:
        history[column].append(line[column])
    return probabilities


def _rate(task: Task, history: dict[str, list[float]], epoch: int, steps_done: int) -> float:
    recipe = task.recipe
    if epoch < task.head_epochs:
        return recipe.head_learning_rate
    done = epoch - task.head_epochs + steps_done / task.steps
    return recipe.schedule.rate(
        recipe.learning_rate, history, done, recipe.epochs - task.head_epochs
    )


def _note(task: Task, history: dict[str, list[float]], epoch: int, loss: float) -> str:
    note = f"epoch {epoch + 1} of {task.recipe.epochs}, loss {loss:.3f}"
    return f"{note}, validation AUC {history['val_auc'][-1]:.3f}" if epoch else note


def _validate(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> dict[str, float]:
    """Loss, accuracy of the likeliest class, AUC (of more classes: each against the rest, mean)."""
    if not np.isfinite(probabilities).all():
        return dict.fromkeys(("val_loss", "val_accuracy", "val_auc"), math.nan)
    of_truth = probabilities[np.arange(len(labels)), labels]
    return {
        # Keras' own bound, so that a certain and wrong answer costs 16 and not infinity.
        "val_loss": float(-np.log(np.clip(of_truth, 1e-7, 1)).mean()),
        "val_accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        "val_auc": area_under_curve(labels, probabilities),
    }


def _is_stale(recipe: Recipe, values: list[float], head_epochs: int) -> bool:
    """Whether the best value is `patience` epochs old, not counting the head's epochs."""
    if recipe.patience is None or len(values) <= head_epochs:
        return False
    return len(values) - 1 - max(int(np.argmax(values)), head_epochs) >= recipe.patience


def _to_csv(history: dict[str, list[float]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["epoch", *COLUMNS])
    for epoch, values in enumerate(zip(*history.values(), strict=True), start=1):
        writer.writerow([epoch, *(f"{value:.6g}" for value in values)])
    return buffer.getvalue().encode()


def predict(
    network: keras.Model,
    source: ViewSource,
    indices: Indices,
    batch_size: int,
    advance: Callable[..., None] | None = None,
) -> Probabilities:
    """Return the probabilities of some images, unaugmented, in batches of one size.

    Parameters
    ----------
    network : keras.Model
        With one sigmoid output or a softmax.
    source : ViewSource
        The images.
    indices : ndarray of int64
        Which of them.
    batch_size : int
        Images at once; the last batch is filled up, so that the network sees one shape only.
    advance : callable, optional
        Told of every batch's images.

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
