"""The area under the ROC curve and its variance, after DeLong."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from featx.metrics.intervals import (
    Floats,
    Integers,
    Interval,
    effective_patients,
    mean_interval,
    number_patients,
    two_sided_quantile,
    without_one,
)
from featx.metrics.labels import check_binary, check_codes, check_scores

__all__ = [
    "added_variance",
    "auc_influence",
    "auc_interval",
    "interval_of_variances",
    "macro_auc_influence",
    "macro_auc_interval",
    "ranked",
]

# Of Newcombe's variance; normal scores have about so much of it near 1.
_ADDED = 0.8


def auc_interval(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    confidence: float = 0.95,
    patients: npt.ArrayLike | None = None,
) -> Interval:
    """Return the area under the ROC curve with its interval.

    The variance V is DeLong's, found by ranks in O(n log n) [1]_ [2]_; where patients have several
    images, Obuchowski's [3]_, by the jackknife. The bounds are those areas A that lie as far from
    the estimate as their own standard error times the quantile, as in Wilson's interval of a
    proportion. How the variance changes with the area is Newcombe's V0(A) [4]_, by which the area
    1, with a variance of 0, has an interval, too:

    (A - estimate)² = t² V0(A) (V + 0.8 V1) / (V0(estimate) + V1), with V1 = V0(1 - 0.5 / images)

    V1 is that of half an image of the rarer class ranked wrongly: near 1, the few wrong pairs say
    little of the variance. V0 takes the `effective_patients` m and n of the classes, and t has
    Satterthwaite's degrees of freedom for variances of m and n components. Simulation chose 0.5
    and 0.8, see ``scripts/bench/coverage.py``. Where V is 0 because all scores are the same, or
    unknown because a class has one patient, V0(A) itself is used.

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
    .. [4] Newcombe RG (2006). Confidence intervals for an effect size measure based on the
       Mann-Whitney statistic. Part 2: asymptotic methods and evaluation. Statistics in Medicine
       25:559-573; method 5.

    Examples
    --------
    >>> print(auc_interval([0, 0, 0, 0, 1, 1, 1, 1], [1, 2, 3, 5, 4, 6, 7, 8]))
    0.938 (0.464 to 0.996)
    >>> print(auc_interval([0, 0, 0, 0, 1, 1, 1, 1], [1, 2, 3, 4, 5, 6, 7, 8]))
    1.000 (0.527 to 1.000)
    """
    positive = check_binary(labels)
    numbers = number_patients(patients, len(positive))
    area, of_positive, of_negative = _sides(positive, check_scores(scores, len(positive)), numbers)
    if math.isnan(area):
        return Interval.undefined()
    m, n = (effective_patients(numbers[side]) for side in (positive, ~positive))
    both = of_positive + of_negative
    sides = float(of_positive @ of_positive), float(of_negative @ of_negative)
    rarer = min(int(positive.sum()), int((~positive).sum()))
    return interval_of_variances(area, float(both @ both), sides, (m, n), rarer, confidence)


def interval_of_variances(
    area: float,
    variance: float,
    sides: tuple[float, float],
    patients: tuple[float, float],
    rarer: float,
    confidence: float = 0.95,
) -> Interval:
    """Return the interval of `auc_interval` from the variance of the area.

    The variances `sides` are those by positive and by negative images, `patients` the effective
    numbers of those, and `rarer` is the number of images of the rarer class.
    """
    m, n = patients
    ratio, degrees = 1.0, math.inf
    if variance > 0 or (variance == 0 and area in (0.0, 1.0)):
        assumed = _newcombe_variance(1 - 0.5 / rarer, m, n)
        added = _ADDED * assumed
        ratio = (variance + added) / (_newcombe_variance(area, m, n) + assumed)
        first, second = sides[0] + added * n / (m + n), sides[1] + added * m / (m + n)
        degrees = (first + second) ** 2 / (first**2 / max(m - 1, 1) + second**2 / max(n - 1, 1))
    return _score_interval(area, ratio, two_sided_quantile(confidence, degrees), m, n)


def macro_auc_interval(
    labels: npt.ArrayLike,
    scores: Floats,
    confidence: float = 0.95,
    patients: npt.ArrayLike | None = None,
) -> Interval:
    """Return the macro-averaged one-vs-rest area under the ROC curve.

    The interval is made from those of the classes (`mean_interval`), whose areas are correlated
    because they come from the same patients.

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
    0.833 (0.468 to 0.966)
    """
    if scores.ndim == 1:
        return auc_interval(labels, scores, confidence, patients)
    truth = check_codes(labels, scores.shape[1])
    numbers = number_patients(patients, len(truth))
    areas = [
        auc_interval(truth == label, column, confidence, numbers)
        for label, column in enumerate(scores.T)
    ]
    influences = [
        auc_influence(truth == label, column, numbers)[1] for label, column in enumerate(scores.T)
    ]
    return mean_interval(areas, np.nan_to_num(influences))


def auc_influence(
    positive: npt.NDArray[np.bool_], scores: Floats, patients: Integers
) -> tuple[float, Floats]:
    """Return the ROC AUC and each patient's influence on it.

    The sum of squares of one classifier's influences is the variance of its area; the sum of
    products of two classifiers' influences is the covariance of theirs. With one image per patient
    both are DeLong's; otherwise Obuchowski's by the jackknife, which is unbiased also where
    patients have different numbers of images. Patients are numbered from 0. The area is nan where
    a class has no image, an influence where a class has fewer than two patients.

    Examples
    --------
    >>> positive = np.array([False, False, True, True])
    >>> area, influence = auc_influence(positive, np.array([1.0, 3.0, 2.0, 4.0]), np.arange(4))
    >>> area, round(float(influence @ influence), 6)
    (0.75, 0.125)
    """
    area, of_positive, of_negative = _sides(positive, scores, patients)
    return area, of_positive + of_negative


def _sides(
    positive: npt.NDArray[np.bool_], scores: Floats, patients: Integers
) -> tuple[float, Floats, Floats]:
    """Return the ROC AUC and each patient's influence by positive and by negative images."""
    n_patients = int(patients.max()) + 1 if len(patients) else 0
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    unknown = np.full(n_patients, math.nan)
    if n_positive == 0 or n_negative == 0:
        return math.nan, unknown, unknown
    ranks = stats.rankdata(scores)
    # Proportion of the other class on the right side of each image: DeLong's structural components.
    beaten = (ranks[positive] - stats.rankdata(scores[positive])) / n_negative
    beating = 1 - (ranks[~positive] - stats.rankdata(scores[~positive])) / n_positive
    area = float(beaten.mean())
    influences = []
    for side, components in ((positive, beaten), (~positive, beating)):
        if len(np.unique(patients[side])) < 2:
            return area, unknown, unknown
        found = without_one((components - area) / len(components), patients[side])
        influences.append(np.pad(found, (0, n_patients - len(found))))
    return area, influences[0], influences[1]


