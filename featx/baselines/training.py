"""Training a network to beat, from images to probabilities."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from featx.backbones.weights import Weights
from featx.baselines.batches import ViewSource
from featx.baselines.checks import adjust, check_labels, check_precision, split
from featx.baselines.diagnosis import diagnose
from featx.baselines.ensemble import learn_ensemble
from featx.baselines.lesson import Lesson, find_start, policy_of
from featx.baselines.recipe import Recipe
from featx.baselines.registry import get_baseline
from featx.baselines.result import TrainedBaseline, save_trained, write_record
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.images.augmentation import Augmentation
from featx.metrics.operating_point import OperatingPoint

__all__ = ["TrainedBaseline", "train_baseline"]

logger = logging.getLogger(__name__)


def train_baseline(
    images: ImageDataset,
    name: str,
    *,
    out: Path | None = None,
    weights: str | Path = "imagenet",
    weights_dir: Path | None = None,
    epochs: int | None = None,
    size: int | tuple[int, int] | None = None,
    batch_size: int | None = None,
    augmentation: str | Augmentation | None = None,
    validation_size: float | None = None,
    mixed_precision: bool = False,
    operating_point: str | float = "youden",
    random_state: int = 0,
) -> TrainedBaseline:
    """Train the network of a recipe.

    A share of the patients is set aside (of the images, where a published recipe did so): they
    choose the epoch, the learning rate and the operating point, and never train.

    Parameters
    ----------
    images : ImageDataset
        Training images only, all labeled.
    name : str
        Recipe; see `featx.baselines.registry.list_baselines`.
    out : Path, optional
        Folder for ``log.csv`` (one line an epoch, written as it ends), ``curves.svg``,
        ``network.keras``, ``validation.csv``, ``training.json`` and ``state.h5``. Killed at any
        moment, a training with the same images, settings and versions goes on there after its last
        finished epoch, and ends with the probabilities of one that was not: on one CPU within
        1e-4. One that is over is not done again.
    weights, weights_dir
        What a backbone starts from; see `featx.backbones.weights.find_weights`.
    epochs, size, batch_size, augmentation, validation_size : optional
        In place of the recipe's. `size` is height and width in pixels, or one number for both. Of
        an ensemble they hold for its pieces; the classifier on top keeps its own epochs.
    mixed_precision : bool, default=False
        Whether to compute in float16 where that is safe; it needs a GPU.
    operating_point : str or float, default="youden"
        How the threshold of two classes is chosen on the validation images; see
        `featx.metrics.operating_point.OperatingPoint.parse`.
    random_state : int, default=0
        Of the split, the order of images, their views, first weights and dropout. On a CPU, two
        runs with one seed agree but for rounding in sums that threads share.

    Returns
    -------
    TrainedBaseline

    Raises
    ------
    UsageError
        If there is no such recipe; a class has no images, or images of fewer than two patients;
        there are fewer images than a batch; `size` is below what the network can take; or mixed
        precision is asked for without a GPU.
    MissingExtraError
        If the recipe needs a package that is not installed.
    FeatxError
        If weights are missing, `out` cannot be written to, or the first epoch gives no finite
        probability.
    """
    started = time.perf_counter()
    recipe = adjust(
        get_baseline(name),
        epochs=epochs,
        size=(size, size) if isinstance(size, int) else size,
        batch_size=batch_size,
        augmentation=augmentation,
        validation_size=validation_size,
        precision="mixed_float16" if mixed_precision else None,
    )
    check_labels(images)
    point = OperatingPoint.parse(operating_point)
    split(images, {}, recipe, random_state)
    check_precision(recipe)
    starts = _find_starts(recipe, weights, weights_dir, random_state)
    if out is not None:
        # Writing something now tells of an unwritable folder before hours of training, not after.
        write_record(out, recipe=recipe.to_dict(), finished=False)
    lesson, unreadable = _read(images, recipe, random_state)
    if recipe.pieces:
        learned = learn_ensemble(lesson, recipe, starts, out)
    else:
        learned = lesson.learn(recipe, starts[0], out)
    result, aside = learned.result, images.labels[lesson.validation]
    two = lesson.n_classes == 2
    trained = TrainedBaseline(
        name=recipe.name,
        recipe=learned.recipe,
        network=learned.network,
        class_names=images.class_names,
        threshold=point.threshold(aside == 1, result.probabilities[:, 1]) if two else None,
        history=result.history,
        best_epoch=result.best_epoch,
        seconds=time.perf_counter() - started + learned.seconds_before,
        training_images=tuple(images.names[i] for i in lesson.training),
        validation_images=tuple(images.names[i] for i in lesson.validation),
        unreadable=tuple((images.names[i], reason) for i, reason in unreadable.items()),
        diagnosis=diagnose(result.history, aside, result.probabilities, images.class_names),
    )
    for sentence in trained.diagnosis:
        logger.info(f"{recipe.name}: {sentence}")
    if out is not None:
        digests = [None if start is None else start.digest for start in starts]
        save_trained(trained, result.probabilities, random_state, digests, out)
    return trained


def _find_starts(
    recipe: Recipe, weights: str | Path, weights_dir: Path | None, random_state: int
) -> list[Weights | None]:
    """Find the weights of each network of a recipe."""
    if recipe.pieces and weights not in ("imagenet", "random"):
        raise UsageError(
            f"{recipe.name} starts from several networks, and {weights} can be the weights of one: "
            "bring them all in a directory and name it with --weights-dir"
        )
    return [
        find_start(part, weights, weights_dir, random_state) for part in recipe.pieces or (recipe,)
    ]


def _read(images: ImageDataset, recipe: Recipe, random_state: int) -> tuple[Lesson, dict[int, str]]:
    """Decode every image once, and draw those that train and those that choose."""
    source = ViewSource(images, recipe.size, policy_of(recipe.augmentation), random_state)
    unreadable = source.find_unreadable()
    for index, reason in unreadable.items():
        logger.warning(f"{images.names[index]} is left out: {reason}.")
    training, validation = split(images, unreadable, recipe, random_state)
    return Lesson(images, source, training, validation, random_state), unreadable
