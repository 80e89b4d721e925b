"""Train a baseline: hold out validation patients, build the network, fit it, diagnose it."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from featx.backbones.weights import Weights
from featx.baselines.baseline_recipe import BaselineRecipe
from featx.baselines.diagnosis import diagnose
from featx.baselines.ensemble import fit_ensemble
from featx.baselines.keras_fit import FitResult, fit_recipe
from featx.baselines.registry import get_baseline
from featx.baselines.result import TrainedBaseline, prepare_record, save_trained
from featx.baselines.training_data import (
    TrainingData,
    adjust,
    check_labels,
    check_precision,
    find_starts,
    policy_of,
    split,
)
from featx.baselines.views import ImageViews
from featx.datasets.conversion import as_images
from featx.datasets.dataset import ImageDataset
from featx.images.augmentation import Augmentation
from featx.metrics.operating_point import OperatingPoint
from featx.runtime.files import check_output

logger = logging.getLogger(__name__)


def train(
    images: Any,
    baseline: str,
    *,
    patients: str | None = None,
    labels: str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    weights: str | Path = "imagenet",
    weights_dir: str | Path | None = None,
    epochs: int | None = None,
    size: int | tuple[int, int] | None = None,
    batch_size: int | None = None,
    augmentation: str | Augmentation | None = None,
    validation_size: float | None = None,
    mixed_precision: bool = False,
    operating_point: str | float = "youden",
    random_state: int = 0,
    **rules: Any,
) -> TrainedBaseline:
    """Train a CNN end to end by a baseline recipe.

    A fraction of the patients (of the images, where a published recipe did so) is held out to
    choose the epoch, the learning rate and the operating point. To train and compare several
    models on one test set, use `featx.benchmark`.

    Parameters
    ----------
    images : ImageDataset, path-like, data frame, sequence of path-like, or ndarray
        Labeled training images; see `featx.datasets.conversion.as_images`. Images of the split
        ``"test"`` are left out, except from an `ImageDataset`, which is used as it is.
    baseline : str
        Name of the recipe; see `featx.list_baselines`.
    patients, labels : str, optional
        Rules for patients and labels, as in `ImageDataset.open`.
    out : path, optional
        Folder for ``log.csv`` (one line per epoch, epochs from 0 as Keras counts),
        ``network.keras``, ``validation.csv``, ``training.json`` and ``checkpoints``. A killed
        training with the same images, settings and versions resumes there after its last
        finished epoch; its probabilities equal those of an uninterrupted one, on one CPU within
        1e-4. A finished training is not repeated.
    overwrite : bool, default=False
        Whether to replace another training in `out`, which is an error otherwise.
    weights, weights_dir : str or path
        Initial weights of a backbone: ``"imagenet"``, ``"random"`` or a file, and the directory
        with such files; see `featx.backbones.weights.find_weights`.
    epochs, size, batch_size, augmentation, validation_size : optional
        Replacements for the recipe's settings. `size` is height and width in pixels, or one number
        for both. For an ensemble they apply to its networks; its classifier keeps its own epochs.
    mixed_precision : bool, default=False
        Whether to compute in float16 where that is safe; needs a GPU.
    operating_point : str or float, default="youden"
        Rule that chooses the threshold on the validation images, or cutoffs of more than two
        classes; see `featx.metrics.operating_point.OperatingPoint.parse`.
    random_state : int, default=0
        Seed of the split, the order of images, their views, initial weights and dropout. Two runs
        on one CPU agree up to rounding in sums that threads share.
    **rules
        Further rules by which images are opened, such as ``columns`` and ``root``
        (`featx.datasets.rules.OpeningRules`).

    Returns
    -------
    TrainedBaseline

    Raises
    ------
    UsageError
        If the recipe is unknown; a class has no images, or images of fewer than two patients;
        there are fewer images than a batch; `size` is below the network's minimum; or mixed
        precision is requested without a GPU; or `out` holds another training.
    MissingExtraError
        If the recipe needs a package that is not installed.
    FeatxError
        If weights are missing, `out` cannot be written, or the first epoch predicts no finite
        probability.

    Examples
    --------
    >>> import featx
    >>> trained = featx.train("chest_xray/", "ramirez-cnn", out="cnn")  # doctest: +SKIP
    >>> trained.predict_proba(test_images)  # doctest: +SKIP
    """
    started = time.perf_counter()
    out = None if out is None else check_output(out, "folder")
    recipe = adjust(
        get_baseline(baseline),
        epochs=epochs,
        size=(size, size) if isinstance(size, int) else size,
        batch_size=batch_size,
        augmentation=augmentation,
        validation_size=validation_size,
        precision="mixed_float16" if mixed_precision else None,
    )
    if not isinstance(images, ImageDataset):
        images = as_images(images, patients, labels=labels, **rules)
        images = images.select(images.splits != "test")
    check_labels(images)
    point = OperatingPoint.parse(operating_point)
    point.check_classes(len(images.class_names))
    split(images, {}, recipe, random_state)
    check_precision(recipe)
    starts = find_starts(recipe, weights, weights_dir, random_state)
    data, unreadable = _read(images, recipe, random_state)
    inputs = _inputs(recipe, starts, data)
    if out is not None:
        # An unwritable folder fails before hours of training, too.
        prepare_record(out, inputs, overwrite=overwrite)
    if recipe.pieces:
        used, result = fit_ensemble(data, recipe, starts, out)
    else:
        used, result = fit_recipe(data, recipe, starts[0], out)
    seconds = time.perf_counter() - started
    trained = _trained(used, result, data, unreadable, point, seconds)
    for sentence in trained.diagnosis:
        logger.info(f"{recipe.name}: {sentence}")
    if out is not None:
        save_trained(trained, result.probabilities, random_state, inputs, out)
    return trained


def _trained(
    recipe: BaselineRecipe,
    result: FitResult,
    data: TrainingData,
    unreadable: dict[int, str],
    point: OperatingPoint,
    seconds: float,
) -> TrainedBaseline:
    """Choose the threshold on the validation images, and diagnose the training."""
    truth, found = data.images.labels[data.validation], result.probabilities
    return TrainedBaseline(
        name=recipe.name,
        recipe=recipe,
        network=result.network,
        class_names=data.images.class_names,
        threshold=point.choose(truth, found),
        history=result.history,
        best_epoch=result.best_epoch,
        seconds=seconds + result.seconds_before,
        training_images=tuple(data.images.names[i] for i in data.training),
        validation_images=tuple(data.images.names[i] for i in data.validation),
        unreadable=tuple((data.images.names[i], reason) for i, reason in unreadable.items()),
        diagnosis=diagnose(result.history, truth, found, data.images.class_names),
    )


def _inputs(
    recipe: BaselineRecipe, starts: list[Weights | None], data: TrainingData
) -> dict[str, Any]:
    """Return what decides a training, by which another one in the same folder is noticed."""
    return {
        "recipe": recipe.to_dict(),
        "random_state": data.random_state,
        "weights": [None if start is None else start.digest for start in starts],
        "images": data.digest,
    }


def _read(
    images: ImageDataset, recipe: BaselineRecipe, random_state: int
) -> tuple[TrainingData, dict[int, str]]:
    """Decode all images once, drop unreadable ones, and split the others."""
    views = ImageViews(images, recipe.size, policy_of(recipe.augmentation), random_state)
    unreadable = views.find_unreadable()
    for index, reason in unreadable.items():
        logger.info(f"{images.names[index]} is left out: {reason}.")
    training, validation = split(images, unreadable, recipe, random_state)
    return TrainingData(images, views, training, validation, random_state), unreadable
