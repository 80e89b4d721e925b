"""The area under the ROC curve and its variance, after DeLong."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from featx.metrics.intervals import (
    Floats,
    Integers,
    Interval,
    extreme_interval,
    logit_interval,
    number_patients,
)
from featx.metrics.labels import check_binary, check_codes, check_scores

__all__ = ["auc_influence", "auc_interval", "macro_auc_influence", "macro_auc_interval", "ranked"]


def auc_interval(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    confidence: float = 0.95,
    patients: npt.ArrayLike | None = None,
) -> Interval:
    """Return the area under the ROC curve with its interval.

    The variance is DeLong's, found by ranks in O(n log n) [1]_ [2]_, and Obuchowski's [3]_
    where patients have several images. The interval is symmetric on the logit scale, so that it
    stays within 0 and 1 and keeps its coverage near 1 [4]_.

    Three cases have a variance of 0 or none. (a) Perfect separation: with m positive and n
    negative patients, min(m, n) pairs of different people can be formed, which are independent
    trials that were all won; the lower bound is therefore Clopper and Pearson's
    ``((1 - confidence) / 2) ** (1 / min(m, n))``. It is safe rather than sharp. An area of 0 is
    its mirror. (b) The same score for every image, and (c) a class with one patient only: the
    variance is Hanley and McNeil's [5]_ with the numbers of patients.

    Parameters
    ----------
    labels : array-like of bool or of 0 and 1, shape (n_images,)
        Which images are positive.
    scores : array-like of float, shape (n_images,)
        Higher means more likely positive; ties count half.
    confidence : float, default=0.95
        Coverage of the interval.
    patients : array-like, shape (n_images,), optional
        Patient of each image; by default each image has its own.

    Returns
    -------
    Interval
        Undefined where a class has no image.

    Raises
    ------
    UsageError
        If a label is neither 0 nor 1, a score is NaN, or a patient is missing.

    References
    ----------
    .. [1] DeLong ER, DeLong DM, Clarke-Pearson DL (1988). Comparing the areas under two or more
       correlated receiver operating characteristic curves. Biometrics 44:837-845.
    .. [2] Sun X, Xu W (2014). Fast implementation of DeLong's algorithm. IEEE Signal Processing
       Letters 21:1389-1393.
    .. [3] Obuchowski NA (1997). Nonparametric analysis of clustered ROC curve data. Biometrics
       53:567-578.
    .. [4] Pepe MS (2003). The statistical evaluation of medical tests for classification and
       prediction, section 5.2. Oxford University Press.
    .. [5] Hanley JA, McNeil BJ (1982). The meaning and use of the area under a receiver
       operating characteristic (ROC) curve. Radiology 143:29-36.

    Examples
    --------
    >>> print(auc_interval([0, 0, 0, 0, 1, 1, 1, 1], [1, 2, 3, 5, 4, 6, 7, 8]))
    0.938 (0.438 to 0.997)
    >>> print(auc_interval([0, 0, 0, 0, 1, 1, 1, 1], [1, 2, 3, 4, 5, 6, 7, 8]))
    1.000 (0.398 to 1.000)
    """
    positive = check_binary(labels)
    numbers = number_patients(patients, len(positive))
    area, influence = auc_influence(positive, check_scores(scores, len(positive)), numbers)
    if math.isnan(area):
        return Interval.undefined()
    n_positive, n_negative = (len(np.unique(numbers[side])) for side in (positive, ~positive))
    if area in (0.0, 1.0):
        return extreme_interval(area, min(n_positive, n_negative), confidence)
    variance = float(influence @ influence)
    if not variance > 0:
        variance = _hanley_mcneil_variance(area, n_positive, n_negative)
    return logit_interval(area, variance, confidence)


def macro_auc_interval(
    labels: npt.ArrayLike,
    scores: Floats,
    confidence: float = 0.95,
    patients: npt.ArrayLike | None = None,
) -> Interval:
    """Return the macro-averaged one-vs-rest area under the ROC curve.

    The areas of the classes come from the same patients: their influences are averaged before the
    variance is taken. Where that is 0, the bounds are the means of the bounds of the classes.

    Parameters
    ----------
    labels : array-like of int, shape (n_images,)
        Classes from 0.
    scores : ndarray of float64, shape (n_images,) or (n_images, n_classes)
        Higher means more likely of class 1, or of the column's class; any scale.
    confidence, patients
        As in `auc_interval`.

    Returns
    -------
    Interval
        Undefined where a class has no image.

    Examples
    --------
    >>> labels = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    >>> scores = np.eye(3)[[0, 0, 1, 1, 1, 0, 2, 2, 2]]
    >>> print(macro_auc_interval(labels, scores))
    0.833 (0.494 to 0.962)
    """
    if scores.ndim == 1:
        return auc_interval(labels, scores, confidence, patients)
    truth = check_codes(labels, scores.shape[1])
    numbers = number_patients(patients, len(truth))
    _, influence = macro_auc_influence(truth, scores, numbers)
    variance = float(influence @ influence)
    areas = [
        auc_interval(truth == label, column, confidence, numbers)
        for label, column in enumerate(scores.T)
    ]
    value, low, high = np.mean([(area.value, area.low, area.high) for area in areas], axis=0)
    if variance > 0:
        return logit_interval(float(value), variance, confidence)
    return Interval(float(value), float(low), float(high))


def auc_influence(
    positive: npt.NDArray[np.bool_], scores: Floats, patients: Integers
) -> tuple[float, Floats]:
    """Return the ROC AUC and each patient's influence on it.

    The sum of squares of one classifier's influences is the variance of its area; the sum of
    products of two classifiers' influences is the covariance of theirs. With one image per patient
    both are DeLong's; otherwise Obuchowski's, but for a factor (number of patients over one less)
    of the term for patients who have images of both classes.

    Parameters
    ----------
    positive : ndarray of bool, shape (n_images,)
        Which images are positive.
    scores : ndarray of float64, shape (n_images,)
        Higher means more likely positive.
    patients : ndarray of int64, shape (n_images,)
        Number of the patient of each image.

    Returns
    -------
    area : float
        nan where a class has no image.
    influence : ndarray of float64, shape (n_patients,)
        nan where a class has fewer than two patients.

    Examples
    --------
    >>> positive = np.array([False, False, True, True])
    >>> area, influence = auc_influence(positive, np.array([1.0, 3.0, 2.0, 4.0]), np.arange(4))
    >>> area, round(float(influence @ influence), 6)
    (0.75, 0.125)
    """
    n_patients = int(patients.max()) + 1 if len(patients) else 0
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return math.nan, np.full(n_patients, math.nan)
    ranks = stats.rankdata(scores)
    # Proportion of the other class on the right side of each image: DeLong's structural components.
    beaten = (ranks[positive] - stats.rankdata(scores[positive])) / n_negative
    beating = 1 - (ranks[~positive] - stats.rankdata(scores[~positive])) / n_positive
    area = float(beaten.mean())
    influence = np.zeros(n_patients)
    for side, components in ((positive, beaten), (~positive, beating)):
        members = len(np.unique(patients[side]))
        if members < 2:
            return area, np.full(n_patients, math.nan)
        residuals = (components - area) / len(components)
        influence += math.sqrt(members / (members - 1)) * np.bincount(
            patients[side], weights=residuals, minlength=n_patients
        )
    return area, influence


def macro_auc_influence(
    labels: Integers, scores: Floats, patients: Integers
) -> tuple[float, Floats]:
    """Return the macro-averaged AUC and each patient's influence on it.

    Parameters
    ----------
    labels, scores
        As in `macro_auc_interval`.
    patients : ndarray of int64, shape (n_images,)
        Number of the patient of each image.

    Returns
    -------
    area, influence
        As of `auc_influence`; nan where they are nan of any class.
    """
    if scores.ndim == 1:
        return auc_influence(labels == 1, scores, patients)
    found = [
        auc_influence(labels == label, column, patients) for label, column in enumerate(scores.T)
    ]
    areas, influences = zip(*found, strict=True)
    return float(np.mean(areas)), np.mean(influences, axis=0)


def ranked(probabilities: Floats) -> Floats:
    """Return the columns to rank: the second of two, otherwise all.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_images, n_classes)
        Of each class.
    """
    return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities


def _hanley_mcneil_variance(area: float, n_positive: int, n_negative: int) -> float:
    both_above = area / (2 - area)
    above_both = 2 * area**2 / (1 + area)
    return (
        area * (1 - area)
        + (n_positive - 1) * (both_above - area**2)
        + (n_negative - 1) * (above_both - area**2)
    ) / (n_positive * n_negative)
