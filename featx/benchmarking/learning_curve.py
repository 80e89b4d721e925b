"""Refits of a finished row with its chosen settings: on other folds, and on fewer patients."""

from __future__ import annotations

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
from featx.metrics.ranking import macro_auc_interval, ranked
from featx.reporting.records import BenchmarkRow

CURVE_PROPORTIONS = (0.1, 0.2, 0.4, 0.7, 1.0)

# Models fitted on fewer patients per class are not informative.
_FEWEST_PATIENTS = 5


@dataclass(frozen=True)
class Refit:
    """Fit of a row's chosen settings to some training images."""

    plan: FitPlan
    parameters: dict[str, Any]
    calibrated_by: str

    @classmethod
    def of(
        cls, row: BenchmarkRow, train: FeatureMatrix, images: npt.NDArray, config: FitConfig
    ) -> Refit:
        """Plan the fit to images at these positions."""
        training = TrainingSet.of(select_images(train, images, config))
        plan = plan_fits(get_classifier(row.classifier), training, config)
        return cls(plan, row.settings["chosen"], config.calibration)

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
        return calibrate(self.calibrated_by, self._out_of_fold, self.labels)

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
