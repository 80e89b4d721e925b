"""Estimates with their intervals, in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special

from featx.metrics.labels import check_binary, check_of_rows

__all__ = [
    "Interval",
    "correlation",
    "design_effect",
    "difference_interval",
    "effective_patients",
    "mean_interval",
    "number_patients",
    "proportion_interval",
    "ratio_interval",
    "two_sided_quantile",
    "wilson_interval",
    "without_one",
]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Squared deviations that are assumed to be known before, and their correlation within patients;
# chosen by simulation for coverage and for bounds that change smoothly up to 0 and 1.
_ASSUMED, _CORRELATION = 3.0, 0.4


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


def two_sided_quantile(confidence: float, degrees: float = math.inf) -> float:
    """Return the quantile of a two-sided interval: standard normal, or of Student's t.

    Examples
    --------
    >>> round(two_sided_quantile(0.95), 4), round(two_sided_quantile(0.95, degrees=9), 4)
    (1.96, 2.2622)
    """
    tail = (1 + confidence) / 2
    return float(special.ndtri(tail) if math.isinf(degrees) else special.stdtrit(degrees, tail))


def wilson_interval(
    successes: float, trials: float, confidence: float = 0.95, degrees: float = math.inf
) -> Interval:
    """Return a proportion with Wilson's score interval.

    Parameters
    ----------
    successes, trials : float
        Counts; fractions are allowed, for effective sample sizes.
    confidence : float, default=0.95
        Coverage of the interval.
    degrees : float, default=inf
        Degrees of freedom of Student's t, where the effective number of trials is an estimate.

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
    squared = two_sided_quantile(confidence, degrees) ** 2 / trials
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
    with the effective number of images, their number over the `design_effect` [1]_. As that is
    estimated from few patients, Student's t takes the place of the normal distribution. Its degrees
    of freedom are Satterthwaite's: only what clustering adds to the variance is estimated, with
    one degree less than the `effective_patients`.

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
    .. [1] Korn EL, Graubard BI (1998). Confidence intervals for proportions with small expected
       number of positive counts estimated from survey data. Survey Methodology 24:193-201.

    Examples
    --------
    >>> print(proportion_interval([1, 1, 1, 0, 0, 1, 1, 1]))
    0.750 (0.409 to 0.929)
    >>> print(proportion_interval([1, 1, 1, 0, 0, 1, 1, 1], patients=list("aaabbccc")))
    0.750 (0.245 to 0.965)
    """
    outcome = check_binary(outcomes, "outcomes").astype(np.float64)
    n = len(outcome)
    if n == 0:
        return Interval.undefined()
    numbers = number_patients(patients, n)
    effect = design_effect(outcome, numbers)
    degrees = math.inf
    if effect > 1:
        degrees = max(1.0, effective_patients(numbers) - 1) * (effect / (effect - 1)) ** 2
    found = wilson_interval(float(outcome.sum()) / effect, n / effect, confidence, degrees)
    # The quotient of the quotients may differ by rounding.
    return replace(found, value=float(outcome.mean()))


def effective_patients(patients: Integers) -> float:
    """Return how many patients with equally many images would be worth as much.

    References
    ----------
    Kish L (1965). Survey sampling, section 8.2. Wiley.

    Examples
    --------
    >>> effective_patients(np.array([0, 0, 1, 1])), effective_patients(np.array([0, 0, 0, 1]))
    (2.0, 1.6)
    """
    images = np.bincount(patients)
    return float(len(patients) ** 2 / (images @ images))


def design_effect(values: Floats, patients: Integers) -> float:
    """Return the design effect of clustering by patient, at least 1.

    The variance of the mean by the jackknife that leaves out one patient [1]_, over its variance
    between independent images. To both is added what three images that deviate by 1 would give at
    a correlation within patients of 0.4: where all values agree, or all but a few, the data hardly
    say how strong it is. Patients are numbered as by `number_patients`.

    References
    ----------
    .. [1] Bell RM, McCaffrey DF (2002). Bias reduction in standard errors for linear regression
       with multi-stage samples. Survey Methodology 28:169-181.

    Examples
    --------
    >>> round(design_effect(np.array([1.0, 1.0, 1.0, 1.0]), np.array([0, 0, 1, 1])), 3)
    1.4
    """
    n = len(values)
    images = np.bincount(patients)
    images = images[images > 0]
    if len(images) == n:
        return 1.0
    most = n / effective_patients(patients)
    if len(images) == 1:
        return most
    residuals = values - values.mean()
    of_patients = without_one(residuals, patients)[np.unique(patients)]
    between = float(of_patients @ of_patients) * (n - 1) / n
    assumed = _ASSUMED * (1 + _CORRELATION * (most - 1))
    return max(1.0, (between + assumed) / (float(residuals @ residuals) + _ASSUMED))


def without_one(residuals: Floats, patients: Integers) -> Floats:
    """Return each patient's jackknife influence on a sum; their squares add to its variance.

    Residuals are deviations from the mean, of the images of at least two patients.

    Examples
    --------
    >>> without_one(np.array([-1.0, 0.0, 1.0]), np.array([0, 1, 2])).round(3).tolist()
    [-1.225, 0.0, 1.225]
    """
    images = np.bincount(patients)
    n_patients = np.count_nonzero(images)
    sums = np.bincount(patients, weights=residuals)
    return sums / (1 - images / len(residuals)) * math.sqrt((n_patients - 1) / n_patients)


def mean_interval(parts: Sequence[Interval], influences: Floats) -> Interval:
    """Return the mean of several figures with an interval from theirs (MOVER).

    The distances from estimates to bounds take the place of standard errors: for independent
    figures they add as squares, otherwise with their correlations [1]_ [2]_. These follow from the
    influence of each patient on each figure, of any scale and of shape (n_parts, n_patients).

    References
    ----------
    .. [1] Zou GY, Donner A (2008). Construction of confidence limits about effect measures: a
       general approach. Statistics in Medicine 27:1693-1702.
    .. [2] Newcombe RG (1998). Interval estimation for the difference between independent
       proportions: comparison of eleven methods. Statistics in Medicine 17:873-890.

    Examples
    --------
    >>> sensitivity, specificity = wilson_interval(30, 30), wilson_interval(270, 300)
    >>> print(mean_interval([sensitivity, specificity], np.eye(2)))
    0.950 (0.890 to 0.965)
    """
    value, low, high = np.array([(part.value, part.low, part.high) for part in parts]).T
    # A figure that is 0 or 1 has no variation to correlate with.
    products = influences @ influences.T
    scale = np.sqrt(np.diag(products))
    correlation = (
        products / np.where(scale > 0, scale, 1.0)[:, None] / np.where(scale > 0, scale, 1)
    )
    np.fill_diagonal(correlation, 1.0)
    below, above = value - low, high - value
    mean, n = float(value.mean()), len(parts)
    return Interval(
        mean,
        mean - math.sqrt(max(0.0, below @ correlation @ below)) / n,
        mean + math.sqrt(max(0.0, above @ correlation @ above)) / n,
    )


def difference_interval(first: Interval, second: Interval, correlation: float = 0.0) -> Interval:
    """Return the difference of two figures with an interval from theirs (MOVER).

    As `mean_interval`; of independent proportions it is Newcombe's hybrid score interval.

    Examples
    --------
    >>> print(difference_interval(wilson_interval(56, 70), wilson_interval(48, 80)))
    0.200 (0.052 to 0.334)
    """
    difference = first.value - second.value

    def half(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one**2 + other**2 - 2 * correlation * one * other))

    below = half(first.value - first.low, second.high - second.value)
    above = half(first.high - first.value, second.value - second.low)
    return Interval(difference, difference - below, difference + above)


def correlation(first: Floats, second: Floats) -> float:
    """Return the correlation of two figures from each patient's influences on them.

    It is 0 where a figure has no variation.

    Examples
    --------
    >>> correlation(np.array([1.0, -1.0]), np.array([2.0, -2.0]))
    1.0
    """
    scale = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / scale if scale > 0 else 0.0


def ratio_interval(top: Interval, bottom: Interval, correlation: float = 0.0) -> Interval:
    """Return the ratio of two figures from 0 to 1 with an interval from theirs (MOVER-R).

    Undefined where the divisor is 0; the upper bound is inf where the divisor's lower bound is 0.

    References
    ----------
    Donner A, Zou GY (2012). Closed-form confidence intervals for functions of the normal mean and
    standard deviation. Statistical Methods in Medical Research 21:347-359.

    Examples
    --------
    >>> print(ratio_interval(wilson_interval(90, 100), wilson_interval(20, 200)))
    9.000 (5.962 to 13.737)
    """
    if not bottom.value > 0:
        return Interval.undefined()
    (p, p_low, p_high), (q, q_low, q_high) = (
        (each.value, each.low, each.high) for each in (top, bottom)
    )
    middle = p * q - correlation * (p - p_low) * (q_high - q)
    inside = middle**2 - p_low * q_high * (2 * p - p_low) * (2 * q - q_high)
    numerator = p_low * (2 * p - p_low)
    low = numerator / (middle + math.sqrt(max(0.0, inside))) if numerator > 0 else 0.0
    middle = p * q - correlation * (p_high - p) * (q - q_low)
    inside = middle**2 - p_high * q_low * (2 * p - p_high) * (2 * q - q_low)
    divisor = q_low * (2 * q - q_low)
    high = (middle + math.sqrt(max(0.0, inside))) / divisor if divisor > 0 else math.inf
    return Interval(p / q, low, high)


def number_patients(patients: npt.ArrayLike | None, n_images: int) -> Integers:
    """Return patient numbers from 0; without patients, each image has its own.

    Examples
    --------
    >>> number_patients(["b", "a", "b"], 3).tolist(), number_patients(None, 3).tolist()
    ([1, 0, 1], [0, 1, 2])
    """
    if patients is None:
        return np.arange(n_images)
    known = check_of_rows("patients", patients, n_images)
    return np.unique(known, return_inverse=True)[1].astype(np.int64)
