"""Splits that keep every patient on one side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from featx.errors import UsageError

__all__ = ["hold_out", "patient_folds"]

Indices = npt.NDArray[np.int64]


def hold_out(
    labels: npt.ArrayLike, patients: npt.ArrayLike, *, test_size: float = 0.2, random_state: int = 0
) -> tuple[Indices, Indices]:
    """Set a share of the patients of each class aside.

    Parameters
    ----------
    labels : array-like of int, shape (n_images,)
        Class of each image.
    patients : array-like of str, shape (n_images,)
        Whose image it is.
    test_size : float, default=0.2
        Share of the images of each class to set aside, between 0 and 1; met as nearly as whole
        patients allow. A patient with images of several classes counts as of the rarest.
    random_state : int, default=0
        Which patients; the same seed gives the same ones.

    Returns
    -------
    kept, aside : ndarray of int64
        Indices of the images on either side, ascending.

    Raises
    ------
    UsageError
        If `test_size` is not between 0 and 1, or a class has fewer than two patients.

    Examples
    --------
    >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> patients = list("aabbccdd")
    >>> kept, aside = hold_out(labels, patients, test_size=0.5)
    >>> len(aside), {patients[i] for i in kept} & {patients[i] for i in aside}
    (4, set())
    """
    if not 0 < test_size < 1:
        raise UsageError(
            f"the share of images to hold out is {test_size}; give one between 0 and 1"
        )
    labels = np.asarray(labels)
    _, patient_of_image = np.unique(np.asarray(patients), return_inverse=True)
    images_per_patient = np.bincount(patient_of_image)
    class_of_patient = _rarest_class(labels, patient_of_image)
    generator = np.random.default_rng(random_state)
    chosen = np.zeros(len(images_per_patient), dtype=bool)
    for label in np.unique(class_of_patient):
        members = generator.permutation(np.flatnonzero(class_of_patient == label))
        running = np.cumsum(images_per_patient[members])
        nearest = int(np.argmin(np.abs(running - test_size * running[-1])))
        chosen[members[: min(nearest + 1, len(members) - 1)]] = True
    aside = chosen[patient_of_image]
    for label in np.unique(labels):
        if len(np.unique(aside[labels == label])) < 2:
            raise UsageError(
                f"class number {label} has images of too few patients to stand on both sides of a "
                "split; it needs at least 2, because no patient may stand on both"
            )
    return np.flatnonzero(~aside), np.flatnonzero(aside)


def _rarest_class(labels: npt.NDArray, patient_of_image: npt.NDArray) -> npt.NDArray:
    classes, class_of_image, counts = np.unique(labels, return_inverse=True, return_counts=True)
    has = np.zeros((patient_of_image.max() + 1, len(classes)), dtype=bool)
    has[patient_of_image, class_of_image] = True
    return classes[np.where(has, counts, len(labels) + 1).argmin(axis=1)]


def patient_folds(
    labels: npt.ArrayLike, patients: npt.ArrayLike, *, folds: int = 5, random_state: int = 0
) -> list[tuple[Indices, Indices]]:
    """Cut images into cross-validation folds by patient, with class shares kept alike.

    Parameters
    ----------
    labels : array-like of int, shape (n_images,)
        Class of each image.
    patients : array-like of str, shape (n_images,)
        Whose image it is.
    folds : int, default=5
        How many; fewer where the smallest class has fewer patients.
    random_state : int, default=0
        Which patients go together.

    Returns
    -------
    list of (training, validation)
        Indices of the images, one pair a fold; every image is validated once.

    Raises
    ------
    UsageError
        If fewer than 2 folds are asked for, or a class has images of fewer than 2 patients.

    Examples
    --------
    >>> pairs = patient_folds([0, 0, 1, 1, 0, 1], list("abcdef"), folds=3)
    >>> sorted(int(i) for _, validation in pairs for i in validation)
    [0, 1, 2, 3, 4, 5]
    """
    labels, patients = np.asarray(labels), np.asarray(patients)
    if folds < 2:
        raise UsageError(f"cross-validation with {folds} folds is none; ask for 2 or more")
    fewest = min(len(np.unique(patients[labels == label])) for label in np.unique(labels))
    if fewest < 2:
        raise UsageError(
            "one class has images of a single patient; cross-validation needs at least 2 patients "
            "in each class, because no patient may stand on both sides"
        )
    splitter = StratifiedGroupKFold(min(folds, fewest), shuffle=True, random_state=random_state)
    return [
        (np.asarray(training, dtype=np.int64), np.asarray(validation, dtype=np.int64))
        for training, validation in splitter.split(labels, labels, groups=patients)
    ]
