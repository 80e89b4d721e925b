"""The training loop: epochs, learning rate, validation, the epoch that is kept; pauses allowed."""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from featx.backbones._keras import import_keras
from featx.baselines.architectures import freeze
from featx.baselines.diagnosis import area_under_curve
from featx.baselines.recipe import Recipe
from featx.baselines.state import Keeper, State
from featx.baselines.task import Task, predict
from featx.errors import FeatxError
from featx.runtime.files import put_bytes
from featx.runtime.progress import progress

if TYPE_CHECKING:
    import keras

__all__ = ["Result", "train"]

logger = logging.getLogger(__name__)

COLUMNS = (
    "learning_rate",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "val_auc",
    "val_majority",
    "seconds",
)

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Result:
    """What training gave.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_validation, n_classes)
        What the network of that epoch says of the validation images.
    """

    history: dict[str, list[float]]
    best_epoch: int
    probabilities: Probabilities
    seconds_before: float


def train(network: keras.Model, task: Task, keeper: Keeper | None = None) -> Result:
    """Train a network, and leave it with the weights of the epoch that the recipe keeps."""
    recipe = task.recipe
    state = keeper.find() if keeper is not None else None
    if state is None:
        state = State({column: [] for column in COLUMNS})
    elif not state.finished:
        logger.info(f"{recipe.name} goes on after epoch {state.epochs} of {recipe.epochs}.")
    seconds_before = sum(state.history["seconds"])
    if not state.finished:
        _run_epochs(network, task, state, keeper)
    if not state.best_epoch:
        raise FeatxError(
            f"{recipe.name} gives no finite probability after its first epoch; its learning rate "
            f"of {recipe.learning_rate:g} is too high for these images"
        )
    if not state.finished:
        state.network, state.optimizer, state.finished = state.best_network, [], True
        if keeper is not None:
            keeper.save(state)
    _assign(network.variables, state.network)
    return Result(state.history, state.best_epoch, state.best_probabilities, seconds_before)


def _run_epochs(network: keras.Model, task: Task, state: State, keeper: Keeper | None) -> None:
    """Train from where the state stands to the end, updating the state after every epoch."""
    recipe, trainer = task.recipe, None
    left = (recipe.epochs - state.epochs) * task.steps
    with progress(f"Training {recipe.name}", left, "steps") as advance:
        while state.epochs < recipe.epochs and not _is_stale(recipe, state, task.head_epochs):
            epoch = state.epochs
            if trainer is None or epoch == task.head_epochs:
                trainer = _prepare_stage(network, task, head_only=epoch < task.head_epochs)
                _restore(network, trainer, state, fresh=epoch in (0, task.head_epochs))
            probabilities = _run_epoch(network, trainer, task, epoch, state.history, advance)
            if not np.isfinite(probabilities).all():
                break
            state.network = _values(network.variables)
            state.optimizer = _values(trainer.optimizer.variables)
            if recipe.keep == "last" or _is_best(recipe, state.history):
                state.best_epoch, state.best_network = state.epochs, state.network
                state.best_probabilities = probabilities
            if keeper is not None:
                keeper.save(state)
                put_bytes(keeper.folder / "log.csv", _to_csv(state.history))


def _restore(network: keras.Model, trainer: keras.Model, state: State, *, fresh: bool) -> None:
    """Put the network, and the optimizer unless its stage begins, where the state stands."""
    if state.epochs:
        _assign(network.variables, state.network)
        if not fresh:
            _assign(trainer.optimizer.variables, state.optimizer)


def _values(variables: Sequence[Any]) -> list[npt.NDArray]:
    # A copy: what a back end gives may be a view that the next step overwrites.
    return [np.array(import_keras().ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables: Sequence[Any], values: Sequence[npt.NDArray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _is_best(recipe: Recipe, history: dict[str, list[float]]) -> bool:
    """Whether the last epoch is better than all before it."""
    # With few validation images AUC has many ties, but for rounding: the lower loss then decides.
    merits = [
        (round(area, 9), -loss) if recipe.monitor == "val_auc" else (-loss, area)
        for area, loss in zip(history["val_auc"], history["val_loss"], strict=True)
    ]
    return merits[-1] > max(merits[:-1], default=(-math.inf, -math.inf))


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
    optimizer = getattr(keras.optimizers, recipe.optimizer)(
        recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    trainer = keras.Model(network.inputs, network.outputs)
    trainer.compile(
        optimizer=optimizer,
        loss="binary_crossentropy" if two else "categorical_crossentropy",
        metrics=[kind(name="accuracy")],
        # JAX needs compiling; TensorFlow's XLA makes convolutions on a CPU several times slower.
        jit_compile=keras.config.backend() == "jax",
    )
    # Variables made within the first step would have TensorFlow trace it twice. In mixed precision
    # the trainer has wrapped the optimizer.
    trainer.optimizer.build(trainer.trainable_variables)
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
    """Compare with the truth; of more than two classes, AUC is each against the rest, mean."""
    if not np.isfinite(probabilities).all():
        return dict.fromkeys(("val_loss", "val_accuracy", "val_auc", "val_majority"), math.nan)
    called = probabilities.argmax(axis=1)
    of_truth = probabilities[np.arange(len(labels)), labels]
    return {
        # Keras' own bound, so that a certain and wrong answer costs 16 and not infinity.
        "val_loss": float(-np.log(np.clip(of_truth, 1e-7, 1)).mean()),
        "val_accuracy": float((called == labels).mean()),
        "val_auc": area_under_curve(labels, probabilities),
        # The share of images that are called what most of them are called: 1 in a collapse.
        "val_majority": float(np.bincount(called).max() / len(called)),
    }


def _is_stale(recipe: Recipe, state: State, head_epochs: int) -> bool:
    """Whether the best value is `patience` epochs old, not counting the head's epochs."""
    if recipe.patience is None or state.epochs <= head_epochs:
        return False
    values = np.asarray(state.history[recipe.monitor])
    best = int(np.argmin(values) if recipe.monitor == "val_loss" else np.argmax(values))
    return state.epochs - 1 - max(best, head_epochs) >= recipe.patience


def _to_csv(history: dict[str, list[float]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["epoch", *COLUMNS])
    for epoch, values in enumerate(zip(*history.values(), strict=True), start=1):
        writer.writerow([epoch, *(f"{value:.6g}" for value in values)])
    return buffer.getvalue().encode()
