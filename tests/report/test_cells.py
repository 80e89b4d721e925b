from __future__ import annotations

import math

import pytest

from featx.report.cells import MAIN, MORE, Column, columns_of


@pytest.mark.parametrize(
    ("row", "text", "interval"),
    [
        ({"x": 0.12345, "x_low": 0.1, "x_high": 0.2}, "0.123", "0.100\u20130.200"),
        ({"x": -0.1, "x_low": -0.2, "x_high": 0.05}, "-0.100", "-0.200 to 0.050"),
        ({"x": 0.5, "x_low": None, "x_high": None}, "0.500", ""),
        ({"x": None}, "-", ""),
        ({"x": math.nan}, "-", ""),
        ({"x": "better"}, "better", ""),
        ({}, "-", ""),
    ],
)
def test_cells(row, text, interval):
    cell = Column("x", "X", "").cell(row)
    assert (cell.text, cell.interval) == (text, interval)
    assert (cell.order == "") == (text == "-")


def test_columns_without_a_value_are_left_out():
    rows = [{"auc": 0.9, "brier": None}, {"auc": None, "peak_memory": 0}]
    assert [column.field for column in columns_of(MAIN + MORE, rows)] == ["auc", "peak_memory"]
