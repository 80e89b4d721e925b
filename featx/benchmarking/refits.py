"""Refits of a finished row with its chosen settings: other folds, fewer patients, other images.

Internal shifts: cross-validation says what an operating point costs on images like those of
training. Here it is chosen on the half whose images are smaller, wider, darker, ... than the median
of their class, and applied to the other half, in both directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.benchmarking.data import known_patients
from featx.classifiers.calibration import Calibration, calibrate, probabilities
from featx.classifiers.config import FitConfig
from featx.classifiers.decision_scores import average_views, one_vs_rest_auc, pipeline_scores
from featx.classifiers.out_of_core import FitPlan, plan_fits, select_images
from featx.classifiers.registry import get_classifier
from featx.classifiers.search import Search
from featx.classifiers.training_set import TrainingSet
from featx.features.matrix import FeatureMatrix
from featx.metrics.operating_point import OperatingPoint
from featx.metrics.ranking import macro_auc_interval, ranked
from featx.metrics.scores import evaluate
from featx.reporting.records import BenchmarkRow

CURVE_PROPORTIONS = (0.1, 0.2, 0.4, 0.7, 1.0)

# Models fitted on fewer patients per class are not informative.
_FEWEST_PATIENTS = 5


@dataclass(frozen=True)
class Refit:
    """Fit of a row's chosen settings to some training images."""

    plan: FitPlan
    parameters: dict[str, Any]

    @classmethod
    def of(
        cls, row: BenchmarkRow, train: FeatureMatrix, images: npt.NDArray, config: FitConfig
    ) -> Refit:
        """Plan the fit to images at these positions."""
        training = TrainingSet.of(select_images(train, images, config))
        plan = plan_fits(get_classifier(row.classifier), training, config)
        return cls(plan, row.settings["chosen"])

    @cached_property
    def _search(self) -> Search:
        return Search(self.plan.spec, self.plan.training, self.plan.config)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Labels of the training images."""
        return self.plan.training.labels

    @cached_property
    def _out_of_fold(self) -> npt.NDArray[np.float64]:
        return self._search.out_of_fold(self.parameters)

    @cached_property
    def _calibration(self) -> Calibration:
        return calibrate(self.plan.config.calibration, self._out_of_fold, self.labels)

    def out_of_fold(self) -> npt.NDArray[np.float64]:
        """Return calibrated probabilities of the training images, out of fold."""
        return self.calibrated(self._out_of_fold)

    def scores(self, matrix: FeatureMatrix) -> npt.NDArray[np.float64]:
        """Fit, and return the scores of each image of a matrix."""
        pipeline = self.plan.whole(self._search.fit(self.parameters))
        return average_views(pipeline_scores(pipeline, matrix.X), matrix.image, matrix.n_images)

    def calibrated(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return probabilities of scores, calibrated out of fold."""
        return probabilities(self._calibration.logits(scores))


def repeated_auc(row: BenchmarkRow, train: FeatureMatrix, config: FitConfig) -> float:
    """Cross-validate a row's chosen settings by patient on the folds of a config."""
    refit = Refit.of(row, train, np.arange(train.n_images), config)
    return one_vs_rest_auc(refit.labels, ranked(refit.out_of_fold()))


def curve_point(
    row: BenchmarkRow,
    train: FeatureMatrix,
    test: FeatureMatrix,
    proportion: float,
    config: FitConfig,
) -> dict[str, Any] | None:
    """Fit a row's chosen settings on a proportion of the training patients and score it.

    Settings are not searched again, so points of few patients profit from a search on all: the
    curve shows the gain of more images, not of a search on fewer.
    """
    chosen = select_patients(train.labels, train.patients, proportion, config.random_state)
    patients, labels = train.patients[chosen], train.labels[chosen]
    per_class = [
        len(np.unique(patients[labels == label])) for label in range(len(train.class_names))
    ]
    if min(per_class) < _FEWEST_PATIENTS:
        return None
    refit = Refit.of(row, train, chosen, config)
    scores = refit.scores(test)
    # Calibrations fitted to two classes keep the order; of more, they decide how columns compare.
    if len(train.class_names) > 2 or config.calibration == "none":
        scores = refit.calibrated(scores)
    area = macro_auc_interval(test.labels, scores, patients=known_patients(test))
    plan = refit.plan
    return {
        "name": row.name,
        "n_patients": len(np.unique(plan.training.patients)) if train.patients_known else None,
        "n_images": len(plan.images),
        "auc": area.value,
        "auc_low": area.low,
        "auc_high": area.high,
    }


