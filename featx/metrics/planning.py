"""Number of patients and images that an interval's width or a detectable difference takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from featx.errors import UsageError, find_name
from featx.metrics._labeled import LabeledImages
from featx.metrics.intervals import Interval, design_effect, two_sided_quantile, wilson_interval
from featx.metrics.labels import check_scores
from featx.metrics.ranking import auc_influence, interval_of_variances

__all__ = ["Plan", "measure_pilot", "plan"]

_METRICS = ("auc", "sensitivity", "specificity", "accuracy")
_MOST = 100_000_000


@dataclass(frozen=True)
class Plan:
    """Hold a design, and what it is expected to achieve.

    Parameters
    ----------
    metric : {"auc", "sensitivity", "specificity", "accuracy"}
        Figure that is estimated.
    expected : float
        Its expected value; of a difference, the higher of the two.
    prevalence : float
        Proportion of positive images.
    images_per_patient : float
        Mean number of images of a patient.
    design_effect : float
        Variance of the figure with these patients, over that of as many independent images.
    patients : int
        Number of patients.
    width : float
        Expected width of the interval.
    difference, power : float or None
        Difference of two models on the same images, and the probability that it is found.
    """

    metric: str
    expected: float
    prevalence: float
    images_per_patient: float
    design_effect: float
    patients: int
    width: float = math.nan
    difference: float | None = None
    power: float | None = None

    @property
    def images(self) -> int:
        """Number of images."""
        return round(self.patients * self.images_per_patient)

    @property
    def positive_images(self) -> int:
        """Number of positive images that is expected."""
        return round(self.images * self.prevalence)

    @property
    def text(self) -> str:
        """The plan in one sentence."""
        size = (
            f"{self.patients:,} patients with {self.images:,} images, {self.positive_images:,} "
            f"of them positive (design effect {self.design_effect:.2f})"
        )
        figure = self.metric if self.metric != "auc" else "AUC"
        if self.difference is None:
            return f"{size}: the interval of {figure} {self.expected:.3g} is {self.width:.3f} wide."
        return (
            f"{size}: a difference in {figure} of {self.difference:g}, between "
            f"{self.expected - self.difference:.3g} and {self.expected:.3g}, is found with "
            f"{100 * (self.power or 0):.0f} % power."
        )

    def _interval(self, level: float) -> Interval:
        """Return the interval expected of the figure."""
        if self.metric == "auc":
            return self._auc_interval(level)
        effect, among = self.design_effect, self._among
        degrees = math.inf
        if effect > 1:
            patients = among / self.images_per_patient
            degrees = max(1.0, patients - 1) * (effect / (effect - 1)) ** 2
        trials = among / effect
        return wilson_interval(self.expected * trials, trials, level, degrees)

    @property
    def _among(self) -> float:
        """Number of images that the proportion is of."""
        parts = {"sensitivity": self.prevalence, "specificity": 1 - self.prevalence}
        return self.patients * self.images_per_patient * parts.get(self.metric, 1.0)

    def _auc_interval(self, level: float) -> Interval:
        first, second = (self.design_effect * each for each in self._auc_variances(self.expected))
        patients = (self.patients * self.prevalence, self.patients * (1 - self.prevalence))
        rarer = min(patients) * self.images_per_patient
        return interval_of_variances(
            self.expected, first + second, (first, second), patients, rarer, level
        )

    def _auc_variances(self, area: float) -> tuple[float, float]:
        """Return DeLong's variance expected of normal scores, by positive and negative images."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        distance = math.sqrt(2) * float(special.ndtri(area))
        # Probability that one image is ranked right beside two of the other class.
        both = float(weights @ special.ndtr(distance + nodes) ** 2 / weights.sum())
        images = self.patients * self.images_per_patient
        m, n = images * self.prevalence, images * (1 - self.prevalence)
        spread = (area - 2 * both + area**2) / (m * n)
        return (both - area**2) / m + spread, (both - area**2) / n + spread

    def _power(self, level: float, correlation: float) -> float:
        """Return the probability that a test finds the difference."""
        quantile, gap = two_sided_quantile(level), self.difference or 0.0
        values = (self.expected, self.expected - gap)
        if self.metric == "auc":
            a, b = (sum(self._auc_variances(value)) for value in values)
            error = math.sqrt(self.design_effect * (a + b - 2 * correlation * math.sqrt(a * b)))
            return float(special.ndtr(gap / error - quantile))
        a, b = (value * (1 - value) for value in values)
        variance = a + b - 2 * correlation * math.sqrt(a * b)
        # Connor RJ (1987), Biometrics 43:207-211, for McNemar's test.
        root = math.sqrt(self._among / self.design_effect)
        reach = gap * root - quantile * math.sqrt(variance + gap**2)
        return float(special.ndtr(reach / math.sqrt(variance)))


