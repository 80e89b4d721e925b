"""Differences between rows on the same images, and the baseline that rows are compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from featx.classifiers.predictions import Predictions
from featx.metrics.paired_tests import ComparisonResult, holm, paired_tests
from featx.reporting.records import BenchmarkRow, Difference

FIGURES = {"auc": "AUC", "accuracy": "Accuracy"}
"""Figures whose differences are tested, with their titles."""


def paired_rows(
    row: BenchmarkRow, own: Predictions, other: BenchmarkRow, others: Predictions
) -> dict[str, ComparisonResult]:
    """Test a row's figures less those of another one, on the images that both predicted."""
    a, b = own.paired_with(others)
    a, b = a.decide(row.threshold), b.decide(other.threshold)
    pairs = ((a.probabilities, b.probabilities), (a.predicted, b.predicted))
    if all(np.array_equal(*pair) for pair in pairs):
        return dict.fromkeys(FIGURES, ComparisonResult(0.0, 0.0, 0.0, 1.0))
    patients = a.patients if a.patients is not None else b.patients
    return paired_tests(a.labels, *pairs[0], *pairs[1], patients)


def corrected(
    tests: Sequence[Mapping[str, ComparisonResult] | None],
) -> list[dict[str, Difference]]:
    """Return tested differences by figure, with Holm's correction over all tests of a figure."""
    found: list[dict[str, Difference]] = [{} for _ in tests]
    for figure in FIGURES:
        p_values = holm([math.nan if test is None else test[figure].p_value for test in tests])
        for differences, test, p_value in zip(found, tests, p_values, strict=True):
            if test is not None:
                differences[figure] = Difference.from_test(test[figure], float(p_value))
    return found


def pick_reference(rows: Sequence[BenchmarkRow]) -> BenchmarkRow | None:
    """Return the baseline with the highest AUC on its validation images, before any test.

    Only baselines validated on the same images compete: those of held-out patients, or without
    any, those of held-out images, of which some patients train; with validation sets of several
    sizes, those of the commonest size, and of equally common ones of the largest.
    """
    baselines = [row for row in rows if row.kind == "baseline"]
    by_patient = [row for row in baselines if validation_unit(row) == "patient"]
    groups: dict[object, list[BenchmarkRow]] = {}
    for row in by_patient or baselines:
        groups.setdefault(_validation(row), []).append(row)
    largest = max(groups, key=lambda key: (len(groups[key]), key), default=None)
    return max(groups.get(largest, []), key=_validation_auc, default=None)


def comparable(row: BenchmarkRow, other: BenchmarkRow) -> bool:
    """Whether two baselines of a run were validated on the same images."""
    return _validation(row) == _validation(other)


def validation_unit(row: BenchmarkRow) -> str:
    """Return the unit by which a baseline's validation images were held out."""
    return str(row.settings.get("validation_by", "patient"))


def _validation(row: BenchmarkRow) -> tuple[str, float]:
    # The rows of a run share training images and seed, so that these decide the split.
    return validation_unit(row), row.settings.get("validation_size", 0.0)


def _validation_auc(row: BenchmarkRow) -> float:
    area = row.validation_auc
    return area if area is not None and math.isfinite(area) else -math.inf
