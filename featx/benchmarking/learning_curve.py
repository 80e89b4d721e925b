"""Refits of a finished row with its chosen settings: other folds, and fewer patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from featx.benchmarking.result_cache import Row
from featx.classifiers.decision_scores import average_views, one_vs_rest_auc, pipeline_scores
from featx.classifiers.registry import get_classifier
from featx.classifiers.search import Search
from featx.classifiers.training_set import TrainingSet
from featx.features.matrix import FeatureMatrix
from featx.metrics.ranking import macro_auc_interval

__all__ = ["CURVE_SHARES", "curve_point", "patient_share", "repeated_auc"]

CURVE_SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)

# A model of fewer says nothing of the images.
_FEWEST_PATIENTS = 5


def repeated_auc(row: Row, train: FeatureMatrix, random_state: int) -> float:
    """Cross-validate a row's chosen settings by patient once more, on other folds."""
    training = _training_set(train)
    folds = training.folds(row["settings"]["folds"], random_state)
    search = Search(
        get_classifier(row["classifier"]), training, folds, random_state, len(train), None
    )
    scores = search.out_of_fold(row["settings"]["chosen"])
    return one_vs_rest_auc(training.labels, scores)


def curve_point(
    row: Row, train: FeatureMatrix, test: FeatureMatrix, share: float, random_state: int
) -> dict[str, Any] | None:
    """Fit a row's chosen settings on a share of the training patients, and score the test images.

    Settings are not searched again, so a small share borrows from all patients; the point says
    what more images bring, not what a search on so few would find.
    """
    chosen = patient_share(train.labels, train.patients, share, random_state)
    patients, labels = train.patients[chosen], train.labels[chosen]
    per_class = [
        len(np.unique(patients[labels == label])) for label in range(len(train.class_names))
    ]
    if min(per_class) < _FEWEST_PATIENTS:
        return None
    training = _training_set(train.select_images(chosen))
    parameters = dict(row["settings"]["chosen"])
    if "n_neighbors" in parameters:
        parameters["n_neighbors"] = min(parameters["n_neighbors"], len(training.X))
    record = get_classifier(row["classifier"])
    pipeline = Search(record, training, [], random_state, len(training.X), None).fit(parameters)
    scores = average_views(pipeline_scores(pipeline, test.X), test.image, test.n_images)
    area = macro_auc_interval(test.labels, scores, patients=test.patients)
    return {
        "name": row["name"],
        "n_patients": len(np.unique(patients)),
        "n_images": len(chosen),
        "auc": area.value,
        "auc_low": area.low,
        "auc_high": area.high,
    }


def patient_share(
    labels: npt.NDArray[np.int64], patients: npt.NDArray[np.str_], share: float, random_state: int
) -> npt.NDArray[np.int64]:
    """Take a share of the patients of each class, with all their images.

    Parameters
    ----------
    labels : ndarray of int64, shape (n_images,)
        Classes.
    patients : ndarray of str, shape (n_images,)
        Whose image it is; who has images of several classes counts as of the first one's.

    Examples
    --------
    >>> owners = np.array(list("aabcd"))
    >>> patient_share(np.array([0, 0, 0, 1, 1]), owners, 0.5, random_state=0).tolist()
    [0, 1, 3]
    """
    _, first, number = np.unique(patients, return_index=True, return_inverse=True)
    class_of_patient = labels[first]
    taken = np.zeros(len(first), dtype=bool)
    generator = np.random.default_rng(random_state)
    for label in np.unique(class_of_patient):
        members = generator.permutation(np.flatnonzero(class_of_patient == label))
        taken[members[: int(np.ceil(share * len(members)))]] = True
    return np.flatnonzero(taken[number])


def _training_set(matrix: FeatureMatrix) -> TrainingSet:
    classes = np.array(matrix.class_names, dtype=np.str_)
    return TrainingSet(matrix.X, matrix.image, matrix.labels, matrix.patients, classes)
