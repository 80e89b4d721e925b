"""Probability calibration: slope, intercept and expected calibration error."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from featx.metrics.intervals import Floats
from featx.metrics.labels import check_binary

__all__ = ["calibration_fit", "calibration_gaps", "log_odds"]

_EDGE = 1e-6
_BINS = 10
_EXACT, _CLOSE = 1e-8, 1e-3
_MOST_ITERATIONS = 200


def log_odds(probability: Floats) -> Floats:
    """Return log-odds, with probabilities kept 1e-6 away from 0 and 1.

    Examples
    --------
    >>> log_odds(np.array([0.5, 1.0])).round(2)
    array([ 0.  , 13.82])
    """
    return special.logit(np.clip(probability, _EDGE, 1 - _EDGE))


def calibration_gaps(
    positive: npt.NDArray[np.bool_], probability: Floats, weights: Floats
) -> Floats:
    """Return the calibration gaps of ten bins of equal width.

    The gap of a bin is its fraction of the images times the difference between its mean
    probability and its fraction of positives. The sum of the absolute gaps is the expected
    calibration error, 0 (best) to 1; noise alone makes it greater than 0. Weights say how often
    each image counts, shape (n_weightings, n_images); gaps, of shape (n_weightings, 10), are above
    0 where probabilities are too high.

    References
    ----------
    Naeini MP, Cooper GF, Hauskrecht M (2015). Obtaining well calibrated probabilities using
    Bayesian binning. AAAI 29:2901-2907.

    Examples
    --------
    >>> positive = np.array([False, True, True, True])
    >>> gaps = calibration_gaps(positive, np.array([0.21, 0.29, 0.9, 0.9]), np.ones((1, 4)))
    >>> np.abs(gaps).sum(axis=1)
    array([0.175])
    """
    positive = check_binary(positive)
    bins = np.minimum((probability * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.zeros((len(probability), _BINS))
    gaps[np.arange(len(probability)), bins] = probability - positive
    return weights @ gaps / weights.sum(axis=1, keepdims=True)


def calibration_fit(
    positive: npt.NDArray[np.bool_], predictor: Floats, weights: Floats
) -> tuple[Floats, Floats]:
    """Fit the calibration slope and the calibration intercept by maximum likelihood.

    The slope is that of a logistic regression of the outcome on the log-odds (1 is best; under 1:
    too extreme). The intercept is that of a logistic regression with the log-odds as an offset,
    that is, with the slope held at 1 (0 is best; under 0: probabilities too high), also known as
    calibration in the large. The predictor is the log-odds; weights are as in `calibration_gaps`.
    Where the likelihood has no maximum they are nan: the slope if the log-odds separate the classes
    or are all the same, both if a class is absent.

    References
    ----------
    Van Calster B, McLernon DJ, van Smeden M, Wynants L, Steyerberg EW (2019). Calibration: the
    Achilles heel of predictive analytics. BMC Medicine 17:230.

    Examples
    --------
    >>> positive = np.array([False, True] * 3 + [True] * 2)
    >>> predictor = np.repeat([-1.0, 0.0, 1.0, 2.0], 2)
    >>> slope, intercept = calibration_fit(positive, predictor, np.ones((1, 8)))
    >>> slope.round(3), intercept.round(3)
    (array([0.693]), array([0.161]))
    """
    positive = check_binary(positive)
    slope = np.full(len(weights), np.nan)
    intercept = np.full(len(weights), np.nan)
    present, overlapping = _has_maximum(positive, predictor, weights)
    constant = np.ones((len(predictor), 1))
    if present.any():
        intercept[present] = _maximize(positive, constant, predictor, weights[present])[:, 0]
    if overlapping.any():
        center, scale = predictor.mean(), predictor.std()
        design = np.column_stack([constant, (predictor - center) / scale])
        no_offset = np.zeros(len(predictor))
        slope[overlapping] = (
            _maximize(positive, design, no_offset, weights[overlapping])[:, 1] / scale
        )
    return slope, intercept


def _has_maximum(
    positive: npt.NDArray[np.bool_], predictor: Floats, weights: Floats
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which weightings have both classes, and which have them overlap."""
    order = np.argsort(predictor, kind="stable")
    ordered, counted = predictor[order], weights[:, order] > 0
    sides = [counted & outcome[order] for outcome in (positive, ~positive)]
    present = np.asarray(sides[0].any(axis=1) & sides[1].any(axis=1))
    lowest_positive, lowest_negative = (ordered[side.argmax(axis=1)] for side in sides)
    highest_positive, highest_negative = (
        ordered[len(ordered) - 1 - side[:, ::-1].argmax(axis=1)] for side in sides
    )
    overlapping = (highest_negative > lowest_positive) & (highest_positive > lowest_negative)
    return present, present & overlapping


def _maximize(
    positive: npt.NDArray[np.bool_], design: Floats, offset: Floats, weights: Floats
) -> Floats:
    """Fit one logistic regression a weighting, (n_weightings, n_columns), all side by side."""
    total = weights.sum(axis=0, keepdims=True)
    start = _newton(positive, design, offset, total, np.zeros((1, design.shape[1])), _EXACT)
    if len(weights) == 1:
        return start
    # Resamples resemble their sum; from its optimum they need two or three steps each.
    starts = np.repeat(start, len(weights), axis=0)
    return _newton(positive, design, offset, weights, starts, _CLOSE)


def _newton(
    positive: npt.NDArray[np.bool_],
    design: Floats,
    offset: Floats,
    weights: Floats,
    start: Floats,
    tolerance: float,
) -> Floats:
    columns = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    reach = np.abs(design).max(axis=0)
    found = start.copy()
    active = np.arange(len(weights))
    for _ in range(_MOST_ITERATIONS):
        counted = weights if len(active) == len(weights) else weights[active]
        # The logistic function; as a hyperbolic tangent it is quicker and cannot overflow.
        expected = 0.5 + 0.5 * np.tanh(found[active] @ (design.T / 2) + offset / 2)
        gradient = (counted * (positive - expected)) @ design
        curvature = ((counted * (expected * (1 - expected))) @ products).reshape(
            -1, columns, columns
        )
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        # Steps of at most 2 in the log-odds of any image: logistic likelihoods bend so slowly
        # that Newton's method then cannot overshoot back and forth.
        moved = np.abs(step) @ reach
        found[active] += step * np.minimum(1, 2 / np.maximum(moved, tolerance))[:, None]
        # Convergence is quadratic: the error after so small a step is about its square.
        active = active[moved > tolerance]
        if len(active) == 0:
            return found
    found[active] = np.nan
    return found
