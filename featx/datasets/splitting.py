"""Splits of images by patient."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from featx.errors import UsageError
from featx.metrics.labels import check_of_rows

Indices = npt.NDArray[np.int64]


def hold_out(
    y: npt.ArrayLike, groups: npt.ArrayLike, *, test_size: float = 0.2, random_state: int = 0
) -> tuple[Indices, Indices]:
    """Split images into training and test sets by patient, stratified by class; return indices.

    Unlike scikit-learn's ``GroupShuffleSplit`` it keeps class proportions, and unlike one fold of
    ``StratifiedGroupKFold`` it takes any `test_size`, a proportion of the images of each class that
    whole patients approximate. A patient with images of several classes counts for the rarest.

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
    has = _classes_of_patients(y, patient_of_image)
    classes, counts = np.unique(y, return_counts=True)
    # Of patients with several classes, the rarest.
    class_of_patient = classes[np.where(has, counts, len(y) + 1).argmin(axis=1)]
    generator = np.random.default_rng(random_state)
    side = np.zeros(len(images_per_patient), dtype=np.int64)
    for label in np.unique(class_of_patient):
        members = generator.permutation(np.flatnonzero(class_of_patient == label))
        running = np.cumsum(images_per_patient[members])
        nearest = int(np.argmin(np.abs(running - test_size * running[-1])))
        side[members[: min(nearest + 1, len(members) - 1)]] = 1
    sides = _repair(side, has, images_per_patient, 2)
    if sides is None:
        raise _impossible(y, has, "training and test set")
    in_test = _leave_two(sides, has, images_per_patient)[patient_of_image] == 1
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def _checked(y: npt.ArrayLike, groups: npt.ArrayLike) -> tuple[npt.NDArray, npt.NDArray]:
    n = len(np.asarray(y))
    return check_of_rows("labels", y, n), check_of_rows("patients", groups, n)


def _classes_of_patients(y: npt.NDArray, patient_of_image: npt.NDArray) -> npt.NDArray[np.bool_]:
    """Return which patient has images of which class, shape (n_patients, n_classes)."""
    classes, class_of_image = np.unique(y, return_inverse=True)
    has = np.zeros((patient_of_image.max() + 1, len(classes)), dtype=bool)
    has[patient_of_image, class_of_image] = True
    return has


def _repair(
    fold: Indices, has: npt.NDArray[np.bool_], sizes: npt.NDArray[np.int64], n_folds: int
) -> Indices | None:
    """Move patients until no class is in one fold alone; None if there is no such partition.

    A class in one fold has a patient who must leave it. Each such patient is tried in each other
    fold, smallest first, and stays there in what follows, so that the search is exhaustive.
    """

    def search(fold: Indices, fixed: frozenset[int]) -> Indices | None:
        alone = next((m for m in members if (fold[m] == fold[m[0]]).all()), None)
        if alone is None:
            return fold
        # Patients of the same classes are interchangeable.
        candidates = {has[p].tobytes(): int(p) for p in alone[::-1] if int(p) not in fixed}
        for patient in sorted(candidates.values(), key=lambda p: (sizes[p], p)):
            for other in range(n_folds):
                if other != fold[patient]:
                    moved = fold.copy()
                    moved[patient] = other
                    found = search(moved, fixed | {patient})
                    if found is not None:
                        return found
        return None

    by_size = np.argsort(sizes, kind="stable")
    members = [by_size[of_class[by_size]] for of_class in has.T]
    members.sort(key=len)
    return None if len(members[0]) < 2 else search(fold, frozenset())


def _leave_two(side: Indices, has: npt.NDArray[np.bool_], sizes: npt.NDArray[np.int64]) -> Indices:
    """Move small patients to training, so that each class of three has two to cross-validate."""
    for patient in np.argsort(sizes, kind="stable"):
        testing = has[side == 1].sum(axis=0)
        short = (has.sum(axis=0) > 2) & (has[side == 0].sum(axis=0) < 2)
        if not short.any():
            break
        if side[patient] and (has[patient] & short).any() and (testing - has[patient]).all():
            side[patient] = 0
    return side


def _impossible(y: npt.NDArray, has: npt.NDArray[np.bool_], where: str) -> UsageError:
    patients = has.sum(axis=0)
    fewest = int(patients.argmin())
    if patients[fewest] < 2:
        return UsageError(
            f"class {np.unique(y)[fewest]} has images of a single patient, and each class needs "
            f"at least 2 to be in {where}, because a patient is never in both; add images of more "
            "patients, or drop the class"
        )
    return UsageError(
        f"no division of these {len(has)} patients has images of every class in {where}, because "
        "too many patients have images of several classes; add images of more patients"
    )


def patient_folds(
    y: npt.ArrayLike, groups: npt.ArrayLike, *, n_splits: int = 5, random_state: int = 0
) -> list[tuple[Indices, Indices]]:
    """Split images into cross-validation folds by patient, stratified by class.

    A shuffled ``StratifiedGroupKFold`` of scikit-learn with at most as many folds as the smallest
    class has patients, unless every class is in all training images only with more. Returns indices
    of training and validation images, as scikit-learn's searches take them as ``cv``.

    Examples
    --------
    >>> pairs = patient_folds([0, 0, 1, 1, 0, 1], list("abcdef"), n_splits=3)
    >>> sorted(int(i) for _, validation in pairs for i in validation)
    [0, 1, 2, 3, 4, 5]
    """
    y, groups = _checked(y, groups)
    if n_splits < 2:
        raise UsageError(f"{n_splits} folds: cross-validation needs 2 or more")
    _, patient_of_image = np.unique(groups, return_inverse=True)
    has = _classes_of_patients(y, patient_of_image)
    fewest = int(has.sum(axis=0).min())
    if fewest < 2:
        raise _impossible(y, has, "training and validation images")
    count = min(n_splits, fewest)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=random_state)
    fold = np.empty(len(has), dtype=np.int64)
    for number, (_, validation) in enumerate(splitter.split(y, y, groups=groups)):
        fold[patient_of_image[validation]] = number
    sizes = np.bincount(patient_of_image)
    # Where classes share their few patients, more folds may be possible though fewer are not.
    tries = (_repair(fold, has, sizes, k) for k in range(count, min(n_splits, len(has)) + 1))
    repaired = next((found for found in tries if found is not None), None)
    if repaired is None:
        raise _impossible(y, has, "the training images of each fold")
    of_image = repaired[patient_of_image]
    return [
        (np.flatnonzero(of_image != number), np.flatnonzero(of_image == number))
        for number in np.unique(repaired)
    ]
