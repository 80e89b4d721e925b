"""Comparison of rows on the same test images: with the best CNN, and with float32."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from featx.backbones.registry import PRECISIONS
from featx.benchmarking.evaluation import Evaluation
from featx.metrics.paired_tests import (
    ComparisonResult,
    delong_test,
    holm,
    paired_tests,
)
from featx.metrics.ranking import ranked
from featx.reporting.records import BenchmarkRow, Comparison, Difference
from featx.reporting.reference import pick_reference

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
    tests = [_tests(other, reference) for other in others]
    p_values = {f: holm([test[f].p_value for test in tests]) for f in ("auc", "accuracy")}
    found = {}
    for place, (other, test) in enumerate(zip(others, tests, strict=True)):
        differences = {
            f: Difference.from_test(test[f], float(p[place])) for f, p in p_values.items()
        }
        found[other.row.name] = Comparison(best.name, differences)
    return found


def _tests(each: Evaluation, reference: Evaluation) -> dict[str, ComparisonResult]:
    """Test a row against the reference on the images that both have predictions of."""
    here, there = each.predictions.paired_with(reference.predictions)
    here, there = here.decide(each.row.threshold), there.decide(reference.row.threshold)
    return paired_tests(
        here.labels,
        here.probabilities,
        there.probabilities,
        here.predicted,
        there.predicted,
        here.patients,
    )


def _compare_with_float32(evaluations: Sequence[Evaluation]) -> dict[str, Comparison]:
    """Test the AUC of rows of other precisions against the same row in float32, by patient."""
    frozen = [each for each in evaluations if each.row.kind == "frozen"]
    by_models = {(each.row.backbone, each.row.classifier): each for each in frozen}
    found = {}
    for each in frozen:
        # Not by the registry, which need not have the networks of an earlier run.
        name = re.sub(_PRECISION, "", each.row.backbone)
        exact = by_models.get((name, each.row.classifier))
        if name == each.row.backbone or exact is None:
            continue
        here, there = each.predictions.paired_with(exact.predictions)
        test = delong_test(
            here.labels,
            ranked(here.probabilities),
            ranked(there.probabilities),
            patients=here.patients,
        )
        difference = Difference.from_test(test)
        found[each.row.name] = Comparison(exact.row.name, {"auc": difference})
    return found
