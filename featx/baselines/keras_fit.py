"""Train networks by Keras' `fit`; a killed training resumes and ends as one that was not killed.

Keras does the work: `fit` with ModelCheckpoint, ReduceLROnPlateau, CSVLogger and BackupAndRestore.
 `featx.baselines.callbacks` names what is ours and why.
"""

from __future__ import annotations

import logging
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.backbones._keras import import_keras
from featx.backbones.weights import Weights
from featx.baselines.architectures import build_network, freeze
from featx.baselines.baseline_recipe import BaselineRecipe, Plateau, WarmCosine
from featx.baselines.callbacks import EpochSeeds, StateFromLog, ValidationScores
from featx.baselines.session import DamagedCheckpointError, Row, Session, damage_noticed
from featx.baselines.training_data import FitTask, TrainingData, policy_of
from featx.baselines.views import Probabilities, TrainingBatches
from featx.errors import FeatxError
from featx.runtime.process_state import network_state
from featx.runtime.progress import progress
from featx.runtime.serialization import digest_of_values

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FitResult:
    """Weights of the best epoch, predictions of validation images, seconds of earlier runs."""

    network: keras.Model
    history: dict[str, list[float]]
    best_epoch: int
    probabilities: Probabilities
    seconds_before: float


def fit_recipe(
    data: TrainingData, recipe: BaselineRecipe, weights: Weights | None, folder: Path | None
) -> tuple[BaselineRecipe, FitResult]:
    """Train the network of a recipe on images; return the recipe as used, and the result."""
    if weights is not None and weights.path is None:
        recipe = replace(recipe, train_batch_norm=True)
    views = data.views.with_settings(recipe.size, policy_of(recipe.augmentation))

    def build() -> keras.Model:
        return build_network(recipe, recipe.size, data.n_classes, weights)

    start = None if weights is None else weights.digest
    with network_state(recipe.precision):
        return recipe, fit_network(build, FitTask(recipe, data, views.render), folder, start)


def fit_network(
    build: Callable[[], keras.Model], task: FitTask, folder: Path | None, start: object
) -> FitResult:
    """Train a network, or resume its training where `folder` has its checkpoints."""
    key = digest_of_values({"recipe": task.recipe.to_dict(), "start": start, **task.data.identity})
    with ExitStack() as stack:
        stack.enter_context(_random_states_restored())
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="featx-")))
        session = Session(folder, key)
        session.open()
        try:
            return _fit_or_resume(build, task, session)
        except DamagedCheckpointError as error:
            logger.info(
                f"The checkpoint in {session.checkpoints} is damaged ({error}); "
                f"{task.recipe.name} starts at its first epoch."
            )
            session.restart()
            return _fit_or_resume(build, task, session)
        except OSError as error:
            raise FeatxError(
                f"The checkpoint of {task.recipe.name} cannot be written to {folder} ({error}). "
                "Free disk space or choose another folder, and run again: finished epochs are kept."
            ) from error


def _fit_or_resume(build: Callable[[], keras.Model], task: FitTask, session: Session) -> FitResult:
    recipe = task.recipe
    import_keras().utils.set_random_seed(task.data.random_state)
    network = build()
    done = None if session.finished else max(session.backup(n).epochs for n in (1, 2))
    before = session.read_log(done)
    if done:
        logger.info(f"{recipe.name} continues after epoch {done} of {recipe.epochs}.")
    if done is not None:
        _fit_stages(network, task, session, before)
    rows = session.read_log(None)
    best_epoch = int(max(row["val_best"] for row in rows))
    if not best_epoch:
        raise FeatxError(
            f"{recipe.name} predicts no finite probability after its first epoch: its learning "
            f"rate of {recipe.learning_rate:g} is too high for these images"
        )
    with damage_noticed():
        network.load_weights(session.best_weights)
    if done is not None:
        session.finish()
    return FitResult(
        network=network,
        history={name: [row[name] for row in rows] for name in rows[0] if name != "epoch"},
        best_epoch=best_epoch,
        probabilities=task.predict(network),
        seconds_before=sum(row["seconds"] for row in before),
    )


