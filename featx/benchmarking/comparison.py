"""Every row against the best CNN: whether the difference is more than noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featx.classifiers.predictions import Predictions
from featx.metrics.comparison import holm, paired_tests, verdict

__all__ = ["compare_with_reference", "pick_reference"]

Row = dict[str, Any]


def pick_reference(rows: Sequence[Row]) -> Row | None:
    """Return the baseline that did best on its own validation patients.

    The test images have no say in it: picking the best of several on them would flatter it.
    """
    baselines = [row for row in rows if row["kind"] == "baseline"]
    return max(baselines, key=lambda row: row["validation_auc"] or 0.0, default=None)


def compare_with_reference(rows: Sequence[Row], predictions: Mapping[str, Predictions]) -> None:
    """Add to every row its difference from the reference row, tested and put into words.

    AUC by DeLong's test, accuracy by McNemar's, both minding that a patient's images go together;
    p-values corrected for the number of rows by Holm.
    """
    reference = pick_reference(rows)
    # A model that has seen the test images is not compared with one that has not.
    others = [row for row in rows if row is not reference and row["kind"] != "adapted"]
    if reference is None:
        return
    tests = [_tests(row, reference, predictions) for row in others]
    for figure in ("auc", "accuracy"):
        corrected = holm([test[figure].p_value for test in tests])
        for row, test, p_value in zip(others, tests, corrected, strict=True):
            row[f"{figure}_difference"] = test[figure].difference
            row[f"{figure}_difference_low"] = test[figure].low
            row[f"{figure}_difference_high"] = test[figure].high
            row[f"{figure}_p_value"] = float(p_value)
            row[f"{figure}_verdict"] = verdict(test[figure].difference, float(p_value))
            row["reference"] = reference["name"]


def _tests(row: Row, reference: Row, predictions: Mapping[str, Predictions]) -> dict[str, Any]:
    here, there = predictions[row["name"]].paired_with(predictions[reference["name"]])
    here, there = here.decide(row["threshold"]), there.decide(reference["threshold"])
    return paired_tests(
        here.labels,
        here.probabilities,
        there.probabilities,
        here.predicted,
        there.predicted,
        here.patients,
    )
