"""Averages over findings or groups, each measured on images of its own, of shared patients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from featx.metrics._one_vs_rest import proportion_influence
from featx.metrics.intervals import (
    Floats,
    Integers,
    Interval,
    mean_interval,
    number_patients,
    two_sided_quantile,
)
from featx.metrics.paired_tests import ComparisonResult, delong_test
from featx.metrics.ranking import macro_auc_influence, ranked
from featx.metrics.resampled import TwoWayTask

__all__ = ["FindingScores", "macro_auc_difference", "macro_average"]

# Figures by the proportion whose influences say how they vary together; F1 follows from Jaccard's.
_PROPORTIONS = {name: name for name in ("sensitivity", "specificity", "ppv", "npv")}
_PROPORTIONS["f1"] = "jaccard"


@dataclass(frozen=True, eq=False)
class FindingScores:
    """Hold the predictions of one finding, or on one group, and the figures measured on them."""

    # Class of each image; of a finding, 1 where it is present.
    labels: Integers
    # Shape (n_images, n_classes).
    probabilities: Floats
    predicted: Integers
    # Under the same names for all findings.
    patients: Sequence[str]
    # As in `featx.metrics.scores.Scores.metrics`.
    figures: dict[str, Interval]


def macro_average(findings: Sequence[FindingScores]) -> dict[str, Interval]:
    """Return the means of figures over findings, with intervals clustered by patient.

    The intervals are made from those of the findings (`mean_interval`). Findings are correlated
    because they share patients; the correlations follow from each patient's influence on the
    figures, 0 on those of findings that a patient has no image for. Of two classes there are also
    ``sensitivity``, ``specificity``, ``ppv``, ``npv`` and ``f1`` besides ``auc`` and ``accuracy``;
    a mean is nan where the figure of any finding is.

    Examples
    --------
    >>> from featx.metrics.scores import evaluate
    >>> labels = np.arange(40) % 2
    >>> p = np.where(labels == 1, 0.6, 0.4) + np.arange(40) % 5 / 10 - 0.2
    >>> both = np.column_stack([1 - p, p])
    >>> figures = evaluate(labels, both, class_names=("no", "yes")).metrics
    >>> one = FindingScores(labels, both, (p >= 0.5).astype(int), [*map(str, range(40))], figures)
    >>> print(figures["auc"], "|", macro_average([one, one])["auc"])
    0.800 (0.629 to 0.899) | 0.800 (0.629 to 0.899)
    """
    numbers, total = _numbered(findings)
    found = [_influences(each, own) for each, own in zip(findings, numbers, strict=True)]
    return {
        name: mean_interval(
            [each.figures[name] for each in findings],
            np.nan_to_num([np.pad(each[name], (0, total - len(each[name]))) for each in found]),
        )
        for name in found[0]
    }


def macro_auc_difference(
    first: Sequence[FindingScores], second: Sequence[FindingScores]
) -> ComparisonResult:
    """Compare the mean areas of two classifiers over findings, clustered by patient.

    The p-value is that of DeLong's variance, from each patient's influence on the differences of
    all findings. The interval is made from those of the findings (`delong_test`, `mean_interval`).
    Findings are in the same order in both, each pair of the same images.

    Examples
    --------
    >>> labels, names = np.arange(40) % 2, [*map(str, range(40))]
    >>> noise = np.arange(40) % 7 / 10 - 0.3
    >>> good, poor = 0.4 + 0.2 * labels + 0.7 * noise, 0.4 + 0.2 * labels + noise
    >>> a, b = (
    ...     FindingScores(labels, np.column_stack([1 - p, p]), (p >= 0.5).astype(int), names, {})
    ...     for p in (good, poor)
    ... )
    >>> found = macro_auc_difference([a, a], [b, b])
    >>> round(found.difference, 3), found.low < found.difference < found.high
    (0.008, True)
    """
    numbers, total = _numbered(first)
    tests, contrasts = [], []
    for a, b, own in zip(first, second, numbers, strict=True):
        scores = ranked(a.probabilities), ranked(b.probabilities)
        tests.append(delong_test(a.labels, *scores, patients=own))
        influences = (macro_auc_influence(a.labels, each, own)[1] for each in scores)
        contrast = np.subtract(*influences)
        contrasts.append(np.nan_to_num(np.pad(contrast, (0, total - len(contrast)))))
    bounds = [Interval(each.difference, each.low, each.high) for each in tests]
    found = mean_interval(bounds, np.array(contrasts))
    error = float(np.linalg.norm(np.mean(contrasts, axis=0)))
    if math.isnan(found.low):
        p_value = math.nan
    elif found.low == found.high:
        p_value = 1.0
    else:
        if error < 1e-10:
            # Both separate the classes perfectly; no variance is left but the interval's.
            error = (found.high - found.low) / (2 * two_sided_quantile(0.95))
        p_value = float(2 * stats.norm.sf(abs(found.value) / error))
    return ComparisonResult(found.value, found.low, found.high, p_value)


def _numbered(findings: Sequence[FindingScores]) -> tuple[list[Integers], int]:
    """Return the patients of each finding as numbers, and how many patients there are."""
    sizes = [len(each.labels) for each in findings]
    named = np.concatenate([np.asarray(each.patients, dtype=np.str_) for each in findings])
    numbers = np.split(number_patients(named, len(named)), np.cumsum(sizes)[:-1])
    return numbers, 1 + max(int(each.max()) for each in numbers)


def _influences(finding: FindingScores, patients: Integers) -> dict[str, Floats]:
    """Return each patient's influence on each figure of one finding, of any scale."""
    labels, predicted = finding.labels, finding.predicted
    area = macro_auc_influence(labels, ranked(finding.probabilities), patients)[1]
    right = proportion_influence(labels == predicted, np.ones(len(labels), dtype=bool), patients)
    found = {"auc": area, "accuracy": right}
    if finding.probabilities.shape[1] == 2:
        task = TwoWayTask(labels == 1, finding.probabilities[:, 1], predicted == 1)
        for name, proportion in _PROPORTIONS.items():
            found[name] = proportion_influence(*task.proportions[proportion], patients)
    return found