def select_patients(
    labels: npt.NDArray[np.int64],
    patients: npt.NDArray[np.str_],
    proportion: float,
    random_state: int,
) -> npt.NDArray[np.int64]:
    """Select a proportion of the patients of each class, with all their images.

    A patient counts for the class of the first image.

    Examples
    --------
    >>> patients = np.array(list("aabcd"))
    >>> select_patients(np.array([0, 0, 0, 1, 1]), patients, 0.5, random_state=0).tolist()
    [0, 1, 3]
    """
    _, first, number = np.unique(patients, return_index=True, return_inverse=True)
    class_of_patient = labels[first]
    taken = np.zeros(len(first), dtype=bool)
    generator = np.random.default_rng(random_state)
    for label in np.unique(class_of_patient):
        members = generator.permutation(np.flatnonzero(class_of_patient == label))
        taken[members[: int(np.ceil(proportion * len(members)))]] = True
    return np.flatnonzero(taken[number])


# Of either class, on both sides.
_FEWEST_IMAGES = 20

Mask = npt.NDArray[np.bool_]


def image_halves(control: Callable[[str], FeatureMatrix], train: FeatureMatrix) -> dict[str, Mask]:
    """Return the images above the median of their class, by each property that differs enough.

    `control` returns the features of the training images for a shortcut control.
    """
    metadata, histogram = control("metadata"), control("histogram")
    found = {name: row for row, name in enumerate(metadata.names)}
    rows = [found[name] for name in train.names]
    values = {
        "height": metadata.X[rows, 0],
        "width / height": metadata.X[rows, 2],
        "bytes per pixel": metadata.X[rows, 5],
        "brightness": histogram.X[rows] @ np.arange(histogram.X.shape[1]),
    }
    halves = {name: _above_median(each, train.labels) for name, each in values.items()}
    return {name: above for name, above in halves.items() if _enough(above, ~above, train.labels)}


def shifted_scores(
    row: BenchmarkRow, train: FeatureMatrix, chosen: Mask, config: FitConfig
) -> dict[str, Any] | None:
    """Fit a row's settings and operating point on some images, and score them on all others.

    Patients of the others are left out of training; None where too few images are left.
    """
    others = np.flatnonzero(~chosen)
    chosen = chosen & ~np.isin(train.patients, train.patients[others])
    if not _enough(chosen, ~chosen, train.labels):
        return None
    refit = Refit.of(row, train, np.flatnonzero(chosen), config)
    point = OperatingPoint.parse(config.operating_point)
    threshold = point.choose(refit.labels, refit.out_of_fold())
    shown = train.select_images(others)
    metrics = evaluate(
        shown.labels,
        refit.calibrated(refit.scores(shown)),
        threshold=threshold,
        class_names=shown.class_names,
        patients=known_patients(shown),
    ).metrics
    figures = {f: metrics[f].value for f in ("auc", "accuracy", "sensitivity", "specificity")}
    return {"n_train": len(refit.labels), "n": shown.n_images, **figures}


def _above_median(values: npt.NDArray, labels: npt.NDArray[np.int64]) -> Mask:
    above = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = labels == label
        above |= members & (values > np.median(values[members]))
    return above


def _enough(first: Mask, second: Mask, labels: npt.NDArray[np.int64]) -> bool:
    """Whether both sides have enough images of both classes."""
    counts = [np.bincount(labels[side], minlength=2) for side in (first, second)]
    return bool(np.min(counts) >= _FEWEST_IMAGES)
