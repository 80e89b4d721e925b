"""A fitted model put to use on images."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from featx.datasets.dataset import ImageDataset
from featx.features.reextraction import extract_by_recipes
from featx.metrics.scores import Scores, flatten
from featx.metrics.scores import evaluate as evaluate_scores

if TYPE_CHECKING:
    from featx.classifiers.classifier import FeatureClassifier

__all__ = ["Application", "apply_model", "predictions_csv", "score", "verdict_of"]


@dataclass(frozen=True)
class Application:
    """What a model says of images.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_images, n_classes)
        Averaged over each image's views.
    predicted : ndarray of str, shape (n_images,)
        Class of each image at the model's operating point.
    labels : ndarray of int64, shape (n_images,)
        Index into `class_names`; -1 where unknown.
    patients : ndarray of str, shape (n_images,)
        Whose image it is.
    """

    names: tuple[str, ...]
    probabilities: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.str_]
    threshold: float | None
    class_names: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    patients: npt.NDArray[np.str_]
    unreadable: tuple[tuple[str, str], ...]

    def counts(self) -> dict[str, int]:
        """How many images were given each class."""
        found = Counter(self.predicted.tolist())
        return {name: found[name] for name in self.class_names}


def apply_model(
    model: FeatureClassifier,
    images: ImageDataset,
    *,
    views: int | None = None,
    weights: str | Path = "imagenet",
    weights_dir: str | Path | None = None,
    cache: str | Path | None = None,
    engine: str = "auto",
    adapt: bool = False,
    strict: bool = False,
    rehash: bool = False,
) -> Application:
    """Embed images as the model's training images were, and classify them.

    Parameters
    ----------
    model : FeatureClassifier
        Fitted on a feature matrix.
    images : ImageDataset
        With the model's classes where it is labeled.
    views : int, optional
        Views whose scores are averaged; as many as in training by default.
    weights, weights_dir, cache, engine, strict, rehash
        As in `featx.extract`.
    adapt : bool, default=False
        Whether to put the threshold where the scores of these images fall into two groups.

    Returns
    -------
    Application

    Raises
    ------
    UsageError
        If an image is not to be read by the model, or there are too few of them to adapt to.
    """
    matrix = extract_by_recipes(
        images,
        model.recipes_,
        _training_views(model) if views is None else views,
        weights=weights,
        weights_dir=weights_dir,
        cache=cache,
        engine=engine,
        strict=strict,
        rehash=rehash,
    )
    probabilities = model.predict_images(matrix)
    if adapt:
        from featx.classifiers.adaptation import with_adapted_threshold

        model = with_adapted_threshold(model, probabilities)
    return Application(
        names=matrix.names,
        probabilities=probabilities,
        predicted=model.decide(probabilities),
        threshold=model.threshold_,
        class_names=tuple(str(name) for name in model.classes_),
        labels=matrix.labels,
        patients=matrix.patients,
        unreadable=matrix.unreadable,
    )


def _training_views(model: FeatureClassifier) -> int:
    """Return the views an image had in training, on whose mean the threshold was chosen."""
    return int(model.provenance_["rows"] // model.provenance_["images"])


def score(application: Application) -> Scores:
    """Score what a model says of labeled images at its operating point.

    Parameters
    ----------
    application : Application
        Of labeled images.

    Returns
    -------
    Scores
    """
    return evaluate_scores(
        application.labels,
        application.probabilities,
        threshold=application.threshold,
        class_names=application.class_names,
        patients=application.patients,
    )


def verdict_of(scores: Scores) -> dict[str, Any]:
    """Write scores down as one row of plain values."""
    per_class = {name: flatten(figures) for name, figures in scores.per_class.items()}
    return {
        **scores.to_row(),
        **({"per_class": per_class} if per_class else {}),
        "threshold": scores.threshold,
        "confusion": scores.confusion.tolist(),
        "n_patients_test": scores.n_patients,
        "collapsed": scores.collapsed,
        "collapse_reason": scores.collapse_reason,
    }


def predictions_csv(application: Application) -> bytes:
    """Write predictions down: path, one probability a class, label, and what went wrong."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    classes = application.class_names
    writer.writerow(["path", *(f"probability_{name}" for name in classes), "label", "problem"])
    for name, row, predicted in zip(
        application.names, application.probabilities, application.predicted, strict=True
    ):
        writer.writerow([name, *row.tolist(), predicted, ""])
    for name, reason in application.unreadable:
        writer.writerow([name, *("" for _ in classes), "", reason])
    return buffer.getvalue().encode("utf-8", "surrogateescape")
