"""Figures of groups of images, and their differences from the largest group."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import optimize

from featx.errors import UsageError
from featx.metrics._one_vs_rest import proportion_influence
from featx.metrics.intervals import (
    Floats,
    Integers,
    Interval,
    correlation,
    difference_interval,
    number_patients,
    proportion_interval,
)
from featx.metrics.labels import check_codes
from featx.metrics.operating_point import Threshold, decide
from featx.metrics.paired_tests import ComparisonResult, holm
from featx.metrics.ranking import macro_auc_influence, macro_auc_interval, ranked
from featx.metrics.resampled import TwoWayTask
from featx.metrics.scores import FEWEST_PATIENTS, Subgroup, evaluate

__all__ = ["MISSING", "subgroup_scores"]

Mask = npt.NDArray[np.bool_]

MISSING = "missing"
"""Group of the images without a value; no other is compared with it."""

# p-values outside are not told apart.
_LOWEST, _HIGHEST = 1e-12, 0.98


@dataclass(frozen=True)
class _Figure:
    """A figure of one group: its interval at any confidence, and each patient's influence."""

    interval: Callable[[float], Interval]
    influence: Floats


def subgroup_scores(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    groups: Mapping[str, Mapping[str, npt.ArrayLike]],
    *,
    threshold: Threshold = 0.5,
    class_names: tuple[str, ...],
    patients: npt.ArrayLike | None = None,
    n_bootstrap: int = 1000,
    random_state: int = 0,
) -> tuple[Subgroup, ...]:
    """Evaluate a classifier on groups of images, and test their differences.

    Each group has the figures and intervals of `featx.metrics.scores.evaluate`. AUC, sensitivity
    and specificity (of more than two classes AUC and accuracy) are compared with those of the
    column's largest group that is neither small nor of missing values. The interval of a difference
    is made from those of the two groups (`difference_interval`), with the correlation that patients
    with images in both give; the p-value is that of the widest such interval without 0. p-values
    are corrected over the groups and figures of a column, by `holm`. `groups` says by column and by
    group which images are in it; groups without images are left out.

    A group is small, and is not tested, where a class has fewer than 10 effective patients: with
    fewer, intervals were not found to hold 95 %, see ``scripts/bench/coverage.py``.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> labels, old = np.arange(200) % 2, np.arange(200) < 80
    >>> p = np.clip(generator.normal(0.3 + 0.4 * labels * ~old, 0.1), 0, 1)
    >>> young, aged = subgroup_scores(
    ...     labels, np.column_stack([1 - p, p]), {"age": {"young": ~old, "old": old}},
    ...     class_names=("well", "ill"),
    ... )
    >>> aged.reference, round(aged.differences["auc"].difference, 2)
    ('young', -0.46)
    """
    codes = check_codes(labels, len(class_names))
    table = np.asarray(probabilities, dtype=np.float64)
    numbers = number_patients(patients, len(codes))
    known = None if patients is None else numbers

    def scored(column: str, name: str, mask: Mask) -> Subgroup:
        scores = evaluate(
            codes[mask],
            table[mask],
            threshold=threshold,
            class_names=class_names,
            patients=None if known is None else known[mask],
            n_bootstrap=n_bootstrap,
            random_state=random_state,
        )
        absent = len(np.unique(codes[mask])) < len(class_names)
        small = absent or (scores.fewest_patients or 0) < FEWEST_PATIENTS
        return Subgroup(column, name, scores, small)

    predicted = decide(table, threshold if isinstance(threshold, tuple | float) else None)
    found: list[Subgroup] = []
    for column, given in groups.items():
        masks = {name: _checked(mask, len(codes)) for name, mask in given.items()}
        masks = {name: mask for name, mask in masks.items() if mask.any()}
        own = [scored(column, name, mask) for name, mask in masks.items()]
        tested = [s for s in own if not s.is_small and s.group != MISSING]
        reference = max(tested, key=lambda each: each.scores.n, default=None)
        if reference is not None:
            figures = {
                each.group: _figures(codes, table, predicted, numbers, masks[each.group])
                for each in own
                if not each.is_small
            }
            own = _compared(own, figures, reference.group)
        found += own
    return tuple(found)


def _checked(mask: npt.ArrayLike, n_images: int) -> Mask:
    chosen = np.asarray(mask, dtype=bool)
    if chosen.shape != (n_images,):
        raise UsageError(
            f"a group is given by a mask of shape {chosen.shape}, and there are {n_images:,} "
            "images; give True or False for each"
        )
    return chosen


def _figures(
    codes: Integers, table: Floats, predicted: Integers, numbers: Integers, mask: Mask
) -> dict[str, _Figure]:
    """Return the figures of one group that are tested."""
    scores, n_patients = ranked(table)[mask], int(numbers.max()) + 1
    truth, of_patients = codes[mask], numbers[mask]
    if table.shape[1] == 2:
        task = TwoWayTask(truth == 1, scores, predicted[mask] == 1)
        proportions = {n: task.proportions[n] for n in ("sensitivity", "specificity")}
    else:
        proportions = {"accuracy": (predicted[mask] == truth, np.ones(len(truth), dtype=bool))}
    influence = macro_auc_influence(truth, scores, of_patients)[1]
    figures = {
        "auc": _Figure(
            lambda level: macro_auc_interval(truth, scores, level, of_patients),
            np.pad(np.nan_to_num(influence), (0, n_patients - len(influence))),
        )
    }
    for name, (outcome, among) in proportions.items():
        figures[name] = _Figure(
            partial(proportion_interval, outcome[among], of_patients[among]),
            proportion_influence(outcome, among, of_patients, n_patients),
        )
    return figures


def _compared(
    groups: list[Subgroup], figures: Mapping[str, Mapping[str, _Figure]], reference: str
) -> list[Subgroup]:
    """Add the differences of the groups of a column that are not small from one of them."""
    tests = {
        (name, figure): _difference(found, figures[reference][figure])
        for name in figures
        if name != reference
        for figure, found in figures[name].items()
    }
    corrected = holm([test.p_value for test in tests.values()]).tolist()
    differences: dict[str, dict[str, ComparisonResult]] = {}
    for ((name, figure), test), p_value in zip(tests.items(), corrected, strict=True):
        differences.setdefault(name, {})[figure] = replace(test, p_value=p_value)
    return [
        replace(each, reference=reference, differences=differences[each.group])
        if each.group in differences
        else each
        for each in groups
    ]


def _difference(first: _Figure, second: _Figure) -> ComparisonResult:
    """Test the difference of a figure between two groups."""
    together = correlation(first.influence, second.influence)

    def at(confidence: float) -> Interval:
        one, other = (each.interval(confidence) for each in (first, second))
        return difference_interval(one, other, together)

    found = at(0.95)

    def inside(log_p: float) -> float:
        """Return how far inside the interval 0 is; below 0, how far outside."""
        bounds = at(1 - math.exp(log_p))
        return -bounds.low if found.value > 0 else bounds.high

    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    if math.isnan(found.low + found.high):
        p_value = math.nan
    elif found.value == 0 or inside(high) >= 0:
        p_value = 1.0
    elif inside(low) <= 0:
        p_value = _LOWEST
    else:
        p_value = math.exp(optimize.brentq(inside, low, high, xtol=1e-4))
    return ComparisonResult(found.value, found.low, found.high, p_value)
