"""What must stand below a table for it to be believed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from featx.benchmarking.comparison import pick_reference
from featx.benchmarking.result_cache import Row

__all__ = ["note_on_curve", "notes_on_rows", "shortcuts"]

# A control that gets this share of the way from chance to the best model is near it.
NEAR_SHARE = 0.8


def notes_on_rows(rows: Sequence[Row]) -> list[str]:
    """Say what the rows call for: references, collapses, failures, shortcuts."""
    notes = []
    reference = pick_reference(rows)
    if reference is not None and any("auc_verdict" in row for row in rows):
        notes.append(
            f"Compared with {reference['backbone']}, the CNN that did best on validation "
            "patients: DeLong's test for AUC, McNemar's for accuracy, Holm's correction."
        )
    notes += [
        f"{row['backbone']}, {row['classifier']}: AUC {row['auc']:.4f}, "
        f"{row['float32_auc_difference']:+.4f} against float32 (95 % CI "
        f"{row['float32_auc_difference_low']:+.4f} to {row['float32_auc_difference_high']:+.4f})."
        for row in rows
        if "float32" in row
    ]
    if any("auc_seeds_sd" in row for row in rows):
        times = max(len(row.get("auc_seeds", [])) for row in rows)
        notes.append(
            f"SD over seeds is that of the out-of-fold AUC of {times} cross-validations by patient "
            "on the training images, settings kept."
        )
    if any(row["kind"] == "adapted" for row in rows):
        notes.append(
            "Adapted models have seen the test images, without their labels, all at once: their "
            "figures hold for collections that are given whole, and are compared with no other's."
        )
    notes += [
        f"COLLAPSED: {row['backbone']}, {row['classifier']} {row['collapse_reason']}. It is no "
        "result."
        for row in rows
        if row["collapsed"]
    ]
    notes += [
        f"COLLAPSED on {name}: {row['backbone']}, {row['classifier']} {found['collapse_reason']}."
        for row in rows
        for name, found in row.get("externals", {}).items()
        if found["collapsed"]
    ]
    notes += [f"{row['backbone']}: {text}" for row in rows for text in row.get("diagnosis", [])]
    return notes + shortcuts(rows)


def note_on_curve(points: Sequence[Row]) -> list[str]:
    """Tell a learning curve in a sentence.

    Examples
    --------
    >>> few = {"name": "x-svm", "n_patients": 9, "auc": 0.7}
    >>> note_on_curve([few, {**few, "n_patients": 20, "auc": 0.9}])
    ['Learning curve of x-svm: AUC 0.700 with 9 training patients, 0.900 with 20.']
    """
    if not points:
        return []
    first, *others = points
    told = [f"{first['auc']:.3f} with {first['n_patients']:,} training patients"]
    told += [f"{point['auc']:.3f} with {point['n_patients']:,}" for point in others]
    return [f"Learning curve of {first['name']}: AUC {', '.join(told)}."]


def shortcuts(rows: Sequence[Row]) -> list[str]:
    """Name the controls that get most of the way from chance to the best model."""
    measured = [row for row in rows if row["auc"] is not None and math.isfinite(row["auc"])]
    models = (row["auc"] for row in measured if row["kind"] not in ("control", "adapted"))
    best = max(models, default=1.0)
    return [
        f"SHORTCUT: {row['backbone']} alone reaches AUC {row['auc']:.3f}, where the best model "
        f"reaches {best:.3f}. These images can largely be told apart without looking for disease."
        for row in measured
        if row["kind"] == "control" and row["auc"] - 0.5 >= NEAR_SHARE * (best - 0.5)
    ]