def macro_auc_influence(
    labels: Integers, scores: Floats, patients: Integers
) -> tuple[float, Floats]:
    """Return the macro-averaged AUC and each patient's influence on it, as `auc_influence` does.

    Both are nan where they are nan of any class.
    """
    if scores.ndim == 1:
        return auc_influence(labels == 1, scores, patients)
    found = [
        auc_influence(labels == label, column, patients) for label, column in enumerate(scores.T)
    ]
    areas, influences = zip(*found, strict=True)
    return float(np.mean(areas)), np.mean(influences, axis=0)


def ranked(probabilities: Floats) -> Floats:
    """Return the columns of class probabilities to rank: the second of two, otherwise all."""
    return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities


def added_variance(positive: npt.NDArray[np.bool_], patients: Integers) -> float:
    """Return the variance that half an image of the rarer class gives, ranked wrongly.

    Examples
    --------
    >>> round(added_variance(np.repeat([True, False], 10), np.arange(20)), 5)
    0.00221
    """
    m, n = (effective_patients(patients[side]) for side in (positive, ~positive))
    images = min(int(positive.sum()), int((~positive).sum()))
    return _ADDED * _newcombe_variance(1 - 0.5 / images, m, n)


def _newcombe_variance(area: float, m: float, n: float) -> float:
    """Return the variance that an area has under exponential scores, alike for either class."""
    others = (m + n) / 2 - 1
    shape = 1 + others * ((1 - area) / (2 - area) + area / (1 + area))
    return area * (1 - area) * shape / (m * n)


def _score_interval(area: float, ratio: float, quantile: float, m: float, n: float) -> Interval:
    """Return the areas whose squared distance from the estimate is their squared error."""

    def excess(other: float) -> float:
        return (other - area) ** 2 - quantile**2 * ratio * _newcombe_variance(other, m, n)

    inside = min(max(area, 1e-9), 1 - 1e-9)
    low = 0.0 if area == 0 else float(optimize.brentq(excess, 0.0, inside, xtol=1e-13))
    high = 1.0 if area == 1 else float(optimize.brentq(excess, inside, 1.0, xtol=1e-13))
    return Interval(area, low, high)
