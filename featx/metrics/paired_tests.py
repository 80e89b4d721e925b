"""Paired tests of two classifiers on the same images, clustered by patient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from featx.errors import UsageError
from featx.metrics.intervals import (
    Floats,
    Integers,
    correlation,
    design_effect,
    effective_patients,
    number_patients,
    two_sided_quantile,
)
from featx.metrics.labels import check_binary, check_codes, check_of_rows, check_scores
from featx.metrics.ranking import added_variance, macro_auc_influence, macro_auc_interval, ranked

__all__ = ["ComparisonResult", "delong_test", "holm", "mcnemar_test", "paired_tests", "verdict"]


@dataclass(frozen=True)
class ComparisonResult:
    """Hold a tested difference between two classifiers.

    Parameters
    ----------
    difference : float
        The first classifier's value minus the second's.
    low, high : float
        Bounds of its confidence interval.
    p_value : float
        Two-sided p-value of the null hypothesis that the values are equal.
    """

    difference: float
    low: float
    high: float
    p_value: float


def delong_test(
    labels: npt.ArrayLike,
    scores_a: npt.ArrayLike,
    scores_b: npt.ArrayLike,
    confidence: float = 0.95,
    patients: npt.ArrayLike | None = None,
) -> ComparisonResult:
    """Compare the areas under two ROC curves of the same images.

    Of more than two classes it is the mean area of each against the rest, as in
    `macro_auc_interval`: the influences of the classes are averaged before the variance is taken.

    DeLong's test [1]_, with Obuchowski's variance [2]_ where patients have several images. The
    interval is wider than the test says where a class has few patients, as in `auc_interval`: it
    has Student's t and, for the part in which the classifiers are uncorrelated, the variance of
    half an image ranked wrongly. Without it, 72 to 90 % of the intervals of 10 or 30 patients
    against 200 or 300 held a difference of areas above 0.96; so 92 % or more do. Where
    the variance of the difference is 0 although the classifiers rank the images differently (both
    separate the classes perfectly, say), the interval is built from those of the two areas [3]_,
    and the p-value belongs to it.

    Parameters
    ----------
    labels : array-like of bool or int, shape (n_images,)
        Which images are positive, as 0 and 1; of more than two classes, the class of each from 0.
    scores_a, scores_b : array-like of float, shape (n_images,) or (n_images, n_classes)
        The two classifiers' scores; higher means more likely positive, or of the column's class.
    confidence : float, default=0.95
        Coverage of the interval.
    patients : array-like, shape (n_images,), optional
        Patient of each image; by default each image has its own.

    Returns
    -------
    ComparisonResult
        Area of `scores_a` less that of `scores_b`; nan where a class has no image, and all but
        the difference where one has a single patient.

    Raises
    ------
    UsageError
        As `auc_interval`, and if the two have scores of different shapes.

    References
    ----------
    .. [1] DeLong ER, DeLong DM, Clarke-Pearson DL (1988). Comparing the areas under two or more
       correlated receiver operating characteristic curves. Biometrics 44:837-845.
    .. [2] Obuchowski NA (1997). Nonparametric analysis of clustered ROC curve data. Biometrics
       53:567-578.
    .. [3] Zou GY, Donner A (2008). Construction of confidence limits about effect measures: a
       general approach. Statistics in Medicine 27:1693-1702.

    Examples
    --------
    >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> result = delong_test(labels, [1, 2, 3, 5, 4, 6, 7, 8], [5, 2, 4, 1, 3, 6, 8, 7])
    >>> round(result.difference, 4), round(result.p_value, 3)
    (0.0625, 0.643)
    """
    first, second = (
        check_scores(scores, len(np.asarray(labels)), (1, 2)) for scores in (scores_a, scores_b)
    )
    if first.shape != second.shape:
        raise UsageError(
            f"the classifiers have scores of shapes {first.shape} and {second.shape}; give both "
            "for the same images and classes"
        )
    alone = first.ndim == 1
    truth = check_binary(labels).astype(np.int64) if alone else check_codes(labels, first.shape[1])
    numbers = number_patients(patients, len(truth))
    area_a, influence_a = macro_auc_influence(truth, first, numbers)
    area_b, influence_b = macro_auc_influence(truth, second, numbers)
    difference = area_a - area_b
    contrast = influence_a - influence_b
    variance = float(contrast @ contrast)
    quantile = two_sided_quantile(confidence)
    if math.isnan(variance):
        return ComparisonResult(difference, math.nan, math.nan, math.nan)
    if variance > 1e-20:
        error = math.sqrt(variance)
        half = _half_width(truth, (influence_a, influence_b), variance, numbers, confidence)
        low, high = max(-1.0, difference - half), min(1.0, difference + half)
        return ComparisonResult(difference, low, high, _two_sided(difference / error))
    if np.array_equal(stats.rankdata(first, axis=0), stats.rankdata(second, axis=0)):
        return ComparisonResult(0.0, 0.0, 0.0, 1.0)
    a = macro_auc_interval(truth, first, confidence, numbers)
    b = macro_auc_interval(truth, second, confidence, numbers)
    below = math.hypot(a.value - a.low, b.high - b.value)
    above = math.hypot(a.high - a.value, b.value - b.low)
    error = (below if difference > 0 else above) / quantile
    p_value = _two_sided(difference / error)
    return ComparisonResult(difference, difference - below, difference + above, p_value)


def mcnemar_test(
    labels: npt.ArrayLike,
    predicted_a: npt.ArrayLike,
    predicted_b: npt.ArrayLike,
    confidence: float = 0.95,
    patients: npt.ArrayLike | None = None,
) -> ComparisonResult:
    """Compare the accuracies of two classifiers on the same images.

    McNemar's test in its mid-p form: exact, but for counting half of the observed outcome's own
    probability. Neither is it too strict, as the exact test and the continuity correction are, nor,
    for all practical purposes, too lax, with few discordant images as with many [1]_. Equal
    accuracies have a p-value of 1.

    Where patients have several images, all images of a patient change sides together: the null
    hypothesis is that the sign of each patient's difference in correct predictions is random. With
    one image per patient, that is McNemar's hypothesis.

    The interval is Bonett and Price's [2]_, with counts divided by the design effect where
    patients have several images. Near 5 % it may disagree with the p-value.

    Parameters
    ----------
    labels, predicted_a, predicted_b : array-like, shape (n_images,)
        True classes, and the classes that the two classifiers predict.
    confidence, patients
        As in `delong_test`.

    Returns
    -------
    ComparisonResult
        Accuracy of `predicted_a` less that of `predicted_b`; nan without images.

    Raises
    ------
    UsageError
        If the three differ in length, a value or a patient is missing, or some are names of
        classes and others are numbers.

    References
    ----------
    .. [1] Fagerland MW, Lydersen S, Laake P (2013). The McNemar test for binary matched-pairs
       data: mid-p and asymptotic are better than exact conditional. BMC Medical Research
       Methodology 13:91.
    .. [2] Bonett DG, Price RM (2012). Adjusted Wald confidence interval for a difference of
       binomial proportions based on paired data. Journal of Educational and Behavioral Statistics
       37:479-488.

    Examples
    --------
    >>> result = mcnemar_test([1] * 10, [1] * 9 + [0], [1] * 3 + [0] * 6 + [1])
    >>> result.difference, round(result.p_value, 4)
    (0.5, 0.0703)
    """
    given = {"labels": labels, "predicted_a": predicted_a, "predicted_b": predicted_b}
    size = len(np.asarray(labels))
    truth, *calls = (check_of_rows(what, values, size) for what, values in given.items())
    if len({array.dtype.kind in "US" for array in (truth, *calls)}) > 1:
        raise UsageError(
            "some of labels, predicted_a and predicted_b are names of classes and others are "
            "numbers; give all as names or all as indices"
        )
    correct_a, correct_b = (array == truth for array in calls)
    gained = correct_a.astype(np.float64) - correct_b
    n = len(gained)
    if n == 0:
        return ComparisonResult(math.nan, math.nan, math.nan, math.nan)
    numbers = number_patients(patients, n)
    of_patients = np.rint(np.bincount(numbers, weights=gained)).astype(np.int64)
    if np.array_equal(predicted_a, predicted_b):
        return ComparisonResult(0.0, 0.0, 0.0, 1.0)
    low, high = _bonett_price(gained, design_effect(gained, numbers), confidence)
    return ComparisonResult(float(gained.mean()), low, high, _sign_flip_mid_p(of_patients))


def paired_tests(
    labels: npt.ArrayLike,
    probabilities_a: npt.ArrayLike,
    probabilities_b: npt.ArrayLike,
    predicted_a: npt.ArrayLike,
    predicted_b: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
) -> dict[str, ComparisonResult]:
    """Compare AUC and accuracy of two classifiers on the same images.

    ``"auc"`` is compared by `delong_test` and ``"accuracy"`` by `mcnemar_test`; correct the
    p-values of several comparisons by `holm`. Labels and predicted classes are indices.

    Examples
    --------
    >>> labels, a, b = [0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], [0.1, 0.7, 0.6, 0.9]
    >>> tables = [np.column_stack([1 - np.array(p), p]) for p in (a, b)]
    >>> tests = paired_tests(labels, *tables, [0, 0, 1, 1], [0, 1, 1, 1])
    >>> tests["auc"].difference, tests["accuracy"].difference
    (0.25, 0.25)
    """
    scores = ranked(np.asarray(probabilities_a)), ranked(np.asarray(probabilities_b))
    return {
        "auc": delong_test(labels, *scores, patients=patients),
        "accuracy": mcnemar_test(labels, predicted_a, predicted_b, patients=patients),
    }


def holm(p_values: npt.ArrayLike) -> Floats:
    """Adjust p-values for their number, after Holm.

    Parameters
    ----------
    p_values : array-like of float, shape (n_tests,)
        nan where a test could not be done; such tests are not counted.

    Returns
    -------
    ndarray of float64, shape (n_tests,)
        In the given order, nan where `p_values` are. Rejecting those under 0.05 keeps the chance
        of any false rejection under 5 %.

    References
    ----------
    Holm S (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal
    of Statistics 6:65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(4)
    array([0.03, 0.06, 0.06])
    """
    given = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(given.shape, np.nan)
    done = np.flatnonzero(~np.isnan(given))
    order = done[np.argsort(given[done], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(given[order] * factors))
    return adjusted


def verdict(difference: float, p_value: float, alpha: float = 0.05) -> str:
    """Return the verdict on a difference of a figure of which more is better, in words.

    Examples
    --------
    >>> verdict(0.03, p_value=0.004), verdict(-0.03, p_value=0.004), verdict(0.03, p_value=0.2)
    ('better', 'worse', 'no difference shown')
    """
    if not p_value < alpha or difference == 0:
        return "no difference shown"
    return "better" if difference > 0 else "worse"


def _half_width(
    truth: Integers,
    influences: tuple[Floats, Floats],
    variance: float,
    numbers: Integers,
    confidence: float,
) -> float:
    """Return half the width of the interval of a difference in area."""
    apart = 1 - max(0.0, correlation(*influences))
    classes = np.unique(truth)
    alone = [truth == each for each in (classes[1:] if len(classes) == 2 else classes)]
    added = sum(added_variance(positive, numbers) for positive in alone) / len(alone) ** 2
    fewest = min(effective_patients(numbers[truth == each]) for each in classes)
    quantile = two_sided_quantile(confidence, max(1.0, fewest - 1))
    return quantile * math.sqrt(variance + apart * added)


def _two_sided(z: float) -> float:
    return float(2 * special.ndtr(-abs(z)))


def _bonett_price(gained: Floats, effect: float, confidence: float) -> tuple[float, float]:
    n = len(gained) / effect
    only_a = (np.count_nonzero(gained > 0) / effect + 1) / (n + 2)
    only_b = (np.count_nonzero(gained < 0) / effect + 1) / (n + 2)
    middle = only_a - only_b
    half = two_sided_quantile(confidence) * math.sqrt((only_a + only_b - middle**2) / (n + 2))
    return max(-1.0, middle - half), min(1.0, middle + half)


def _sign_flip_mid_p(differences: Integers) -> float:
    """Return the two-sided mid-p of a sum with random signs."""
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    # Distribution of the sum of the sizes of those with a positive sign, size after size.
    distribution = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        spread = np.zeros(size * count + 1)
        spread[::size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        distribution = np.convolve(distribution, spread)
    total = len(distribution) - 1
    reached = (total + abs(int(differences.sum()))) // 2
    tail = float(distribution[reached + 1 :].sum() + distribution[reached] / 2)
    return min(1.0, 2 * tail)
