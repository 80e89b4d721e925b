"""Thresholds that keep a sensitivity with certainty, from few patients, without assumptions.

Sensitivity is of a random image of a random patient with disease: each patient counts once. So of
each patient one image is taken, by a hash of its bytes, which is as good as at random.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

from featx.errors import UsageError
from featx.metrics.intervals import Integers

__all__ = ["fewest_patients", "guaranteed_threshold", "one_image_each", "proportion_bound"]


def fewest_patients(sensitivity: float, level: float = 0.95) -> int:
    """Return the fewest patients with disease that can guarantee a sensitivity.

    All n of them are detected by chance, although it is lower, with a probability of at most
    `sensitivity` to the power of n.

    Examples
    --------
    >>> [fewest_patients(each) for each in (0.8, 0.9, 0.95, 0.99)]
    [14, 29, 59, 299]
    """
    for name, value in (("sensitivity", sensitivity), ("level", level)):
        if not 0 < value < 1:
            raise UsageError(f"{name}={value}: give a value between 0 and 1, such as 0.95")
    return math.ceil(math.log1p(-level) / math.log(sensitivity) - 1e-9)


def guaranteed_threshold(
    scores: npt.ArrayLike, sensitivity: float, level: float = 0.95
) -> float | None:
    """Return the highest threshold whose sensitivity is at least so much with certainty.

    It is one of the lowest scores, as in nonparametric tolerance limits [1]_. In the population a
    proportion 1 - `sensitivity` of patients with disease, or more, scores up to some quantile. The
    r-th lowest of n scores is above it only if fewer than r of them are up to it: their number is
    binomial, for scores of any distribution, and r is the greatest for which this has a
    probability of at most 1 - `level`. With equal scores it is less.

    Parameters
    ----------
    scores : array-like of float, shape (n_patients,)
        Score of one image of each patient with disease, as `one_image_each` chooses it.
    sensitivity : float
        Least proportion of scores at or above the threshold, between 0 and 1.
    level : float, default=0.95
        Probability, over draws of patients, that the threshold has it.

    Returns
    -------
    float or None
        None with fewer than `fewest_patients`.

    References
    ----------
    .. [1] S. S. Wilks (1941), "Determination of sample sizes for setting tolerance limits", Annals
       of Mathematical Statistics 12(1), 91-96.

    Examples
    --------
    >>> [guaranteed_threshold(np.arange(n), 0.95) for n in (58, 59, 93)]
    [None, 0.0, 1.0]
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    n = len(ordered)
    if n < fewest_patients(sensitivity, level):
        return None
    allowed = special.bdtr(np.arange(n), n, 1 - sensitivity) <= 1 - level
    # Rounding may not contradict the number of patients, which allows the lowest.
    return float(ordered[max(0, int(allowed.sum()) - 1)])


def proportion_bound(successes: int, trials: int, level: float = 0.95) -> float:
    """Return the exact lower bound of a proportion (Clopper and Pearson 1934), one-sided.

    Examples
    --------
    >>> round(proportion_bound(59, 59), 4), proportion_bound(0, 59)
    (0.9505, 0.0)
    """
    if successes == 0:
        return 0.0
    return float(special.betaincinv(successes, trials - successes + 1, 1 - level))


def one_image_each(keys: Sequence[str], patients: npt.ArrayLike) -> Integers:
    """Return the place of one image of each patient by hashes of keys, whatever their order.

    Examples
    --------
    >>> one_image_each(["a.png", "b.png", "c.png"], ["p1", "p2", "p1"]).tolist()
    [2, 1]
    """
    hashes = [hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest() for key in keys]
    order = np.array(sorted(range(len(keys)), key=hashes.__getitem__), dtype=np.int64)
    _, first = np.unique(np.asarray(patients)[order], return_index=True)
    return np.asarray(order[first], dtype=np.int64)
