"""Columns of the tables: which figures, their titles, and how a cell is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from featx.metrics.intervals import Interval
from featx.reporting.records import BenchmarkRow

__all__ = ["MAIN", "MORE", "Cell", "Column", "columns_of", "make_cell"]

Value = Interval | float | str | None


@dataclass(frozen=True)
class Cell:
    """Text of a cell, its interval, and the value it is sorted by."""

    text: str
    interval: str = ""
    order: str = ""


@dataclass(frozen=True)
class Column:
    """One figure of every row; without `get` the estimate of the name `field`."""

    field: str
    title: str
    meaning: str
    form: str = "{:.3f}"
    get: Callable[[BenchmarkRow], Value] | None = None
    is_text: bool = False

    def value(self, row: BenchmarkRow) -> Value:
        """Return a row's value; None where it has none."""
        found = row.estimates.get(self.field) if self.get is None else self.get(row)
        return None if found is None or make_cell(found, self.form).text == "-" else found

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
    number = value.value if isinstance(value, Interval) else value
    if number is None or not math.isfinite(number):
        return Cell("-")
    interval = ""
    if isinstance(value, Interval) and math.isfinite(value.low) and math.isfinite(value.high):
        # A dash before a minus sign would be misread.
        between = " to " if value.low < 0 else "\u2013"
        interval = f"{form.format(value.low)}{between}{form.format(value.high)}"
    return Cell(form.format(number), interval, repr(float(number)))


def _verdict(figure: str) -> Callable[[BenchmarkRow], Value]:
    def get(row: BenchmarkRow) -> Value:
        differences = row.comparison.differences if row.comparison else {}
        return differences[figure].verdict if figure in differences else None

    return get


MAIN = (
    Column("auc", "AUC", "area under the ROC curve"),
    Column("accuracy", "Accuracy", "proportion of images classified correctly"),
    Column("sensitivity", "Sensitivity", "proportion of positives classified as positive"),
    Column("specificity", "Specificity", "proportion of negatives classified as negative"),
    Column("f1", "F1", "harmonic mean of sensitivity and PPV"),
    Column(
        "auc_seeds_sd",
        "SD over seeds",
        "of the AUC out of fold",
        "{:.4f}",
        lambda r: r.auc_seeds_sd,
    ),
    Column(
        "seconds_extract",
        "Extract, s",
        "seconds to extract features of all views",
        "{:,.0f}",
        lambda r: r.costs.seconds_extract,
    ),
    Column(
        "seconds_fit",
        "Fit, s",
        "seconds to choose and fit",
        "{:,.0f}",
        lambda r: r.costs.seconds_fit,
    ),
    Column(
        "auc_verdict",
        "AUC against CNN",
        "DeLong's test, corrected by Holm",
        get=_verdict("auc"),
        is_text=True,
    ),
    Column(
        "accuracy_verdict",
        "Accuracy against CNN",
        "McNemar's test, corrected by Holm",
        get=_verdict("accuracy"),
        is_text=True,
    ),
)
"""Columns of the first table."""

MORE = (
    Column("balanced_accuracy", "Balanced accuracy", "mean of the recall of all classes"),
    Column("ppv", "PPV", "proportion of positive predictions that are right"),
    Column("npv", "NPV", "proportion of negative predictions that are right"),
    Column("average_precision", "Average precision", "area under precision and recall"),
    Column("brier", "Brier", "mean squared error of probabilities; 0 is best"),
    Column("calibration_slope", "Calibration slope", "1 is best; under 1: too extreme", "{:.2f}"),
    Column("calibration_intercept", "Calibration intercept", "0 is best", "{:.2f}"),
    Column("expected_calibration_error", "ECE", "expected calibration error; 0 is best"),
    Column(
        "threshold",
        "Threshold",
        "operating point, chosen on training images",
        get=lambda r: r.threshold,
    ),
    Column(
        "auc_out_of_fold",
        "AUC out of fold",
        "by cross-validation on training patients",
        get=lambda r: r.auc_out_of_fold,
    ),
    Column(
        "validation_auc",
        "Validation AUC",
        "of a baseline, on its validation patients",
        get=lambda r: r.validation_auc,
    ),
    Column("n_features", "Features", "of the matrix", "{:,.0f}", lambda r: r.costs.n_features),
    Column("parameters", "Parameters", "of the network", "{:,.0f}", lambda r: r.costs.parameters),
    Column(
        "images_a_second",
        "Images a second",
        "when features are extracted",
        "{:,.1f}",
        lambda r: r.costs.images_per_second,
    ),
    Column(
        "peak_memory",
        "Peak memory, bytes",
        "of the process",
        "{:,.0f}",
        lambda r: r.costs.peak_memory,
    ),
)
"""Columns of the second."""


def columns_of(columns: Iterable[Column], rows: Sequence[BenchmarkRow]) -> list[Column]:
    """Keep the columns that some row has a value for."""
    return [c for c in columns if any(c.value(row) is not None for row in rows)]
