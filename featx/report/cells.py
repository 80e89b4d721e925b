"""The page's tables of rows: which columns, what stands in a cell, by what it is sorted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["MAIN", "MORE", "Cell", "Column", "columns_of", "row_label"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """What stands in a cell."""

    text: str
    interval: str = ""
    order: str = ""


@dataclass(frozen=True)
class Column:
    """One figure of every row."""

    field: str
    title: str
    meaning: str
    form: str = "{:.3f}"

    @property
    def is_text(self) -> bool:
        """Whether it holds words."""
        return self.field.endswith("_verdict")

    def cell(self, row: Row) -> Cell:
        """Write a row's cell."""
        value = row.get(self.field)
        if isinstance(value, str):
            return Cell(value, order=value)
        if value is None or not math.isfinite(value):
            return Cell("-")
        low, high = row.get(f"{self.field}_low"), row.get(f"{self.field}_high")
        interval = ""
        if low is not None and high is not None:
            # A dash before a minus would be misread.
            between = " to " if low < 0 else "\u2013"
            interval = f"{self.form.format(low)}{between}{self.form.format(high)}"
        return Cell(self.form.format(value), interval, repr(float(value)))


MAIN = (
    Column("auc", "AUC", "area under the ROC curve"),
    Column("accuracy", "Accuracy", "share of images called right"),
    Column("sensitivity", "Sensitivity", "share of positives found"),
    Column("specificity", "Specificity", "share of negatives left alone"),
    Column("f1", "F1", "harmonic mean of sensitivity and PPV"),
    Column("auc_seeds_sd", "SD over seeds", "of the AUC out of fold", "{:.4f}"),
    Column("seconds_extract", "Extract, s", "seconds to embed all views", "{:,.0f}"),
    Column("seconds_fit", "Fit, s", "seconds to choose and fit", "{:,.0f}"),
    Column("auc_verdict", "AUC against CNN", "DeLong's test, corrected by Holm"),
    Column("accuracy_verdict", "Accuracy against CNN", "McNemar's test, corrected by Holm"),
)
"""Columns of the first table."""

MORE = (
    Column("balanced_accuracy", "Balanced accuracy", "mean over classes of the share called right"),
    Column("ppv", "PPV", "share of positive calls that are right"),
    Column("npv", "NPV", "share of negative calls that are right"),
    Column("average_precision", "Average precision", "area under precision and recall"),
    Column("brier", "Brier", "mean squared error of probabilities; 0 is best"),
    Column("calibration_slope", "Calibration slope", "1 is best; under 1: too extreme", "{:.2f}"),
    Column("calibration_intercept", "Calibration intercept", "0 is best", "{:.2f}"),
    Column("expected_calibration_error", "ECE", "expected calibration error; 0 is best"),
    Column("threshold", "Threshold", "operating point, chosen on training images"),
    Column("auc_out_of_fold", "AUC out of fold", "by cross-validation on training patients"),
    Column("validation_auc", "Validation AUC", "of a baseline, on its validation patients"),
    Column("n_features", "Features", "of the matrix", "{:,.0f}"),
    Column("parameters", "Parameters", "of the network", "{:,.0f}"),
    Column("images_a_second", "Images a second", "when features are extracted", "{:,.1f}"),
    Column("peak_memory", "Peak memory, bytes", "of the process", "{:,.0f}"),
)
"""Columns of the second."""


def columns_of(columns: Iterable[Column], rows: Sequence[Row]) -> list[Column]:
    """Keep the columns that some row has a value for.

    Examples
    --------
    >>> [column.title for column in columns_of(MAIN, [{"auc": 0.9, "brier": None}])]
    ['AUC']
    """
    return [c for c in columns if any(row.get(c.field) not in (None, "") for row in rows)]


def row_label(row: Row) -> str:
    """Name a row in words.

    Examples
    --------
    >>> row_label({"backbone": "resnet50", "classifier": "svm", "kind": "frozen"})
    'resnet50, svm'
    >>> row_label({"backbone": "ramirez-cnn", "classifier": "trained", "kind": "baseline"})
    'ramirez-cnn (baseline)'
    """
    if row["kind"] == "baseline":
        return f"{row['backbone']} (baseline)"
    name = f"{row['backbone']}, {row['classifier']}"
    return name if row["kind"] == "frozen" else f"{name} ({row['kind']})"
