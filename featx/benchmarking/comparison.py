"""Comparison of rows on the same test images: with the best CNN, and with float32."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from featx.backbones.registry import PRECISIONS
from featx.benchmarking.evaluation import Evaluation
from featx.metrics.paired_tests import ComparisonResult
from featx.reporting.differences import corrected, paired_rows, pick_reference
from featx.reporting.records import FITTED, BenchmarkRow, Comparison

# At the end of each backbone's name in a row's.
_PRECISION = rf"@({'|'.join(PRECISIONS)})(?=\+|$)"


def compare(evaluations: Sequence[Evaluation]) -> list[BenchmarkRow]:
    """Return the rows with their tested differences from the best CNN and from float32."""
    references = _compare_with_reference(evaluations)
    precisions = _compare_with_float32(evaluations)
    return [
        replace(
            each.row,
            comparison=references.get(each.row.name),
            float32=precisions.get(each.row.name),
        )
        for each in evaluations
    ]


def _compare_with_reference(evaluations: Sequence[Evaluation]) -> dict[str, Comparison]:
    """Test AUC (DeLong) and accuracy (McNemar) by patient, with Holm's correction over rows."""
    best = pick_reference([each.row for each in evaluations])
    if best is None:
        return {}
    reference = next(each for each in evaluations if each.row is best)
    # Adapted models have seen the test images, so they are not comparable.
    others = [e for e in evaluations if e is not reference and e.row.kind != "adapted"]
    differences = corrected([_test(other, reference) for other in others])
    return {
        other.row.name: Comparison(best.name, found)
        for other, found in zip(others, differences, strict=True)
    }


def _test(each: Evaluation, other: Evaluation) -> dict[str, ComparisonResult]:
    return paired_rows(each.row, each.predictions, other.row, other.predictions)


def _compare_with_float32(evaluations: Sequence[Evaluation]) -> dict[str, Comparison]:
    """Test AUC of rows of other precisions against the same row in float32, corrected alike."""
    frozen = [each for each in evaluations if each.row.kind in FITTED]
    by_models = {(each.row.backbone, each.row.classifier): each for each in frozen}
    pairs = {}
    for each in frozen:
        # Not by the registry, which need not have the networks of an earlier run.
        name = re.sub(_PRECISION, "", each.row.backbone)
        exact = by_models.get((name, each.row.classifier))
        if name != each.row.backbone and exact is not None:
            pairs[each.row.name] = exact.row.name, _test(each, exact)
    differences = corrected([test for _, test in pairs.values()])
    return {
        name: Comparison(exact, {"auc": found["auc"]})
        for (name, (exact, _)), found in zip(pairs.items(), differences, strict=True)
    }
