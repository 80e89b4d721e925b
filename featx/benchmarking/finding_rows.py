"""Rows of averages over findings or groups, from the rows of each."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from featx.benchmarking.controls import PERMUTED
from featx.classifiers.predictions import Predictions
from featx.metrics.intervals import Interval
from featx.metrics.multi_label import FindingScores, macro_auc_difference, macro_average
from featx.metrics.paired_tests import holm
from featx.metrics.scores import FEWEST_PATIENTS, Scores, Subgroup
from featx.reporting.differences import pick_reference
from featx.reporting.records import BenchmarkRow, Comparison, Costs, Difference
from featx.reporting.results_folder import Results


def average_rows(
    results: Mapping[str, Results], n_train: int | None = None, column: str | None = None
) -> list[BenchmarkRow]:
    """Average the rows of each model over findings, or over the groups of a column.

    The number of training images is that given, by default the mean over groups.
    """
    models = dict.fromkeys((row.name, row.kind) for each in results.values() for row in each.rows)
    rows = [_average(name, kind, results, n_train, column) for name, kind in models]
    return _compared(rows, results)


def _compared(rows: list[BenchmarkRow], results: Mapping[str, Results]) -> list[BenchmarkRow]:
    """Add the differences of mean AUC from the best CNN, with Holm's correction over rows."""
    best = pick_reference(rows)
    others = [
        row
        for row in rows
        if best is not None
        and row.name != best.name
        and row.kind not in ("adapted", "unit")
        and row.backbone != PERMUTED
        and all(row.name in each.predictions.get("", {}) for each in results.values())
    ]
    if best is None or not all(best.name in e.predictions.get("", {}) for e in results.values()):
        return rows
    tests = []
    for row in others:
        pairs = [
            each.predictions[""][row.name].paired_with(each.predictions[""][best.name])
            for each in results.values()
        ]
        first, second = zip(*pairs, strict=True)
        tests.append(macro_auc_difference([*map(_part, first)], [*map(_part, second)]))
    found = {
        row.name: Comparison(best.name, {"auc": Difference.from_test(test, float(p_value))})
        for row, test, p_value in zip(others, tests, holm([t.p_value for t in tests]), strict=True)
    }
    return [replace(row, comparison=found.get(row.name)) for row in rows]


def _average(
    name: str, kind: str, results: Mapping[str, Results], n_train: int | None, column: str | None
) -> BenchmarkRow:
    rows = {
        finding: row
        for finding, each in results.items()
        for row in each.rows
        if (row.name, row.kind) == (name, kind)
    }
    first, others = next(iter(rows.values())), [*rows.values()]
    externals = dict.fromkeys(external for row in others for external in row.externals)
    scores = _scores(rows, results, "", column, complete=len(rows) == len(results))
    return BenchmarkRow(
        name=name,
        backbone=first.backbone,
        classifier=first.classifier,
        kind=kind,
        # As controls have no subgroups.
        scores=replace(scores, subgroups=()) if kind == "control" else scores,
        externals={name: _scores(rows, results, name, column) for name in externals},
        n_train=round(statistics.fmean(r.n_train for r in others)) if n_train is None else n_train,
        views=first.views,
        test_views=first.test_views,
        auc_out_of_fold=_mean([row.auc_out_of_fold for row in others]),
        validation_auc=_mean([row.validation_auc for row in others]),
        costs=_costs([row.costs for row in others]),
        recipes=first.recipes if all(r.recipes == first.recipes for r in others) else (),
        recipe_digests=first.recipe_digests,
        settings=_common([row.settings for row in others]),
        # How images are combined is chosen for each finding or group.
        unit=None if first.unit is None else replace(first.unit, combined="", areas={}),
    )


def _scores(
    rows: Mapping[str, BenchmarkRow],
    results: Mapping[str, Results],
    external: str,
    column: str | None,
    *,
    complete: bool = True,
) -> Scores:
    """Average a model's figures on one set; undefined where the model lacks a finding."""
    parts: list[FindingScores] = []
    found: dict[str, Scores] = {}
    names: set[str] = set()
    for finding, row in rows.items():
        if external and external not in row.externals:
            continue
        scores = row.externals[external] if external else row.scores
        predictions = results[finding].predictions[external][row.name]
        parts.append(_part(predictions.decide(scores.threshold), scores.metrics))
        names |= {*predictions.names}
        found[finding] = scores
    metrics = macro_average(parts)
    if not complete:
        metrics = dict.fromkeys(metrics, Interval.undefined())
    subgroups: tuple[Subgroup, ...] = ()
    if column and not external:
        # Figures of each group that was left out, of other models each.
        small = {group: (s.fewest_patients or 0) < FEWEST_PATIENTS for group, s in found.items()}
        subgroups = tuple(Subgroup(column, group, s, small[group]) for group, s in found.items())
    known = all(scores.n_patients is not None for scores in found.values())
    fewest = [s.fewest_patients for s in found.values() if s.fewest_patients is not None]
    return Scores(
        metrics=metrics,
        n=len(names),
        n_patients=len({patient for part in parts for patient in part.patients}) if known else None,
        per_class={} if column else {name: scores.metrics for name, scores in found.items()},
        subgroups=subgroups,
        fewest_patients=min(fewest, default=None),
    )


def _part(predictions: Predictions, figures: dict[str, Interval] | None = None) -> FindingScores:
    known = predictions.patients
    called = predictions.predicted
    return FindingScores(
        labels=predictions.labels,
        probabilities=predictions.probabilities,
        predicted=predictions.labels if called is None else np.asarray(called),
        patients=predictions.names if known is None else known,
        figures=figures or {},
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if values and len(known) == len(values) else None


def _costs(costs: Sequence[Costs]) -> Costs:
    """Add up fits; features are extracted once, at most those of the finding with most images."""
    found: dict[str, Any] = {}
    for name in Costs.__dataclass_fields__:
        known = [value for each in costs if (value := getattr(each, name)) is not None]
        combine = sum if name == "seconds_fit" else max
        found[name] = combine(known) if known else None
    return Costs(**found)


def _common(settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first, *others = settings
    return {
        name: value
        for name, value in first.items()
        if all(name in each and each[name] == value for each in others)
    }
