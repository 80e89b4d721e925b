"""Comparison of rows on the same test images: with the best CNN, float32, columns alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from featx.backbones.registry import PRECISIONS
from featx.benchmarking.column_rows import JOINED
from featx.benchmarking.controls import PERMUTED
from featx.benchmarking.evaluation import Evaluation
from featx.features.columns import COLUMNS
from featx.metrics.paired_tests import ComparisonResult
from featx.reporting.differences import corrected, paired_rows, pick_reference
from featx.reporting.records import SAVED, BenchmarkRow, Comparison

# At the end of each backbone's name in a row's.
_PRECISION = rf"@({'|'.join(PRECISIONS)})(?=\+|$)"


def compare(evaluations: Sequence[Evaluation]) -> list[BenchmarkRow]:
    """Return the rows with their tested differences from the best CNN and from float32."""
    references = _compare_with_reference(evaluations)
    precisions = _compare_pairs(evaluations, _exact)
    alone = _compare_pairs(evaluations, _without_images)
    return [
        replace(
            each.row,
            comparison=references.get(each.row.name),
            float32=precisions.get(each.row.name),
            columns_alone=alone.get(each.row.name),
        )
        for each in evaluations
    ]


def _compare_with_reference(evaluations: Sequence[Evaluation]) -> dict[str, Comparison]:
    """Test AUC (DeLong) and accuracy (McNemar) by patient, with Holm's correction over rows."""
    best = pick_reference([each.row for each in evaluations])
    if best is None:
        return {}
    reference = next(each for each in evaluations if each.row is best)
    units = [e for e in evaluations if e.row.unit is not None]
    # Decisions by patient are compared with those of the same CNN.
    by_unit = [e for e in units if e.row.unit is not None and e.row.unit.row == best.name]
    # Adapted models have seen the test images, and permuted labels are others.
    pairs = [
        (each, reference)
        for each in evaluations
        if each is not reference
        and each.row.kind not in ("adapted", "unit")
        and each.row.backbone != PERMUTED
    ]
    pairs += [(each, other) for other in by_unit for each in units if each is not other]
    differences = corrected([_test(*pair) for pair in pairs])
    return {
        each.row.name: Comparison(other.row.name, found)
        for (each, other), found in zip(pairs, differences, strict=True)
    }


def _test(each: Evaluation, other: Evaluation) -> dict[str, ComparisonResult]:
    return paired_rows(each.row, each.predictions, other.row, other.predictions)


def _exact(backbone: str) -> str:
    """Return the name of the same networks in float32."""
    # Not by the registry, which need not have the networks of an earlier run.
    return re.sub(_PRECISION, "", backbone)


def _without_images(backbone: str) -> str:
    """Return the name of the columns of a row alone."""
    return COLUMNS if backbone.endswith(JOINED) else backbone


def _compare_pairs(
    evaluations: Sequence[Evaluation], partner: Callable[[str], str]
) -> dict[str, Comparison]:
    """Test rows against the same classifier on another backbone, with Holm's correction."""
    fitted = [each for each in evaluations if each.row.kind in SAVED]
    by_models = {(each.row.backbone, each.row.classifier): each for each in fitted}
    pairs = {}
    for each in fitted:
        name = partner(each.row.backbone)
        other = by_models.get((name, each.row.classifier))
        if name != each.row.backbone and other is not None:
            pairs[each.row.name] = other.row.name, _test(each, other)
    differences = corrected([test for _, test in pairs.values()])
    return {
        name: Comparison(other, {"auc": found["auc"]})
        for (name, (other, _)), found in zip(pairs.items(), differences, strict=True)
    }
