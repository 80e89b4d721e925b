"""Metrics of one class under many weightings of images at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from featx.metrics.intervals import Floats
from featx.metrics.labels import check_binary, check_scores
from featx.metrics.reliability import calibration_fit, calibration_gaps, log_odds

__all__ = ["TwoWayTask"]


class RankedImages:
    """Count images from the highest score down to each distinct score.

    Examples
    --------
    >>> ranked = RankedImages([False, True, True], [0.1, 0.4, 0.4])
    >>> tp, fp = ranked.counts(np.ones((1, 3)))
    >>> tp.tolist(), fp.tolist()
    ([[2.0, 2.0]], [[0.0, 1.0]])
    """

    def __init__(self, labels: npt.ArrayLike, scores: npt.ArrayLike) -> None:
        positive = check_binary(labels)
        values = check_scores(scores, len(positive))
        self.n = len(values)
        self._order = np.argsort(-values, kind="stable")
        self._positive = positive[self._order]
        falls = np.flatnonzero(np.diff(values[self._order]) < 0)
        self._ends = np.append(falls, self.n - 1)

    def counts(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return true and false positives at each score, shape (n_weightings, n_scores)."""
        ordered = weights[:, self._order]
        tp = np.cumsum(ordered * self._positive, axis=1)[:, self._ends]
        fp = np.cumsum(ordered * ~self._positive, axis=1)[:, self._ends]
        return tp, fp

    def both_classes(self, weights: Floats) -> npt.NDArray[np.bool_]:
        """Return which weightings leave images of both classes, shape (n_weightings,)."""
        tp, fp = self.counts(weights)
        return (tp[:, -1] > 0) & (fp[:, -1] > 0)

    def rates(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return sensitivity and 1 - specificity, from (0, 0) on."""
        counts = self.counts(weights)
        tp, fp = (np.pad(total, ((0, 0), (1, 0))) / total[:, -1:] for total in counts)
        return tp, fp

    def precision(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return recall and precision; precision is 1 before any positive prediction."""
        tp, fp = self.counts(weights)
        predicted = tp + fp
        precision = np.divide(tp, predicted, out=np.ones_like(tp), where=predicted > 0)
        return tp / tp[:, -1:], precision


@dataclass(frozen=True, eq=False)
class TwoWayTask:
    """One class against the rest: truth, probability and call of every image.

    Examples
    --------
    >>> task = TwoWayTask(
    ...     positive=np.array([False, False, True, True]),
    ...     probability=np.array([0.1, 0.6, 0.4, 0.9]),
    ...     predicted=np.array([False, True, False, True]),
    ... )
    >>> figures = task.measure(np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 3.0]]))
    >>> figures["average_precision"].round(3)
    array([0.833, 1.   ])
    """

    positive: npt.NDArray[np.bool_]
    probability: Floats
    predicted: npt.NDArray[np.bool_]

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """Measure the figures without an interval in closed form, nan where undefined.

        Weights say how often each image counts, shape (n_weightings, n_images). The calibration
        shift is the sum over bins of the absolute change of their gaps from those of equal weights.
        """
        slope, intercept = calibration_fit(self.positive, self._log_odds, weights)
        gaps = calibration_gaps(self.positive, self.probability, weights)
        return {
            "mcc": self._mcc(weights),
            "average_precision": self._average_precision(weights),
            "brier": weights @ (self.probability - self.positive) ** 2 / weights.sum(axis=1),
            "calibration_slope": slope,
            "calibration_intercept": intercept,
            "expected_calibration_error": np.abs(gaps).sum(axis=1),
            "calibration_shift": np.abs(gaps - self._gaps).sum(axis=1),
        }

    @cached_property
    def unweighted(self) -> dict[str, Floats]:
        """Metrics of all images with equal weights, as arrays of shape (1,)."""
        return self.measure(np.ones((1, len(self.positive))))

    @cached_property
    def _log_odds(self) -> Floats:
        return log_odds(self.probability)

    @cached_property
    def _gaps(self) -> Floats:
        return calibration_gaps(self.positive, self.probability, np.ones((1, len(self.positive))))

    @cached_property
    def proportions(self) -> dict[str, tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
        """Each proportion by name: which images have the outcome, and among which."""
        positive, predicted = self.positive, self.predicted
        return {
            "sensitivity": (predicted, positive),
            "specificity": (~predicted, ~positive),
            "ppv": (positive, predicted),
            "npv": (~positive, ~predicted),
            "jaccard": (positive & predicted, positive | predicted),
        }

    @cached_property
    def _ranked(self) -> RankedImages:
        return RankedImages(self.positive, self.probability)

    def _mcc(self, weights: Floats) -> Floats:
        """Return Matthews' correlation coefficient, nan where one class is true or predicted."""
        total = weights.sum(axis=1)
        both, p, q = (
            weights @ each.astype(np.float64) / total
            for each in (self.positive & self.predicted, self.positive, self.predicted)
        )
        return divide(both - p * q, np.sqrt(p * (1 - p) * q * (1 - q)))

    def _average_precision(self, weights: Floats) -> Floats:
        tp, fp = self._ranked.counts(weights)
        gained = np.diff(tp, axis=1, prepend=0)
        precision = np.divide(tp, tp + fp, out=np.zeros_like(tp), where=tp + fp > 0)
        return divide(np.einsum("ij,ij->i", gained, precision), tp[:, -1])


def divide(numerator: Floats, denominator: Floats) -> Floats:
    """Divide where one can; nan elsewhere, without a warning.

    Examples
    --------
    >>> divide(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
    array([0.5, nan])
    """
    return np.divide(
        numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0
    )
