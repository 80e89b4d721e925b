"""Predictions of a fitted model on new images: recipes, features, probabilities, classes."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from featx.classifiers.predictions import Predictions
from featx.datasets.formats import as_images
from featx.errors import UsageError
from featx.features.reextraction import extract_by_recipes
from featx.metrics.scores import Scores

if TYPE_CHECKING:
    from featx.classifiers.classifier import FeatureClassifier

__all__ = ["evaluate", "predict"]


def predict(
    model: FeatureClassifier | str | PathLike,
    images: Any,
    *,
    views: int | None = None,
    adapt: bool = False,
    **settings: Any,
) -> Predictions:
    """Classify images with a fitted model, from pixels to classes.

    Features are extracted as those of the training images, through the same cache. Use
    `FeatureClassifier.predict_images` for a matrix that is already extracted, and `evaluate` for
    labeled images.

    Parameters
    ----------
    model : FeatureClassifier or path-like
        Model fitted to a feature matrix, or its ``.skops`` file.
    images : path-like, sequence of path-like, data frame, arrays or ImageDataset
        Images in any form; labels are not needed.
    views : int, optional
        Number of views per image whose scores are averaged; by default that of training.
    adapt : bool, default=False
        Whether to move the threshold to where the scores of these images fall into two groups
        (`featx.classifiers.adaptation`).
    **settings
        Settings of `featx.ExtractionConfig` that do not change features: ``weights``,
        ``weights_dir``, ``cache``, ``engine``, ``strict``, ``rehash``.

    Returns
    -------
    Predictions
        With predicted classes, and with the images that could not be read.

    Raises
    ------
    UsageError
        If the model was not fitted to a feature matrix, its weights are missing, or there are too
        few images to adapt to.

    Examples
    --------
    >>> import tempfile, featx
    >>> import numpy as np
    >>> pixels = np.random.default_rng(0).integers(0, 255, (12, 32, 32), np.uint8)
    >>> images = featx.ImageDataset.from_arrays(pixels, ["NORMAL", "PNEUMONIA"] * 6)
    >>> with tempfile.TemporaryDirectory() as cache:
    ...     matrix = featx.extract(images, views=1, cache=cache)
    ...     model = featx.fit(matrix, "naive_bayes", cv=2, n_jobs=1)
    ...     predict(model, pixels[:2], cache=cache).probabilities.shape
    (2, 2)
    """
    fitted = _loaded(model)
    dataset = as_images(images, labeled=False)
    if not fitted.recipes_:
        raise UsageError(
            "the model was fitted to an array, so images cannot be turned into its features; fit "
            "it to a feature matrix with featx.fit"
        )
    facts = fitted.provenance_
    if views is None:
        # The threshold was chosen on means over so many views.
        views = int(facts["rows"] // facts["images"])
    matrix = extract_by_recipes(dataset, fitted.recipes_, views, **settings)
    probabilities = fitted.predict_images(matrix)
    threshold = fitted.threshold_
    if adapt:
        from featx.classifiers.adaptation import with_adapted_threshold

        threshold = with_adapted_threshold(fitted, probabilities).threshold_
    return Predictions(
        names=matrix.names,
        class_names=[str(name) for name in fitted.classes_],
        probabilities=probabilities,
        labels=matrix.labels,
        patients=matrix.patients,
        unreadable=matrix.unreadable,
    ).decide(threshold)


def evaluate(
    model: FeatureClassifier | str | PathLike,
    images: Any,
    *,
    patients: str | None = None,
    labels: str | None = None,
    views: int | None = None,
    adapt: bool = False,
    **settings: Any,
) -> Scores:
    """Evaluate a fitted model on labeled images, with 95 % intervals.

    Use it for an external validation set; `featx.benchmark` compares several models.

    Parameters
    ----------
    model : FeatureClassifier or path-like
        Model fitted to a feature matrix, or its ``.skops`` file.
    images : path-like, data frame or ImageDataset
        Images with labels among the model's classes.
    patients, labels : str, optional
        Rules for patients and labels, as in `ImageDataset.open`.
    views, adapt, **settings
        As in `predict`.

    Returns
    -------
    Scores
        Metrics with intervals clustered by patient, confusion matrix, and collapse.

    Raises
    ------
    UsageError
        If an image has no label or a label of another class, or as in `predict`.
    """
    fitted = _loaded(model)
    classes = [str(name) for name in fitted.classes_]
    dataset = as_images(images, patients, labels=labels, class_names=classes)
    if list(dataset.class_names) != classes:
        raise UsageError(
            f"the images have the classes {', '.join(dataset.class_names)} and the model "
            f"{', '.join(classes)}; give images of the model's classes, in its order"
        )
    return predict(fitted, dataset, views=views, adapt=adapt, **settings).score()


def _loaded(model: FeatureClassifier | str | PathLike) -> FeatureClassifier:
    if not isinstance(model, str | PathLike):
        return model
    from featx.classifiers.model_file import load_model

    return load_model(str(model))
