"""Figures of any model with intervals clustered by patient: arrays in, intervals out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.metrics._labeled import LabeledImages, check_probabilities
from featx.metrics._one_vs_rest import proportion_influence, proportion_influences
from featx.metrics.decision import net_benefit as net_benefits
from featx.metrics.intervals import (
    Interval,
    correlation,
    difference_interval,
    mean_interval,
    proportion_interval,
)
from featx.metrics.paired_tests import ComparisonResult, delong_test, holm, mcnemar_test
from featx.metrics.ranking import auc_interval
from featx.metrics.resampled import TwoWayTask
from featx.metrics.scores import evaluate

__all__ = [
    "Calibration",
    "auc",
    "balanced_accuracy",
    "brier",
    "calibration",
    "compare",
    "net_benefit",
    "sensitivity",
    "specificity",
]


@dataclass(frozen=True)
class Calibration:
    """Hold how far probabilities agree with outcomes.

    Parameters
    ----------
    intercept, slope : Interval
        Of a logistic regression of the outcome on the log-odds: best 0 and 1
        (`featx.metrics.reliability.calibration_fit`).
    expected_error : Interval
        Expected calibration error of ten bins of equal width; best 0.
    """

    intercept: Interval
    slope: Interval
    expected_error: Interval


def auc(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    pos_label: Any = None,
    level: float = 0.95,
) -> Interval:
    """Return the area under the ROC curve with its interval.

    Parameters
    ----------
    y_true : array-like, shape (n_images,)
        Class of each image: 0 and 1, False and True, or names.
    y_score : array-like of float, shape (n_images,)
        Higher means more likely positive; any scale.
    groups : array-like, shape (n_images,), optional
        Patient of each image; by default each image has its own.
    pos_label : object, optional
        Positive class; by default the last of two in sorted order. Required with more classes, of
        which it is compared with the rest.
    level : float, default=0.95
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    Interval
        As `featx.metrics.ranking.auc_interval`: DeLong's variance, with patients Obuchowski's.

    Raises
    ------
    UsageError
        If lengths differ, a value is missing, or a class that is needed has no image.

    Examples
    --------
    >>> y_true = ["ill", "well", "well", "ill", "well", "ill", "well", "well"]
    >>> y_score = [0.9, 0.2, 0.4, 0.7, 0.1, 0.3, 0.2, 0.6]
    >>> print(auc(y_true, y_score, pos_label="ill", groups=list("aabbccdd")))
    0.867 (0.330 to 0.987)
    """
    images = LabeledImages.of(y_true, groups, pos_label, level)
    images.check_both()
    return auc_interval(images.positive, y_score, level, images.patients)


def sensitivity(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    threshold: float | None = None,
    groups: npt.ArrayLike | None = None,
    pos_label: Any = None,
    level: float = 0.95,
) -> Interval:
    """Return the proportion of positive images predicted as positive, with its interval.

    Parameters
    ----------
    y_true, groups, pos_label, level
        As in `auc`.
    y_pred : array-like, shape (n_images,)
        Predicted class of each image, named as in `y_true`; or with `threshold`, a score.
    threshold : float, optional
        Least score at which an image is predicted as positive.

    Returns
    -------
    Interval
        Wilson's, clustered by patient (`featx.metrics.intervals.proportion_interval`).

    Examples
    --------
    >>> print(sensitivity([0, 0, 1, 1], [0, 1, 1, 1]))
    1.000 (0.342 to 1.000)
    """
    images = LabeledImages.of(y_true, groups, pos_label, level)
    return images.proportion(images.predicted(y_pred, threshold), images.positive)


def specificity(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    threshold: float | None = None,
    groups: npt.ArrayLike | None = None,
    pos_label: Any = None,
    level: float = 0.95,
) -> Interval:
    """Return the proportion of negative images predicted as negative, with its interval.

    Parameters and interval are those of `sensitivity`.

    Examples
    --------
    >>> print(specificity([0, 0, 1, 1], [0, 1, 1, 1]))
    0.500 (0.095 to 0.905)
    """
    images = LabeledImages.of(y_true, groups, pos_label, level)
    return images.proportion(~images.predicted(y_pred, threshold), ~images.positive)


def balanced_accuracy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    threshold: float | None = None,
    groups: npt.ArrayLike | None = None,
    pos_label: Any = None,
    level: float = 0.95,
) -> Interval:
    """Return the mean of sensitivity and specificity, with an interval made from theirs.

    Parameters are those of `sensitivity`; see `featx.metrics.intervals.mean_interval`.

    Examples
    --------
    >>> print(balanced_accuracy([0, 0, 1, 1], [0, 1, 1, 1]))
    0.750 (0.364 to 0.953)
    """
    images = LabeledImages.of(y_true, groups, pos_label, level)
    images.check_both()
    called = images.predicted(y_pred, threshold)
    task = TwoWayTask(images.positive, called.astype(np.float64), called)
    names = ("sensitivity", "specificity")
    parts = [images.proportion(*task.proportions[name]) for name in names]
    return mean_interval(parts, proportion_influences([task], names, images.patients))


def brier(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    pos_label: Any = None,
    level: float = 0.95,
) -> Interval:
    """Return the Brier score, the mean squared error of probabilities, with its interval.

    Parameters
    ----------
    y_true, groups, pos_label, level
        As in `auc`.
    y_prob : array-like of float, shape (n_images,)
        Probability of the positive class, 0 to 1.

    Returns
    -------
    Interval
        From resamples of patients, as in `featx.metrics.scores.evaluate`.

    Examples
    --------
    >>> print(brier([0, 0, 1, 1], [0.2, 0.6, 0.7, 0.9]))
    0.125 (0.042 to 0.320)
    """
    return _resampled(y_true, y_prob, groups, pos_label, level)["brier"]


def calibration(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    pos_label: Any = None,
    level: float = 0.95,
) -> Calibration:
    """Return calibration intercept, slope and expected error with their intervals.

    Parameters are those of `brier`.

    Returns
    -------
    Calibration
        Intervals from resamples of patients; nan where a class is absent or separated.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> probability = generator.random(400)
    >>> found = calibration(generator.random(400) < probability, probability)
    >>> print(found.slope)
    1.046 (0.765 to 1.234)
    """
    found = _resampled(y_true, y_prob, groups, pos_label, level)
    names = ("calibration_intercept", "calibration_slope", "expected_calibration_error")
    return Calibration(*(found[name] for name in names))


def net_benefit(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    threshold: float,
    *,
    groups: npt.ArrayLike | None = None,
    pos_label: Any = None,
    level: float = 0.95,
) -> Interval:
    """Return the net benefit of acting from a threshold probability on, with its interval.

    The interval is made from Wilson's intervals of the proportions of true and of false positives,
    with the correlation that patients give (`featx.metrics.intervals.difference_interval`).

    Parameters
    ----------
    y_true, groups, pos_label, level
        As in `auc`.
    y_prob : array-like of float, shape (n_images,)
        Probability of the positive class, 0 to 1.
    threshold : float
        Threshold probability, at least 0 and under 1.

    Returns
    -------
    Interval
        In true positives an image, as `featx.metrics.decision.net_benefit`.

    Examples
    --------
    >>> print(net_benefit([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], 0.2))
    0.438 (0.013 to 0.819)
    """
    images = LabeledImages.of(y_true, groups, pos_label, level)
    probability = check_probabilities(y_prob, len(images.positive))
    value = float(net_benefits(images.positive, probability, [threshold])[0])
    weight, called = threshold / (1 - threshold), probability >= threshold
    hits, alarms = called & images.positive, called & ~images.positive
    tp, fp = (proportion_interval(each, images.patients, level) for each in (hits, alarms))
    costs = Interval(weight * fp.value, weight * fp.low, weight * fp.high)
    everyone = np.ones(len(probability), dtype=bool)
    influences = (proportion_influence(e, everyone, images.patients) for e in (hits, alarms))
    found = difference_interval(tp, costs, correlation(*influences))
    return replace(found, value=value)


def compare(
    y_true: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    threshold: float | tuple[float, float] | None = None,
    pos_label: Any = None,
    level: float = 0.95,
) -> dict[str, ComparisonResult]:
    """Test the differences between two models on the same images.

    Parameters
    ----------
    y_true, groups, pos_label, level
        As in `auc`.
    a, b : array-like of float, shape (n_images,)
        Scores of the two models; higher means more likely positive.
    threshold : float or (float, float), optional
        Least score, of each model, at which an image is predicted as positive. Without it, the AUC
        alone is compared.

    Returns
    -------
    dict of str to ComparisonResult
        Value of `a` minus that of `b`: ``"auc"`` by DeLong's test, and at a threshold
        ``"accuracy"``, ``"sensitivity"`` and ``"specificity"`` by McNemar's, all clustered by
        patient; p-values are adjusted by Holm for their number. With several other models, call it
        for each and adjust all p-values of the AUC by `holm`.

    Examples
    --------
    >>> y_true = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> tests = compare(y_true, [1, 2, 3, 5, 4, 6, 7, 8], [5, 2, 4, 1, 3, 6, 8, 7])
    >>> round(tests["auc"].difference, 4), round(tests["auc"].p_value, 3)
    (0.0625, 0.643)
    """
    images = LabeledImages.of(y_true, groups, pos_label, level)
    images.check_both()
    positive, patients = images.positive, images.patients
    tests = {"auc": delong_test(positive, a, b, level, patients)}
    if threshold is not None:
        cuts = threshold if isinstance(threshold, tuple) else (threshold, threshold)
        first, second = (images.predicted(s, cut) for s, cut in zip((a, b), cuts, strict=True))
        everyone = np.ones(len(positive), dtype=bool)
        sides = {"accuracy": everyone, "sensitivity": positive, "specificity": ~positive}
        for name, among in sides.items():
            of_side = (positive[among], first[among], second[among])
            tests[name] = mcnemar_test(*of_side, level, patients[among])
    adjusted = holm([test.p_value for test in tests.values()]).tolist()
    return {
        name: replace(test, p_value=p_value)
        for (name, test), p_value in zip(tests.items(), adjusted, strict=True)
    }


def _resampled(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    groups: npt.ArrayLike | None,
    pos_label: Any,
    level: float,
) -> dict[str, Interval]:
    """Return the figures of `evaluate`, whose intervals come from resamples."""
    images = LabeledImages.of(y_true, groups, pos_label, level)
    probability = check_probabilities(y_prob, len(images.positive))
    return evaluate(
        images.positive,
        np.column_stack([1 - probability, probability]),
        class_names=("negative", "positive"),
        patients=images.patients,
        confidence=level,
    ).metrics
