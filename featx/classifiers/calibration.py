"""Probability calibration of out-of-fold image scores.

`sklearn.calibration` refits the classifier and does not know images, views or patients.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit, logit, softmax

Scores = npt.NDArray[np.float64]

# Beyond, a float64 probability rounds to 0 or 1, and no finite set of images shows that much.
_LARGEST_LOGIT = 30.0
_LEAST_PROBABILITY = 1e-6
_LEAST_PROBABILITY_BEFORE = 1e-9
_FLAT_SLOPE = 1e-3
_TIE_BREAK = 1e-3


class Calibration(Protocol):
    """Map from scores to calibrated log-odds."""

    def logits(self, scores: Scores) -> Scores:
        """Return log-odds; of more than two classes, unnormalized log-probabilities."""


@dataclass(frozen=True)
class NoCalibration:
    """No calibration: scores are used as log-odds."""

    def logits(self, scores: Scores) -> Scores:
        """Return the scores; of more than two classes, logarithms of one-vs-rest probabilities."""
        return scores if scores.ndim == 1 else log_expit(scores)


@dataclass(frozen=True)
class SigmoidCalibration:
    """Log-odds as an increasing linear function of the score; of two classes, the second's."""

    slope: npt.NDArray[np.float64]
    intercept: npt.NDArray[np.float64]

    def logits(self, scores: Scores) -> Scores:
        """Return calibrated log-odds."""
        if scores.ndim == 1:
            return scores * self.slope[0] + self.intercept[0]
        return log_expit(scores * self.slope + self.intercept)


@dataclass(frozen=True)
class IsotonicCalibration:
    """Probability as an increasing step function of the score, interpolated between steps.

    If `strict`, log-odds increase with the score on a step, too, by at most 2e-3 in all, so that
    the ranking of images, and their AUC, stays as it is.
    """

    scores: tuple[npt.NDArray[np.float64], ...]
    values: tuple[npt.NDArray[np.float64], ...]
    # Files of before have no such field, and predict as they did.
    strict: bool = False

    def logits(self, scores: Scores) -> Scores:
        """Return calibrated log-odds."""
        columns = scores.reshape(len(scores), -1).T
        knots = zip(columns, self.scores, self.values, strict=True)
        probability = np.column_stack([np.interp(*knot) for knot in knots])
        least = _LEAST_PROBABILITY if self.strict else _LEAST_PROBABILITY_BEFORE
        log_odds = logit(probability.clip(least, 1 - least))
        if self.strict:
            log_odds = log_odds + _TIE_BREAK * self._positions(columns)
        return log_odds[:, 0] if scores.ndim == 1 else log_expit(log_odds)

    def _positions(self, columns: Scores) -> Scores:
        """Return where scores lie between the ends of the steps, increasing from -1 to 1."""
        ends = [(knots[0], knots[-1]) for knots in self.scores]
        position = np.column_stack(
            [
                (column - low) / ((high - low) or 1.0) - 0.5
                for column, (low, high) in zip(columns, ends, strict=True)
            ]
        )
        return position / (1 + abs(position))


def calibrate(method: str, scores: Scores, labels: npt.NDArray[np.int64]) -> Calibration:
    """Fit a calibration to out-of-fold scores of images, without class weights.

    References
    ----------
    .. [1] J. Platt (1999), "Probabilistic outputs for support vector machines", in Advances in
       Large Margin Classifiers, 61-74.
    .. [2] B. Zadrozny, C. Elkan (2002), "Transforming classifier scores into accurate multiclass
       probability estimates", KDD '02, 694-699, doi 10.1145/775047.775151.

    Examples
    --------
    >>> labels = np.array([0, 0, 1, 0, 1, 1])
    >>> fitted = calibrate("isotonic", np.array([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0]), labels)
    >>> probabilities(fitted.logits(np.array([0.0])))[:, 1].round(3).tolist()
    [0.5]
    """
    if method == "none":
        return NoCalibration()
    columns = {1: scores} if scores.ndim == 1 else dict(enumerate(scores.T))
    if method == "sigmoid":
        lines = [_platt(column, labels == label) for label, column in columns.items()]
        slopes, intercepts = zip(*lines, strict=True)
        return SigmoidCalibration(np.array(slopes), np.array(intercepts))
    from sklearn.isotonic import IsotonicRegression

    fitted = [
        IsotonicRegression(y_min=0, y_max=1).fit(column, labels == label)
        for label, column in columns.items()
    ]
    return IsotonicCalibration(
        tuple(regression.X_thresholds_ for regression in fitted),
        tuple(regression.y_thresholds_ for regression in fitted),
        strict=True,
    )


def cross_calibrate(
    method: str,
    scores: Scores,
    labels: npt.NDArray[np.int64],
    folds: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
) -> Scores:
    """Return probabilities of images, each by a calibration fitted without its fold.

    In-sample, isotonic calibration finds a signal in noise and is always perfectly calibrated.

    Examples
    --------
    >>> scores, labels = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 1, 0, 1])
    >>> folds = [(np.array([0, 1]), np.array([2, 3])), (np.array([2, 3]), np.array([0, 1]))]
    >>> cross_calibrate("isotonic", scores, labels, folds)[:, 1].round(3).tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    found = np.empty((len(labels), 2 if scores.ndim == 1 else scores.shape[1]))
    for others, held_out in folds:
        fitted = calibrate(method, scores[others], labels[others])
        found[held_out] = probabilities(fitted.logits(scores[held_out]))
    return found


def probabilities(logits: Scores) -> Scores:
    """Turn the log-odds of a `Calibration` into probabilities, a column per class."""
    if logits.ndim == 1:
        positive = expit(logits.clip(-_LARGEST_LOGIT, _LARGEST_LOGIT))
        return np.column_stack([1 - positive, positive])
    return softmax(logits, axis=1)


def log_odds(table: npt.NDArray[np.float64]) -> Scores:
    """Return log-odds of the second of two classes; of more, of each against the rest."""
    columns = [1] if table.shape[1] == 2 else range(table.shape[1])
    with np.errstate(divide="ignore"):
        found = [np.log(table[:, k]) - np.log(np.delete(table, k, 1).sum(axis=1)) for k in columns]
    clipped = np.column_stack(found).clip(-_LARGEST_LOGIT, _LARGEST_LOGIT)
    return clipped[:, 0] if table.shape[1] == 2 else clipped


def mean_log_odds(tables: Iterable[npt.NDArray[np.float64]]) -> Scores:
    """Return the mean of the `log_odds` of several tables of the same images."""
    return np.asarray(np.mean([log_odds(table) for table in tables], axis=0))


def _platt(scores: Scores, positive: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return slope and intercept of the log-odds of being positive."""
    # Fitting alone needs it.
    from sklearn.linear_model import LogisticRegression

    center, spread = scores.mean(), scores.std() or 1.0
    n_positive, n = positive.sum(), len(positive)
    # Platt's targets are just short of 0 and 1, which bounds the slope of separable scores: each
    # image counts once for either class, weighted by its target.
    target = np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (n - n_positive + 2))
    regression = LogisticRegression(C=1e6, tol=1e-8, max_iter=10_000).fit(
        np.tile((scores - center) / spread, 2)[:, None],
        np.repeat([0, 1], n),
        sample_weight=np.concatenate([1 - target, target]),
    )
    slope, intercept = regression.coef_[0, 0], regression.intercept_[0]
    if slope <= 0:
        # Scores that do not rank carry no information; they must not be reversed.
        slope, intercept = _FLAT_SLOPE, logit(n_positive / n)
    return slope / spread, intercept - center * slope / spread
