"""Keras callbacks for exact validation scores and for resuming a training.

Keras' `BackupAndRestore` restores weights, optimizer and epoch. A killed training ends as one that
was not killed only if the following is restored as well (tests/baselines/test_keras_fit.py):

- `EpochBackup` makes a backup complete at any moment; Keras overwrites its file in place.
- `StateFromLog` recomputes the state of ReduceLROnPlateau from the log.
- `EpochSeeds` seeds dropout by epoch; Keras' weights files have no random generators.

`ValidationScores` adds AUC as scikit-learn computes it; Keras' AUC metric interpolates. It also
keeps the best epoch and stops by one rule; Keras' EarlyStopping has no second criterion for ties.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from featx.backbones._keras import import_keras
from featx.baselines.diagnosis import area_under_curve
from featx.baselines.training_data import FitTask
from featx.metrics.operating_point import decide

if TYPE_CHECKING:
    import keras

Logs = dict[str, float]
Probabilities = npt.NDArray[np.float64]
# Annotated, since mypy takes no attribute of an untyped module as a base class.
_Callback: Any = import_keras().callbacks.Callback

_WORST = (-math.inf, -math.inf)


class ValidationScores(_Callback):
    """Add validation scores, learning rate and seconds to the logs of each epoch.

    ``val_best`` is the epoch (from 1) if it is the best so far by the recipe's rule, else 0; Keras
    compares monitored values in float32, which would lose ties of AUC. By the same rule training
    stops when the recipe's patience has passed since the best epoch after the head's, and at once
    at probabilities that are not finite.
    """

    def __init__(
        self, task: FitTask, network: keras.Model, before: Sequence[Mapping[str, float]]
    ) -> None:
        super().__init__()
        self._task = task
        # The model of each stage wraps it, and would be traced anew.
        self._network = network
        self._merits = [self._merit(row) for row in before]

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:  # noqa: ARG002
        """Start the clock."""
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Predict the validation images and score them."""
        probabilities = self._task.predict(self._network)
        scores = _scores(self._task.validation_labels, probabilities)
        rate = import_keras().ops.convert_to_numpy(self.model.optimizer.learning_rate)
        logs.update(scores)
        merit = self._merit(scores)
        better = self._task.recipe.keep == "last" or merit > max(self._merits, default=_WORST)
        logs["val_best"] = float(epoch + 1 if better and merit > _WORST else 0)
        self._merits.append(merit)
        logs["learning_rate"] = float(rate)
        logs["seconds"] = time.perf_counter() - self._started
        if not np.isfinite(probabilities).all() or self._out_of_patience():
            self.model.stop_training = True

    def _out_of_patience(self) -> bool:
        patience, since_head = self._task.recipe.patience, self._merits[self._task.head_epochs :]
        if patience is None or not since_head:
            return False
        waited = len(since_head) - 1 - since_head.index(max(since_head))
        return waited >= max(patience, 1)

    def _merit(self, scores: Mapping[str, float]) -> tuple[float, float]:
        area, loss = scores["val_auc"], scores["val_loss"]
        if not math.isfinite(loss):
            return _WORST
        # Few validation images make ties of AUC, but for rounding: the lower loss decides.
        return (round(area, 9), -loss) if self._task.recipe.monitor == "val_auc" else (-loss, area)


class EpochSeeds(_Callback):
    """Seed the random generators of all layers by epoch."""

    def __init__(self, random_state: int) -> None:
        super().__init__()
        self._random_state = random_state

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:  # noqa: ARG002
        """Seed every generator again."""
        generator = np.random.default_rng([self._random_state, epoch])
        for variable in self.model.variables:
            if variable.path.endswith("seed_generator_state"):
                variable.assign(generator.integers(0, 2**31, variable.shape))


class StateFromLog(_Callback):
    """Recompute the state of other callbacks, listed before this one, from logged epochs."""

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        epochs: Mapping[int, Mapping[str, float]],
    ) -> None:
        super().__init__()
        self._callbacks = callbacks
        self._epochs = epochs

    def on_train_begin(self, logs: Logs | None = None) -> None:  # noqa: ARG002
        """Pass the logs of each epoch to each callback; the learning rate stays as restored."""
        optimizer = self.model.optimizer
        for callback in self._callbacks:
            plateau = isinstance(callback, import_keras().callbacks.ReduceLROnPlateau)
            rate = float(import_keras().ops.convert_to_numpy(optimizer.learning_rate))
            for epoch, row in self._epochs.items():
                callback.on_epoch_end(epoch, dict(row))
            if plateau:
                optimizer.learning_rate = rate


class EpochBackup(_Callback):
    """Keras' `BackupAndRestore` into a new folder each epoch, renamed when it is complete."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    @property
    def epochs(self) -> int:
        """Number of epochs in the newest backup, 0 without one."""
        return max((_epoch_of(path) for path in self._backups()), default=0)

    @property
    def stopped(self) -> bool:
        """Whether training stopped at the newest backup."""
        return any((path / "stopped").exists() for path in self._backups())

    def restore(self, model: keras.Model) -> None:
        """Load weights and optimizer from the newest backup, if there is one."""
        if self.epochs:
            newest = max(self._backups(), key=_epoch_of)
            self._keras_backup(newest, model).on_train_begin()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a backup, then delete the older ones."""
        older = self._backups()
        unfinished = self._folder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._keras_backup(unfinished, self.model).on_epoch_end(epoch, logs)
        if self.model.stop_training:
            (unfinished / "stopped").touch()
        for path in unfinished.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        unfinished.rename(self._folder / f"epoch-{epoch + 1:04d}")
        for folder in older:
            shutil.rmtree(folder)

    def _backups(self) -> list[Path]:
        return list(self._folder.glob("epoch-*"))

    def _keras_backup(self, folder: Path, model: keras.Model) -> Any:
        backup = import_keras().callbacks.BackupAndRestore(folder, delete_checkpoint=False)
        backup.set_model(model)
        return backup


def _epoch_of(folder: Path) -> int:
    return int(folder.name.removeprefix("epoch-"))


def _scores(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> Logs:
    if not np.isfinite(probabilities).all():
        return dict.fromkeys(("val_loss", "val_accuracy", "val_auc", "val_majority"), math.nan)
    predicted = decide(probabilities, None)
    of_truth = probabilities[np.arange(len(labels)), labels]
    return {
        # Keras' own bound: a certain and wrong prediction costs 16 instead of infinity.
        "val_loss": float(-np.log(np.clip(of_truth, 1e-7, 1)).mean()),
        "val_accuracy": float((predicted == labels).mean()),
        "val_auc": area_under_curve(labels, probabilities),
        # Fraction of images assigned to the most frequent class: 1 in a collapse.
        "val_majority": float(np.bincount(predicted).max() / len(predicted)),
    }
