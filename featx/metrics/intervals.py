"""Estimates with their intervals, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from featx.metrics.labels import check_binary, check_of_rows

__all__ = [
    "Interval",
    "design_effect",
    "extreme_interval",
    "logit_interval",
    "number_patients",
    "proportion_interval",
    "two_sided_quantile",
    "wilson_interval",
]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval around it.

    Parameters
    ----------
    value : float
        The estimate; nan where it is undefined.
    low, high : float
        The bounds; nan where they are undefined.

    Examples
    --------
    >>> interval = Interval(0.98214, 0.97512, 0.98833)
    >>> print(interval)
    0.982 (0.975 to 0.988)
    >>> f"{interval:.1%}"
    '98.2% (97.5% to 98.8%)'
    >>> str(Interval.undefined()), str(Interval(0.5, math.nan, math.nan))
    ('undefined', '0.500 (interval undefined)')
    """

    value: float
    low: float
    high: float

    @classmethod
    def undefined(cls) -> Interval:
        """Return the interval of a figure that these data do not define."""
        return cls(math.nan, math.nan, math.nan)

    def __format__(self, spec: str) -> str:
        spec = spec or ".3f"
        if math.isnan(self.value):
            return "undefined"
        if math.isnan(self.low) or math.isnan(self.high):
            return f"{self.value:{spec}} (interval undefined)"
        return f"{self.value:{spec}} ({self.low:{spec}} to {self.high:{spec}})"

    def __str__(self) -> str:
        return format(self)


def two_sided_quantile(confidence: float) -> float:
    """Return the standard normal quantile of a two-sided interval.

    Examples
    --------
    >>> round(two_sided_quantile(0.95), 4)
    1.96
    """
    return float(special.ndtri((1 + confidence) / 2))


def wilson_interval(successes: float, trials: float, confidence: float = 0.95) -> Interval:
    """Return a proportion with Wilson's score interval.

    Parameters
    ----------
    successes, trials : float
        Counts; fractions are allowed, for effective sample sizes.
    confidence : float, default=0.95
        Coverage of the interval.

    Returns
    -------
    Interval
        Undefined without trials. Never degenerate: 20 of 20 gives a lower bound under 1.

    References
    ----------
    Wilson EB (1927). Probable inference, the law of succession, and statistical inference.
    J Am Stat Assoc 22:209-212.

    Examples
    --------
    >>> print(wilson_interval(20, 20))
    1.000 (0.839 to 1.000)
    """
    if trials == 0:
        return Interval.undefined()
    proportion = successes / trials
    squared = two_sided_quantile(confidence) ** 2 / trials
    middle = (proportion + squared / 2) / (1 + squared)
    half = math.sqrt(squared * (proportion * (1 - proportion) + squared / 4)) / (1 + squared)
    # At 0 and 1 the bound is the estimate itself, which rounding would miss by 1e-17.
    low = 0.0 if proportion == 0 else middle - half
    high = 1.0 if proportion == 1 else middle + half
    return Interval(proportion, low, high)


def proportion_interval(
    outcomes: npt.ArrayLike, patients: npt.ArrayLike | None = None, confidence: float = 0.95
) -> Interval:
    """Return the proportion of images with an outcome, clustered by patient.

    With one image per patient this is `wilson_interval`. Otherwise Wilson's interval is computed
    with the effective number of images: their number over the design effect, which is the
    variance of the proportion between patients over its variance between independent images, at
    least 1. Where every image has the outcome, or none has, the correlation within patients is
    unknown and assumed to be 1.

    Parameters
    ----------
    outcomes : array-like of bool, shape (n_images,)
        Which images have the outcome.
    patients : array-like, shape (n_images,), optional
        Patient of each image; by default each image has its own.
    confidence : float, default=0.95
        Coverage of the interval.

    Returns
    -------
    Interval
        Undefined without images.

    References
    ----------
    Korn EL, Graubard BI (1998). Confidence intervals for proportions with small expected number
    of positive counts estimated from survey data. Survey Methodology 24:193-201.

    Examples
    --------
    >>> print(proportion_interval([1, 1, 1, 0, 0, 1, 1, 1]))
    0.750 (0.409 to 0.929)
    >>> print(proportion_interval([1, 1, 1, 0, 0, 1, 1, 1], patients=list("aaabbccc")))
    0.750 (0.241 to 0.966)
    """
    outcome = check_binary(outcomes, "outcomes").astype(np.float64)
    if len(outcome) == 0:
        return Interval.undefined()
    effect = design_effect(outcome, number_patients(patients, len(outcome)))
    return wilson_interval(float(outcome.sum()) / effect, len(outcome) / effect, confidence)


def design_effect(values: Floats, patients: Integers) -> float:
    """Return the design effect of clustering by patient, at least 1.

    Parameters
    ----------
    values : ndarray of float64, shape (n_images,)
        Value of each image.
    patients : ndarray of int64, shape (n_images,)
        Number of the patient of each image, as `number_patients` gives it.
    """
    n = len(values)
    images = np.bincount(patients)
    images = images[images > 0]
    if len(images) == n:
        return 1.0
    residuals = values - values.mean()
    spread = float(residuals @ residuals)
    if spread == 0 or len(images) == 1:
        return float(images @ images) / n
    of_patients = np.bincount(patients, weights=residuals)
    between = float(of_patients @ of_patients) * len(images) / (len(images) - 1)
    return max(1.0, between * (n - 1) / (n * spread))


def number_patients(patients: npt.ArrayLike | None, n_images: int) -> Integers:
    """Return patient numbers from 0; without patients, each image has its own.

    Raises
    ------
    UsageError
        If their number is not that of the images, or a patient is missing.

    Examples
    --------
    >>> number_patients(["b", "a", "b"], 3).tolist(), number_patients(None, 3).tolist()
    ([1, 0, 1], [0, 1, 2])
    """
    if patients is None:
        return np.arange(n_images)
    known = check_of_rows("patients", patients, n_images)
    return np.unique(known, return_inverse=True)[1].astype(np.int64)


def extreme_interval(value: float, trials: int, confidence: float) -> Interval:
    """Return Clopper and Pearson's interval of an estimate of 0 or 1.

    Parameters
    ----------
    value : float
        0 or 1: all independent trials were lost, or all were won.
    trials : int
        Number of trials.
    confidence : float
        Coverage of the interval.

    References
    ----------
    Clopper CJ, Pearson ES (1934). The use of confidence or fiducial limits illustrated in the
    case of the binomial. Biometrika 26:404-413.

    Examples
    --------
    >>> print(extreme_interval(1.0, trials=100, confidence=0.95))
    1.000 (0.964 to 1.000)
    """
    bound = ((1 - confidence) / 2) ** (1 / trials)
    return Interval(1.0, bound, 1.0) if value == 1 else Interval(0.0, 0.0, 1 - bound)


def logit_interval(value: float, variance: float, confidence: float) -> Interval:
    """Return an interval of a proportion, symmetric on the logit scale.

    Examples
    --------
    >>> print(logit_interval(0.9, variance=0.03**2, confidence=0.95))
    0.900 (0.824 to 0.945)
    """
    half = two_sided_quantile(confidence) * math.sqrt(variance) / (value * (1 - value))
    odds = value / (1 - value)
    # Written with exp(-half) alone, which cannot overflow however wide the interval.
    shrink = math.exp(-half)
    return Interval(value, odds * shrink / (1 + odds * shrink), odds / (odds + shrink))