def _fit_stages(
    network: keras.Model, task: FitTask, session: Session, before: Sequence[Row]
) -> None:
    """Train the head, where the recipe does so, then all layers."""
    recipe, head = task.recipe, task.head_epochs
    stages = [(0, head), (head, recipe.epochs)] if head else [(0, recipe.epochs)]
    left = (recipe.epochs - len(before)) * task.steps
    with progress(f"Training {recipe.name}", left, "steps") as advance:
        for number, (first, last) in enumerate(stages, start=1):
            model = _compile(network, task, head_only=last == head)
            backup = session.backup(number)
            with damage_noticed():
                backup.restore(model)
            epochs_done = max(backup.epochs, first)
            if not backup.stopped and epochs_done < last:
                # Epochs of the stage before count, too, whether this process trained them or not.
                done = session.read_log(epochs_done)
                log = import_keras().callbacks.CSVLogger(session.log, append=True)
                callbacks = _make_callbacks(network, task, session, done, first, advance)
                try:
                    model.fit(
                        TrainingBatches(task.render, task.targets, task.order, epochs_done),
                        initial_epoch=epochs_done,
                        epochs=last,
                        steps_per_epoch=task.steps,
                        class_weight=task.class_weights,
                        # A logged epoch may lack its backup, but not the reverse.
                        callbacks=[*callbacks, log, backup],
                        shuffle=False,
                        verbose=0,
                    )
                finally:
                    log.on_train_end()
            if backup.stopped:
                break


def _make_callbacks(
    network: keras.Model,
    task: FitTask,
    session: Session,
    before: Sequence[Row],
    first: int,
    advance: Callable[..., None],
) -> list[keras.callbacks.Callback]:
    """Make the callbacks of a stage: scores first, then those that use them."""
    callbacks, recipe = import_keras().callbacks, task.recipe
    stateful = []
    if isinstance(recipe.schedule, Plateau) and first == task.head_epochs:
        stateful.append(
            callbacks.ReduceLROnPlateau(
                monitor=recipe.schedule.monitor,
                mode="max",
                factor=recipe.schedule.factor,
                patience=recipe.schedule.patience,
                min_lr=recipe.schedule.floor,
            )
        )
    checkpoint = callbacks.ModelCheckpoint(
        session.best_weights,
        monitor="val_best",
        mode="max",
        save_best_only=True,
        save_weights_only=True,
        initial_value_threshold=max((row["val_best"] for row in before), default=0.0),
    )

    def show(batch: int, logs: dict[str, float]) -> None:  # noqa: ARG001
        advance(1, note=f"loss {logs['loss']:.3f}")

    return [
        EpochSeeds(task.data.random_state),
        ValidationScores(task, network, before),
        *stateful,
        checkpoint,
        callbacks.LambdaCallback(on_train_batch_end=show),
        StateFromLog(stateful, {e: row for e, row in enumerate(before) if e >= first}),
    ]


def _compile(network: keras.Model, task: FitTask, *, head_only: bool) -> keras.Model:
    """Freeze layers, and wrap the network in a model compiled to train the others."""
    keras, recipe = import_keras(), task.recipe
    frozen = None if head_only else recipe.frozen_layers
    freeze(network, frozen, batch_norm=recipe.train_batch_norm)
    two = task.data.n_classes == 2
    accuracy = keras.metrics.BinaryAccuracy if two else keras.metrics.CategoricalAccuracy
    rate = recipe.head_learning_rate if head_only else _learning_rate(task)
    optimizer = getattr(keras.optimizers, recipe.optimizer)(rate, weight_decay=recipe.weight_decay)
    model = keras.Model(network.inputs, network.outputs)
    model.compile(
        optimizer=optimizer,
        loss="binary_crossentropy" if two else "categorical_crossentropy",
        metrics=[accuracy(name="accuracy")],
        # JAX needs compiling; TensorFlow's XLA makes convolutions on a CPU several times slower.
        jit_compile=keras.config.backend() == "jax",
    )
    # Variables made within the first step would have TensorFlow trace it twice. In mixed precision
    # the model has wrapped the optimizer.
    model.optimizer.build(model.trainable_variables)
    return model


def _learning_rate(task: FitTask) -> Any:
    recipe = task.recipe
    if not isinstance(recipe.schedule, WarmCosine):
        return recipe.learning_rate
    warm_up = round(recipe.schedule.warm_up * task.steps)
    total = (recipe.epochs - task.head_epochs) * task.steps
    return import_keras().optimizers.schedules.CosineDecay(
        # The first step trains, too.
        initial_learning_rate=recipe.learning_rate / max(warm_up, 1),
        decay_steps=max(total - warm_up, 1),
        alpha=recipe.schedule.floor,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm_up,
    )


@contextmanager
def _random_states_restored() -> Iterator[None]:
    """Restore the states of Python's and NumPy's random generators, which Keras seeds."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
