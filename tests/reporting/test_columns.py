from __future__ import annotations

import math

import pytest

from featx.metrics.intervals import Interval
from featx.reporting.columns import MAIN, MORE, columns_of, make_cell
from featx.reporting.records import BenchmarkRow, Costs, SetScores

NAN = math.nan


@pytest.mark.parametrize(
    ("value", "text", "interval"),
    [
        (Interval(0.12345, 0.1, 0.2), "0.123", "0.100\u20130.200"),
        (Interval(-0.1, -0.2, 0.05), "-0.100", "-0.200 to 0.050"),
        (Interval(0.5, NAN, NAN), "0.500", ""),
        (Interval(NAN, NAN, NAN), "-", ""),
        (NAN, "-", ""),
        ("better", "better", ""),
        (None, "-", ""),
    ],
)
def test_cells(value, text, interval):
    cell = make_cell(value)
    assert (cell.text, cell.interval) == (text, interval)
    assert (cell.order == "") == (text == "-")


def test_columns_without_a_value_are_left_out():
    scores = SetScores({"auc": Interval(0.9, 0.8, 1.0), "brier": Interval(NAN, NAN, NAN)}, 8)
    rows = [
        BenchmarkRow("a", "a", "svm", "frozen", scores),
        BenchmarkRow("b", "b", "svm", "frozen", SetScores({}, 8), costs=Costs(peak_memory=0)),
    ]
    assert [column.field for column in columns_of(MAIN + MORE, rows)] == ["auc", "peak_memory"]
