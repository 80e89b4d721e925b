"""Splits of images by patient."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from featx.errors import UsageError
from featx.metrics.labels import check_of_rows

__all__ = ["hold_out", "patient_folds"]

Indices = npt.NDArray[np.int64]


def hold_out(
    y: npt.ArrayLike, groups: npt.ArrayLike, *, test_size: float = 0.2, random_state: int = 0
) -> tuple[Indices, Indices]:
    """Split images into training and test sets by patient, stratified by class.

    Unlike scikit-learn's ``GroupShuffleSplit`` it keeps class proportions, and unlike one fold of
    ``StratifiedGroupKFold`` it takes any `test_size`. Use it for a single test set, and
    `patient_folds` for cross-validation.

    Parameters
    ----------
    y : array-like of int or str, shape (n_images,)
        Class of each image.
    groups : array-like of int or str, shape (n_images,)
        Patient of each image.
    test_size : float, default=0.2
        Proportion of the images of each class in the test set, between 0 and 1, approximated by
        whole patients. A patient with images of several classes counts for the rarest.
    random_state : int, default=0
        Random seed.

    Returns
    -------
    train, test : ndarray of int64
        Indices of the images, ascending.

    Raises
    ------
    UsageError
        If `test_size` is not between 0 and 1, a label or a patient is missing, or a class has fewer
        than two patients.

    Examples
    --------
    >>> y = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> groups = list("aabbccdd")
    >>> train, test = hold_out(y, groups, test_size=0.5)
    >>> len(test), {groups[i] for i in train} & {groups[i] for i in test}
    (4, set())
    """
    if not 0 < test_size < 1:
        raise UsageError(f"test_size={test_size}: give a proportion between 0 and 1")
    y, groups = _checked(y, groups)
    _, patient_of_image = np.unique(groups, return_inverse=True)
    images_per_patient = np.bincount(patient_of_image)
    class_of_patient = _rarest_class(y, patient_of_image)
    generator = np.random.default_rng(random_state)
    chosen = np.zeros(len(images_per_patient), dtype=bool)
    for label in np.unique(class_of_patient):
        members = generator.permutation(np.flatnonzero(class_of_patient == label))
        running = np.cumsum(images_per_patient[members])
        nearest = int(np.argmin(np.abs(running - test_size * running[-1])))
        chosen[members[: min(nearest + 1, len(members) - 1)]] = True
    in_test = chosen[patient_of_image]
    for label in np.unique(y):
        if len(np.unique(in_test[y == label])) < 2:
            raise UsageError(
                f"class {label} has images of too few patients to be in training and test set; it "
                "needs at least 2, because a patient is never in both"
            )
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def _checked(y: npt.ArrayLike, groups: npt.ArrayLike) -> tuple[npt.NDArray, npt.NDArray]:
    n = len(np.asarray(y))
    return check_of_rows("labels", y, n), check_of_rows("patients", groups, n)


def _rarest_class(y: npt.NDArray, patient_of_image: npt.NDArray) -> npt.NDArray:
    classes, class_of_image, counts = np.unique(y, return_inverse=True, return_counts=True)
    has = np.zeros((patient_of_image.max() + 1, len(classes)), dtype=bool)
    has[patient_of_image, class_of_image] = True
    return classes[np.where(has, counts, len(y) + 1).argmin(axis=1)]


def patient_folds(
    y: npt.ArrayLike, groups: npt.ArrayLike, *, n_splits: int = 5, random_state: int = 0
) -> list[tuple[Indices, Indices]]:
    """Split images into cross-validation folds by patient, stratified by class.

    A shuffled ``StratifiedGroupKFold`` of scikit-learn with fewer folds where a class has few
    patients. The result can be given as ``cv`` to scikit-learn's searches.

    Parameters
    ----------
    y : array-like of int or str, shape (n_images,)
        Class of each image.
    groups : array-like of int or str, shape (n_images,)
        Patient of each image.
    n_splits : int, default=5
        Number of folds, at least 2; at most the number of patients of the smallest class is used.
    random_state : int, default=0
        Random seed.

    Returns
    -------
    list of (ndarray of int64, ndarray of int64)
        Indices of training and validation images, one pair per fold; every image is validated
        once.

    Raises
    ------
    UsageError
        If `n_splits` is less than 2, a label or a patient is missing, or a class has images of
        fewer than 2 patients.

    Examples
    --------
    >>> pairs = patient_folds([0, 0, 1, 1, 0, 1], list("abcdef"), n_splits=3)
    >>> sorted(int(i) for _, validation in pairs for i in validation)
    [0, 1, 2, 3, 4, 5]
    """
    y, groups = _checked(y, groups)
    if n_splits < 2:
        raise UsageError(f"{n_splits} folds: cross-validation needs 2 or more")
    fewest = min(len(np.unique(groups[y == label])) for label in np.unique(y))
    if fewest < 2:
        raise UsageError(
            "one class has images of a single patient; cross-validation needs at least 2 patients "
            "per class, because a patient is never in both training and validation images"
        )
    splitter = StratifiedGroupKFold(min(n_splits, fewest), shuffle=True, random_state=random_state)
    return [
        (np.asarray(training, dtype=np.int64), np.asarray(validation, dtype=np.int64))
        for training, validation in splitter.split(y, y, groups=groups)
    ]
