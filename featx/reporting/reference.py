"""The baseline that other rows are compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from featx.reporting.records import BenchmarkRow


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
