"""Decision curves, and errors among the most certain predictions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from featx.errors import UsageError
from featx.metrics.intervals import Floats
from featx.metrics.labels import check_binary, check_scores
from featx.metrics.reliability import log_odds

__all__ = ["net_benefit", "net_benefit_of_treating_all", "risk_coverage"]


def net_benefit(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, thresholds: npt.ArrayLike
) -> Floats:
    """Return the net benefit of acting from a threshold probability on.

    At a threshold probability p, one false negative is considered as bad as (1 - p) / p false
    positives. The net benefit is the proportion of true positives, minus the proportion of false
    positives times p / (1 - p). Acting on no image has 0.

    Parameters
    ----------
    labels : array-like of bool, shape (n_images,)
        Which images are positive.
    probabilities : array-like of float, shape (n_images,)
        Probability of being positive.
    thresholds : array-like of float, shape (n_thresholds,)
        Each at least 0 and under 1.

    Returns
    -------
    ndarray of float64, shape (n_thresholds,)
        In true positives an image.

    Raises
    ------
    UsageError
        If there is no image, a threshold is not in [0, 1), a label is neither 0 nor 1, or a
        probability is NaN.

    References
    ----------
    Vickers AJ, Elkin EB (2006). Decision curve analysis: a novel method for evaluating prediction
    models. Medical Decision Making 26:565-574.

    Examples
    --------
    >>> net_benefit([False, False, True, True], [0.1, 0.6, 0.4, 0.9], [0.2, 0.5])
    array([0.4375, 0.    ])
    """
    positive, cuts = _checked(labels, thresholds)
    scores = check_scores(probabilities, len(positive))
    tp = _at_least(np.sort(scores[positive]), cuts)
    fp = _at_least(np.sort(scores[~positive]), cuts)
    return (tp - fp * cuts / (1 - cuts)) / len(positive)


def net_benefit_of_treating_all(labels: npt.ArrayLike, thresholds: npt.ArrayLike) -> Floats:
    """Return the net benefit of acting on every image, without a model.

    It is 0 where the threshold is the prevalence.

    Examples
    --------
    >>> net_benefit_of_treating_all([False, False, False, True], [0.0, 0.25])
    array([0.25, 0.  ])
    """
    positive, cuts = _checked(labels, thresholds)
    prevalence = positive.mean()
    return prevalence - (1 - prevalence) * cuts / (1 - cuts)


def risk_coverage(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, threshold: float = 0.5
) -> tuple[Floats, Floats]:
    """Return the proportion of errors among the most certain images, by their proportion.

    The least certain images are those whose log-odds are nearest to those of the threshold. The
    first array, rising to 1, is the coverage, the proportion of images that are decided, the second
    that of errors among them. Images that are equally certain are decided together.

    References
    ----------
    El-Yaniv R, Wiener Y (2010). On the foundations of noise-free selective classification. Journal
    of Machine Learning Research 11:1605-1641.

    Examples
    --------
    >>> coverage, risk = risk_coverage([False, True, True, True], [0.1, 0.4, 0.7, 0.95])
    >>> coverage.tolist(), risk.round(2).tolist()
    ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.0, 0.25])
    """
    positive, cut = _checked(labels, [min(threshold, 1 - 1e-12)])
    scores = check_scores(probabilities, len(positive))
    certainty = np.abs(log_odds(scores) - log_odds(cut))
    order = np.argsort(-certainty, kind="stable")
    decided = np.arange(1, len(order) + 1)
    errors = np.cumsum((scores >= threshold)[order] != positive[order])
    last = np.append(np.diff(certainty[order]) < 0, True)
    return decided[last] / len(order), errors[last] / decided[last]


def _checked(
    labels: npt.ArrayLike, thresholds: npt.ArrayLike
) -> tuple[npt.NDArray[np.bool_], Floats]:
    positive, cuts = check_binary(labels), np.asarray(thresholds, dtype=np.float64)
    if len(positive) == 0:
        raise UsageError("no image was given; a net benefit needs at least one")
    outside = cuts[~((cuts >= 0) & (cuts < 1))]
    if len(outside):
        raise UsageError(f"threshold {outside[0]} is no threshold probability; give 0 <= p < 1")
    return positive, cuts


def _at_least(ascending: Floats, cuts: Floats) -> Floats:
    """Count the scores that reach each cut."""
    return (len(ascending) - np.searchsorted(ascending, cuts, side="left")).astype(np.float64)
