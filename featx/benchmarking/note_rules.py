"""Notes that rows and the learning curve call for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from featx.benchmarking.controls import PERMUTED
from featx.benchmarking.evaluation import Evaluation
from featx.metrics.paired_tests import verdict
from featx.metrics.scores import FEWEST_PATIENTS, Scores
from featx.reporting.differences import comparable, pick_reference, validation_unit
from featx.reporting.notes import Note
from featx.reporting.records import FITTED, FUSED, BenchmarkRow

# A control that reaches this proportion of the way from chance to the best model is near it.
NEAR_BEST = 0.8


def row_notes(rows: Sequence[BenchmarkRow]) -> list[Note]:
    """Return notes on comparisons, repeats, adaptation, collapses, training and shortcuts."""
    notes = []
    if any(row.comparison for row in rows):
        notes += _reference_note(rows)
    for row in rows:
        if row.float32 is not None:
            auc = row.float32.differences["auc"]
            interval = {"difference": auc.value, "low": auc.low, "high": auc.high}
            notes.append(Note("float32", {"model": _model(row), "auc": row.auc, **interval}))
        if row.columns_alone is not None:
            auc = row.columns_alone.differences["auc"]
            columns = [entry["name"] for entry in row.recipes[-1]["columns"]]
            numbers = {name: getattr(auc, name) for name in ("value", "low", "high", "p_value")}
            values = {"model": _model(row), "columns": columns, "auc": row.auc, **numbers}
            notes.append(Note("columns", values))
    notes += _unit_note(rows)
    repeats = max((len(row.auc_seeds) for row in rows), default=0)
    if repeats:
        notes.append(Note("seeds", {"times": repeats}))
    for backbone, row in {row.backbone: row for row in rows if row.kind == "tuned"}.items():
        facts = row.settings["tuned"][0]
        counts = {"fitting": row.n_train, "tuning": facts["images"], "patients": facts["patients"]}
        notes.append(Note("tuned", {"model": backbone, **counts}))
    for row in rows:
        if row.kind == FUSED:
            facts = {"members": row.settings["fused"], "images": row.settings["fused_on"]}
            notes.append(Note("fused", {"model": row.name, **facts}))
    for recipe in {r["backbone"]: r for row in rows for r in row.recipes if "origin" in r}.values():
        shown = {name: recipe["origin"][name] for name in ("title", "source", "license")}
        sha256 = recipe["weights"][:16]
        notes.append(Note("network", {"model": recipe["backbone"], "sha256": sha256, **shown}))
    if any(row.kind == "adapted" for row in rows):
        notes.append(Note("adapted"))
    for row in rows:
        for name, scores in {"": row.scores, **row.externals}.items():
            values = {"model": _model(row), "set": name}
            if scores.collapsed:
                notes.append(Note("collapsed", {**values, "reason": scores.collapse_reason}))
            elif scores.off_center:
                area = scores.metrics["auc"]
                figures = {"auc": area.value, "low": area.low, "high": area.high}
                notes.append(Note("off-center", {**values, "reason": scores.off_center, **figures}))
    for row in rows:
        notes += [Note("diagnosis", {"model": row.backbone, "text": t}) for t in row.diagnosis]
    notes += [*robustness_notes(rows), *few_patients_notes(rows), *subgroup_notes(rows)]
    return notes + shortcut_notes(rows)


def _reference_note(rows: Sequence[BenchmarkRow]) -> list[Note]:
    """Say which CNN rows are compared with, which were no candidates, and on how many views."""
    reference = pick_reference(rows)
    if reference is None:
        return []
    compared = [row for row in rows if row.comparison]
    baselines = [row for row in rows if row.kind == "baseline"]
    values = {
        "model": reference.backbone,
        "by": validation_unit(reference),
        "no_candidates": [row.backbone for row in baselines if not comparable(row, reference)],
        "test_views": reference.test_views,
        "others_views": sorted({row.test_views for row in compared if row.test_views}),
    }
    return [Note("reference", values)]


def _unit_note(rows: Sequence[BenchmarkRow]) -> list[Note]:
    """Say how the images of a unit are combined by each model."""
    found = [(row, row.unit) for row in rows if row.unit is not None]
    if not found:
        return []
    row, unit = found[0]
    counts = {"images": unit.n_images, "units": row.scores.n, "patients": row.scores.n_patients}
    combined = {_model(row): unit.combined for row, unit in found}
    return [Note("unit", {"unit": unit.name, **counts, "combined": combined})]


def few_patients_notes(rows: Sequence[BenchmarkRow]) -> list[Note]:
    """Name the sets with too few patients of a class for the intervals to be trusted."""
    fewest: dict[str, float] = {}
    unknown = set()
    # The labels of a control may be exchanged.
    for row in (row for row in rows if row.kind != "control"):
        for name, scores in {"": row.scores, **row.externals}.items():
            if scores.fewest_patients is not None:
                fewest[name] = min(scores.fewest_patients, fewest.get(name, math.inf))
                if scores.n_patients is None:
                    unknown.add(name)
    return [
        Note(
            "few-images" if name in unknown else "few-patients",
            {"set": name, "patients": patients, "needed": FEWEST_PATIENTS},
        )
        for name, patients in fewest.items()
        if patients < FEWEST_PATIENTS
    ]


def shortcut_notes(rows: Sequence[BenchmarkRow]) -> list[Note]:
    """Name the controls that rank better than chance and nearly as well as the best model.

    With permuted labels nothing should rank better than chance.
    """
    measured = [row for row in rows if math.isfinite(row.auc)]
    permuted = [row for row in measured if row.kind == "control" and row.backbone == PERMUTED]
    measured = [row for row in measured if row not in permuted]
    models = (row.auc for row in measured if row.kind not in ("control", "adapted", "unit"))
    best = max(models, default=1.0)
    areas = [row.estimates["auc"] for row in permuted]
    notes = [Note("permuted", {"auc": a.value, "low": a.low}) for a in areas if a.low > 0.5]
    return notes + [
        Note("shortcut", {"model": row.backbone, "auc": row.auc, "best": best})
        for row in measured
        if row.kind == "control"
        and row.estimates["auc"].low > 0.5
        and row.auc - 0.5 >= NEAR_BEST * (best - 0.5)
    ]


def curve_notes(points: Sequence[Mapping[str, Any]]) -> list[Note]:
    """Return the note on a learning curve, if there is one."""
    if not points:
        return []
    unit = "images" if points[0]["n_patients"] is None else "patients"
    pairs = [[point[f"n_{unit}"], point["auc"]] for point in points]
    return [Note("learning-curve", {"name": points[0]["name"], "points": pairs, "unit": unit})]


def typicality_notes(evaluations: Sequence[Evaluation]) -> list[Note]:
    """Count the images of each set that are unlike the training images, by network."""
    found: dict[str, dict[str, Any]] = {}
    for row, unlike in ((each.row, each.unlike) for each in evaluations):
        for name, count in unlike.items() if row.kind in FITTED else ():
            scores = row.externals[name] if name else row.scores
            note = found.setdefault(name, {"set": name, "images": scores.n, "networks": {}})
            note["networks"][row.backbone] = count
    return [Note("typicality", values) for values in found.values()]


def shift_notes(points: Sequence[Mapping[str, Any]]) -> list[Note]:
    """Return the note on internal shifts, if there is one."""
    if not points:
        return []
    ranges = {
        figure: [min(each), max(each)]
        for figure in ("sensitivity", "specificity")
        for each in [[point[figure] for point in points]]
    }
    return [Note("internal-shifts", {"name": points[0]["name"], **ranges})]


def robustness_notes(rows: Sequence[BenchmarkRow]) -> list[Note]:
    """Name the degradation that each model's AUC falls most under."""
    notes = []
    for row in (row for row in rows if row.robustness):
        points = [point for point in row.robustness if point["auc"] is not None]
        worst = min(points, key=lambda point: point["auc"])
        notes.append(Note("robustness", {"model": _model(row), "first": points[0], "worst": worst}))
    return notes


def subgroup_notes(rows: Sequence[BenchmarkRow]) -> list[Note]:
    """Name the subgroups of each set that differ from the largest, by model, and the small ones."""
    notes, small = [], {}
    for row in rows:
        for name, scores in {"": row.scores, **row.externals}.items():
            if found := _differing(scores):
                values = {"model": _model(row), "set": name, "differences": found}
                notes.append(Note("subgroup-differences", values))
            groups = [[each.column, each.group] for each in scores.subgroups if each.is_small]
            unit = "images" if scores.n_patients is None else "patients"
            if groups:
                small[name] = {"set": name, "groups": groups, "unit": unit}
    return notes + [
        Note("small-subgroups", {**values, "needed": FEWEST_PATIENTS}) for values in small.values()
    ]


def _differing(scores: Scores) -> list[dict[str, Any]]:
    return [
        {"column": each.column, "group": each.group, "reference": each.reference}
        | {"figure": figure, **vars(test)}
        for each in scores.subgroups
        for figure, test in each.differences.items()
        if verdict(test.difference, test.p_value) != "no difference shown"
    ]


def _model(row: BenchmarkRow) -> str:
    return f"{row.backbone}, {row.classifier}"