def plan(
    metric: str = "auc",
    *,
    width: float | None = None,
    difference: float | None = None,
    power: float = 0.8,
    expected: float | None = None,
    prevalence: float | None = None,
    images_per_patient: float | None = None,
    design_effect: float | None = None,
    pilot: Plan | None = None,
    correlation: float = 0.5,
    level: float = 0.95,
) -> Plan:
    """Return how many patients and images a width or a difference takes.

    The width is that of the interval that featx gives the expected value; the variance of an AUC is
    taken from normal scores of equal spread. The power is that of DeLong's or McNemar's test.

    Parameters
    ----------
    metric : {"auc", "sensitivity", "specificity", "accuracy"}, default="auc"
        Figure to estimate or to compare.
    width : float, optional
        Wanted width of the interval that featx gives the figure. Give this or `difference`.
    difference : float, optional
        Difference between two models on the same images that the test should find.
    power : float, default=0.8
        Probability that it is found.
    expected : float, optional
        Expected value of the figure, above 0 and under 1; of a difference, the higher of the two.
    prevalence : float, optional
        Proportion of positive images.
    images_per_patient : float, optional
        Mean number of images of a patient; 1 by default.
    design_effect : float, optional
        Variance of the figure with these patients, over that of as many independent images. By
        default `images_per_patient`, which is safe: as if the images of a patient were copies.
    pilot : Plan, optional
        Result of `measure_pilot`, for all values that are not given.
    correlation : float, default=0.5
        Correlation between the two models' AUCs, or between their correct predictions.
    level : float, default=0.95
        Coverage of the interval; 1 less the level of the test.

    Returns
    -------
    Plan
        The fewest patients that suffice.

    Raises
    ------
    UsageError
        If a value is missing or out of its range.

    Examples
    --------
    >>> found = plan("auc", width=0.06, expected=0.9, prevalence=0.3)
    >>> found.patients, round(found.width, 3)
    (470, 0.06)
    """
    metric = find_name("metric", metric, _METRICS)
    if pilot is not None and pilot.metric != metric:
        raise UsageError(f"the pilot is of {pilot.metric}; measure it again for {metric}")
    base = pilot or Plan(metric, math.nan, math.nan, 1.0, math.nan, 0)
    own = base.images_per_patient
    if pilot and design_effect is None and images_per_patient not in (None, own):
        raise UsageError(
            f"the pilot's design effect is that of {own:g} images per patient; give design_effect "
            f"for images_per_patient={images_per_patient:g}"
        )
    given: dict[str, Any] = {
        "expected": expected,
        "prevalence": prevalence,
        "images_per_patient": images_per_patient,
        "design_effect": design_effect,
    }
    start = replace(base, **{name: value for name, value in given.items() if value is not None})
    start = replace(start, difference=difference, power=None if difference is None else power)
    if math.isnan(start.design_effect):
        start = replace(start, design_effect=start.images_per_patient)
    if metric == "accuracy" and math.isnan(start.prevalence):
        start = replace(start, prevalence=0.5)
    _check(start, width, difference, power, correlation, level)

    def sized(patients: int) -> Plan:
        return replace(start, patients=patients)

    def suffices(patients: int) -> bool:
        if width is None:
            return sized(patients)._power(level, correlation) >= power
        bounds = sized(patients)._interval(level)
        return bounds.high - bounds.low <= width

    # Two patients of each class, at least.
    least = math.ceil(2 / min(start.prevalence, 1 - start.prevalence))
    found = sized(_fewest(suffices, least))
    bounds = found._interval(level)
    return replace(found, width=bounds.high - bounds.low)


