"""Comparison of rows on the same test images: with the best CNN, float32, columns alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from featx.benchmarking.column_rows import JOINED
from featx.benchmarking.controls import PERMUTED
from featx.benchmarking.evaluation import Evaluation
from featx.features.columns import COLUMNS
from featx.metrics.paired_tests import ComparisonResult
from featx.reporting.differences import corrected, paired_rows, pick_reference
from featx.reporting.records import SAVED, BenchmarkRow, Comparison


def compare(evaluations: Sequence[Evaluation]) -> list[BenchmarkRow]:
    """Return the rows with their tested differences from the best CNN and from float32."""
    references = _compare_with_reference(evaluations)
    precisions = _compare_pairs(evaluations, _networks)
    alone = _compare_pairs(evaluations, _images)
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


def _networks(row: BenchmarkRow, exact: bool) -> Hashable:
    """Identify the networks of a row, or the same in float32: by name, weights, size, precision."""
    found = []
    for recipe in row.recipes:
        int8 = recipe.get("origin", {}).get("quantized_from", recipe)
        source = {"precision": "float32", **(int8 if exact else recipe)}
        # Columns have none of these.
        facts = (str(source.get(name)) for name in ("backbone", "weights", "size"))
        found.append((*facts, exact or source["precision"] == "float32"))
    return row.kind, row.backbone.endswith(JOINED), tuple(found)


def _images(row: BenchmarkRow, alone: bool) -> Hashable:
    """Return the name of the features of a row, or of its columns alone."""
    return COLUMNS if alone and row.backbone.endswith(JOINED) else row.backbone


def _compare_pairs(
    evaluations: Sequence[Evaluation], features: Callable[[BenchmarkRow, bool], Hashable]
) -> dict[str, Comparison]:
    """Test rows against the same classifier on other features, with Holm's correction."""
    fitted = [each for each in evaluations if each.row.kind in SAVED]
    by_models = {(features(each.row, False), each.row.classifier): each for each in fitted}
    pairs = {}
    for each in fitted:
        wanted = features(each.row, True)
        other = by_models.get((wanted, each.row.classifier))
        if wanted != features(each.row, False) and other is not None:
            pairs[each.row.name] = other.row.name, _test(each, other)
    differences = corrected([test for _, test in pairs.values()])
    return {
        name: Comparison(other, {"auc": found["auc"]})
        for (name, (other, _)), found in zip(pairs.items(), differences, strict=True)
    }
