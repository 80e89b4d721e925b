"""ROC and precision-recall curves, with bands from the bootstrap by patient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from featx.metrics.bootstrap import resample_patients
from featx.metrics.intervals import Floats, number_patients
from featx.metrics.resampled import RankedImages

__all__ = ["Curve", "precision_recall_curve", "roc_curve"]

_GRID = 101


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve with a pointwise band."""

    # The curve's corners, x rising.
    x: Floats
    y: Floats
    # Places on the x axis, and the bounds of y there; empty where resamples cannot vary.
    grid: Floats
    low: Floats
    high: Floats


def roc_curve(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    random_state: int = 0,
) -> Curve:
    """Draw sensitivity against 1 - specificity, with the band of the sensitivity.

    Parameters
    ----------
    labels : array-like of bool, shape (n_images,)
        Which images are positive; both classes are present.
    scores : array-like of float, shape (n_images,)
        Higher means more likely positive.
    patients : array-like, shape (n_images,), optional
        Patient of each image; by default each image has its own.
    confidence : float, default=0.95
        Pointwise coverage of the band.
    n_bootstrap : int, default=1000
        Number of resamples of patients.
    random_state : int, default=0
        Random seed of the resamples.

    Returns
    -------
    Curve
        From (0, 0) to (1, 1).

    Raises
    ------
    UsageError
        If a label is neither 0 nor 1, a score is NaN, or a patient is missing.

    References
    ----------
    Fawcett T (2006). An introduction to ROC analysis. Pattern Recognition Letters 27:861-874;
    its vertical averaging, here of resamples.

    Examples
    --------
    >>> curve = roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> curve.x.tolist(), curve.y.tolist()
    ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    """
    ranked = RankedImages(labels, scores)
    tp, fp = ranked.rates(np.ones((1, ranked.n)))
    grid = np.linspace(0, 1, _GRID)

    def sensitivity(weights: Floats) -> Floats:
        return _heights(*ranked.rates(weights)[::-1], grid)

    low, high = _band(sensitivity, ranked, patients, confidence, n_bootstrap, random_state)
    return Curve(fp[0], tp[0], grid[: len(low)], low, high)


def precision_recall_curve(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    patients: npt.ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    random_state: int = 0,
) -> Curve:
    """Draw precision (PPV) against recall (sensitivity), with the band of the precision.

    Between thresholds the curve goes in steps: its area is the average precision.

    Parameters
    ----------
    labels, scores, patients, confidence, n_bootstrap, random_state
        As in `roc_curve`.

    Returns
    -------
    Curve
        ``y[i]`` holds over ``x[i - 1] < x <= x[i]``.

    Examples
    --------
    >>> curve = precision_recall_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> curve.x.tolist(), curve.y.round(3).tolist()
    ([0.0, 0.5, 1.0], [1.0, 1.0, 0.667])
    """
    ranked = RankedImages(labels, scores)
    recall, precision = ranked.precision(np.ones((1, ranked.n)))
    rises = np.flatnonzero(np.diff(recall[0], prepend=0.0) > 0)
    grid = np.linspace(0, 1, _GRID)[1:]

    def at_grid(weights: Floats) -> Floats:
        recalls, precisions = ranked.precision(weights)
        first = _places(recalls, grid - 1e-9, "left")
        return np.take_along_axis(precisions, first, axis=1)

    low, high = _band(at_grid, ranked, patients, confidence, n_bootstrap, random_state)
    x = np.concatenate([[0.0], recall[0][rises]])
    y = precision[0][rises]
    return Curve(x, np.concatenate([y[:1], y]), grid[: len(low)], low, high)


def _places(rising: Floats, grid: Floats, side: Literal["left", "right"]) -> npt.NDArray[np.int64]:
    """Search each row of values from 0 to 1 for a grid."""
    apart = 2.0 * np.arange(len(rising))[:, None]
    wanted = (grid + apart).ravel()
    found = np.searchsorted((rising + apart).ravel(), wanted, side=side)
    places = (
        found.reshape(len(rising), len(grid)) - rising.shape[1] * np.arange(len(rising))[:, None]
    )
    return np.clip(places, 0, rising.shape[1] - 1)


def _heights(x: Floats, y: Floats, grid: Floats) -> Floats:
    """Interpolate each row's curve over the grid; vertical steps count fully."""
    after = _places(x, grid + 1e-9, "right")
    before = np.maximum(after - 1, 0)
    x0, x1 = (np.take_along_axis(x, place, axis=1) for place in (before, after))
    y0, y1 = (np.take_along_axis(y, place, axis=1) for place in (before, after))
    width = x1 - x0
    fraction = np.divide(grid - x0, width, out=np.ones_like(width), where=width > 0)
    return y0 + np.clip(fraction, 0, 1) * (y1 - y0)


def _band(
    measure: Callable[[Floats], Floats],
    ranked: RankedImages,
    patients: npt.ArrayLike | None,
    confidence: float,
    n_bootstrap: int,
    random_state: int,
) -> tuple[Floats, Floats]:
    """Bounds of what is measured in resamples that hold both classes."""
    numbers = number_patients(patients, ranked.n)
    if numbers.max() == 0:
        return np.empty(0), np.empty(0)
    pieces = []
    for weights in resample_patients(numbers, n_bootstrap, random_state):
        whole = weights[ranked.both_classes(weights)]
        pieces.append(measure(whole))
    tail = (1 - confidence) / 2
    measured = np.concatenate(pieces)
    if len(measured) < 2:
        return np.empty(0), np.empty(0)
    low, high = np.quantile(measured, [tail, 1 - tail], axis=0)
    return low, high
