"""Columns of the tables: which figures, their titles, and how a cell is written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from featx.metrics.intervals import Interval
from featx.reporting.records import BenchmarkRow

Value = Interval | float | str | tuple[float, ...] | None


@dataclass(frozen=True)
class Cell:
    """Text of a cell, its interval, and the value it is sorted by."""

    text: str
    interval: str = ""
    order: str = ""


@dataclass(frozen=True)
class Column:
    """One figure of every row: an estimate, an attribute or a cost; or the verdict on one."""

    field: str
    title: str
    meaning: str
    form: str = "{:.3f}"
    is_verdict: bool = False

    def value(self, row: BenchmarkRow) -> Value:
        """Return a row's value; None where it has none."""
        if self.is_verdict:
            differences = row.comparison.differences if row.comparison else {}
            return differences[self.field].verdict if self.field in differences else None
        found: Value = row.estimates.get(self.field)
        for owner in (row, row.costs):
            if found is None:
                found = getattr(owner, self.field, None)
        return found

    def cell(self, row: BenchmarkRow) -> Cell:
        """Write a row's cell."""
        return make_cell(self.value(row), self.form)


def make_cell(value: Value, form: str = "{:.3f}") -> Cell:
    """Write a value as a cell.

    Examples
    --------
    >>> make_cell(Interval(-0.1, -0.2, 0.05))
    Cell(text='-0.100', interval='-0.200 to 0.050', order='-0.1')
    """
    if isinstance(value, str):
        return Cell(value or "-", order=value)
    if isinstance(value, tuple):
        return Cell(", ".join(map(form.format, value)))
    number = value.value if isinstance(value, Interval) else value
    if number is None or not math.isfinite(number):
        return Cell("-")
    interval = ""
    if isinstance(value, Interval) and math.isfinite(value.low) and math.isfinite(value.high):
        # A dash before a minus sign would be misread.
        between = " to " if value.low < 0 else "\u2013"
        interval = f"{form.format(value.low)}{between}{form.format(value.high)}"
    return Cell(form.format(number), interval, repr(float(number)))


MAIN = (
    Column("auc", "AUC", "area under the ROC curve"),
    Column("accuracy", "Accuracy", "proportion of images classified correctly"),
    Column("sensitivity", "Sensitivity", "proportion of positives classified as positive"),
    Column("specificity", "Specificity", "proportion of negatives classified as negative"),
    Column("f1", "F1", "harmonic mean of sensitivity and PPV"),
    Column("auc_seeds_sd", "SD over seeds", "of the AUC out of fold", "{:.4f}"),
    Column("seconds_extract", "Extract, s", "seconds to extract features", "{:,.0f}"),
    Column("seconds_fit", "Fit, s", "seconds to choose and fit", "{:,.0f}"),
    Column("auc", "AUC against CNN", "DeLong's test, corrected by Holm", is_verdict=True),
    Column(
        "accuracy", "Accuracy against CNN", "McNemar's test, corrected by Holm", is_verdict=True
    ),
)
"""Columns of the first table."""

MORE = (
    Column("balanced_accuracy", "Balanced accuracy", "mean of the recall of all classes"),
    Column("ppv", "PPV", "proportion of positive predictions that are right"),
    Column("npv", "NPV", "proportion of negative predictions that are right"),
    Column("mcc", "MCC", "Matthews' correlation of labels and predictions; 0: by chance"),
    Column("lr_positive", "LR+", "sensitivity / (1 - specificity)", "{:.2f}"),
    Column("lr_negative", "LR-", "(1 - sensitivity) / specificity", "{:.3f}"),
    Column("average_precision", "Average precision", "area under precision and recall"),
    Column("brier", "Brier", "mean squared error of probabilities; 0 is best"),
    Column("calibration_slope", "Calibration slope", "1 is best; under 1: too extreme", "{:.2f}"),
    Column("calibration_intercept", "Calibration intercept", "0 is best", "{:.2f}"),
    Column("expected_calibration_error", "ECE", "expected calibration error; 0 is best"),
    Column("threshold", "Threshold", "operating point, chosen on training images"),
    Column("auc_out_of_fold", "AUC out of fold", "by cross-validation on training images"),
    Column("validation_auc", "Validation AUC", "of a baseline, on its validation images"),
    Column("n_features", "Features", "of the matrix", "{:,.0f}"),
    Column("parameters", "Parameters", "of the network", "{:,.0f}"),
    Column("images_per_second", "Images a second", "when features are extracted", "{:,.1f}"),
    Column("peak_memory", "Peak memory, bytes", "of the process", "{:,.0f}"),
)
"""Columns of the second."""


def columns_of(columns: Iterable[Column], rows: Sequence[BenchmarkRow]) -> list[Column]:
    """Keep the columns that some row has a value for."""
    return [column for column in columns if any(column.cell(row).order for row in rows)]