def measure_pilot(
    metric: str,
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    threshold: float | None = None,
    groups: npt.ArrayLike | None = None,
    pos_label: Any = None,
) -> Plan:
    """Measure on a pilot's scores what `plan` needs.

    Parameters
    ----------
    metric : {"auc", "sensitivity", "specificity", "accuracy"}
        Figure to plan for.
    y_true, y_score, groups, pos_label
        As in `featx.metrics.auc`.
    threshold : float, optional
        Least score at which an image is predicted as positive; all but the AUC need it.

    Returns
    -------
    Plan
        Value, prevalence, images per patient and design effect of the pilot, and its size.

    Examples
    --------
    >>> pilot = measure_pilot("sensitivity", [0, 0, 1, 1, 1, 1], [1, 2, 3, 4, 5, 1], threshold=2,
    ...                       groups=list("aabbcc"))
    >>> pilot.expected, pilot.images_per_patient, round(pilot.design_effect, 2)
    (0.75, 2.0, 1.32)
    """
    metric = find_name("metric", metric, _METRICS)
    images = LabeledImages.of(y_true, groups, pos_label)
    images.check_both()
    positive, numbers = images.positive, images.patients
    scores = check_scores(y_score, len(positive))
    if metric == "auc":
        value, influence = auc_influence(positive, scores, numbers)
        alone = auc_influence(positive, scores, np.arange(len(positive)))[1]
        independent = float(alone @ alone)
        effect = float(influence @ influence) / independent if independent > 0 else math.nan
    else:
        if threshold is None:
            raise UsageError(f"a pilot of {metric} needs threshold, the least positive score")
        sides = {"sensitivity": positive, "specificity": ~positive}
        among = sides.get(metric, np.ones(len(positive), dtype=bool))
        correct = ((scores >= threshold) == positive)[among].astype(np.float64)
        value, effect = float(correct.mean()), design_effect(correct, numbers[among])
    patients = len(np.unique(numbers))
    return Plan(metric, value, float(positive.mean()), len(positive) / patients, effect, patients)


def _fewest(suffices: Callable[[int], bool], least: int) -> int:
    high = least
    while not suffices(high):
        high *= 2
        if high > _MOST:
            raise UsageError(f"more than {_MOST:,} patients would be needed; ask for less")
    low = high // 2
    while high - low > 1 and high > least:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def _check(
    start: Plan,
    width: float | None,
    difference: float | None,
    power: float,
    correlation: float,
    level: float,
) -> None:
    if (width is None) == (difference is None):
        raise UsageError("give either width or difference")
    ranges = {
        "expected": (start.expected, 0, 1),
        "prevalence": (start.prevalence, 0, 1),
        "level": (level, 0, 1),
        "power": (power, 0, 1),
        "width": (width, 0, 1),
        "difference": (difference, 0, min(start.expected, 1)),
        "correlation": (correlation, -1e-9, 1),
        "images_per_patient": (start.images_per_patient, 1 - 1e-9, math.inf),
        "design_effect": (start.design_effect, 0, math.inf),
    }
    for name, (value, low, high) in ranges.items():
        if value is not None and math.isnan(value):
            raise UsageError(f"{name} is not known; give it, or a pilot")
        if value is not None and not low < value < high:
            raise UsageError(f"{name}={value:g}: give a value from {low:g} to {high:g}")
    if start.metric == "auc" and start.expected - (difference or 0) < 0.5:
        raise UsageError("an AUC is planned for from 0.5 on; give a higher expected value")
