import csv
import io
from math import nan

import pytest
from rich.console import Console

from featx.metrics.intervals import Interval
from featx.metrics.scores import Scores
from featx.reporting.columns import MAIN, MORE, columns_of, make_cell
from featx.reporting.records import BenchmarkRow, Costs
from featx.reporting.table_formats import to_csv, to_markdown, to_terminal

VALUES = {"backbone": "vgg16", "classifier": "svm", "kind": "frozen"}
VALUES |= {"auc": 0.98765, "auc_low": 0.97, "auc_high": 0.995}
VALUES |= {"accuracy": 0.9, "accuracy_low": 0.88, "accuracy_high": 0.92, "sensitivity": 1.0}
VALUES |= {"specificity": None, "f1": float("nan"), "seconds_extract": 1234.5, "seconds_fit": 2.4}
COMPARED = {"reference": "ramirez-cnn", "auc_difference": 0.1, "auc_verdict": "better"}
COMPARED |= {"accuracy_difference": 0.0, "accuracy_verdict": "no difference shown"}


def make_row(**changes):
    return BenchmarkRow.from_dict({**VALUES, **changes})


ROW = make_row()
COLLAPSED = make_row(kind="baseline", collapsed=True, collapse_reason="predicts all PNEUMONIA")


def printed(*rows, width=80):
    console = Console(width=width, file=io.StringIO())
    console.print(to_terminal(rows, width))
    return console.file.getvalue()


def test_markdown():
    header, rule, row, collapsed = to_markdown([ROW, COLLAPSED]).splitlines()
    assert header.count("|") == rule.count("|") == row.count("|")
    assert "| vgg16, svm | 0.988 (0.970 to 0.995) | 0.900 (0.880 to 0.920) | 1.000 | - | - |" in row
    assert "1,234 | 2 |" in row
    assert "vgg16 (baseline): COLLAPSED, predicts all PNEUMONIA" in collapsed
    header, _, first, second = to_markdown([make_row(**COMPARED), ROW]).splitlines()
    assert header.endswith("| AUC, accuracy against the CNN |")
    assert first.endswith("| better; no difference shown |") and second.endswith("| - |")
    header, _, row = to_markdown([make_row(backbone="a|b\n# c")]).splitlines()
    assert row.count(" | ") == header.count(" | ") and "a\\|b # c" in row


def test_external_sets_have_their_own_columns():
    other = {"auc": 0.8, "auc_low": 0.7, "auc_high": 0.9, "accuracy": 0.75}
    shown = make_row(externals={"Lyon": other}, auc_seeds=[0.9, 0.92])
    header, _, first, second = to_markdown([shown, ROW]).splitlines()
    assert header.endswith("| AUC on Lyon | Accuracy on Lyon |")
    assert first.endswith("| 0.800 (0.700 to 0.900) | 0.750 |")
    assert second.endswith("| - | - |")
    assert "| 0.988 (0.970 to 0.995), SD 0.0141 over seeds |" in first
    for text in ("on Lyon", "0.700\u20130.900", "SD 0.0141"):
        assert text in printed(shown, ROW)


def test_csv_is_unrounded_and_complete():
    (row,) = csv.DictReader(io.StringIO(to_csv([ROW]).decode()))
    assert float(row["auc"]) == 0.98765
    assert row["specificity"] == ""
    assert list(row) == list(ROW.to_dict())


@pytest.mark.parametrize("width", [80, 120])
def test_a_row_takes_two_lines_whatever_its_name(width):
    rows = [
        make_row(backbone="efficientnet_lite0@float16+xception@160@float16", **COMPARED),
        make_row(backbone="ramirez-inception", classifier="trained end to end", kind="baseline"),
        make_row(classifier="random_forest", kind="adapted", auc_seeds=[0.8, 0.9]),
        COLLAPSED,
    ]
    text = printed(*rows, width=width)
    for part in ("0.988 \u25b2", "0.970\u20130.995", "1,234", "COLLAPSED"):
        assert part in text
    lines = text.splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("\u2500"))
    assert len(lines) == head + 1 + 2 * len(rows) + 1
    assert all(len(line) <= width for line in lines)
    assert lines[head + 1].startswith("efficientne")
    assert ("efficientnet_lite0@float16+xception@160@float16" in lines[head + 1]) == (width == 120)


@pytest.mark.parametrize(
    ("value", "text", "interval"),
    [
        (Interval(0.12345, 0.1, 0.2), "0.123", "0.100\u20130.200"),
        (Interval(-0.1, -0.2, 0.05), "-0.100", "-0.200 to 0.050"),
        (Interval(0.5, nan, nan), "0.500", ""),
        (Interval(nan, nan, nan), "-", ""),
        (nan, "-", ""),
        ("better", "better", ""),
        (None, "-", ""),
    ],
)
def test_cells(value, text, interval):
    cell = make_cell(value)
    assert (cell.text, cell.interval) == (text, interval)
    assert (cell.order == "") == (text == "-")


def test_columns_without_a_value_are_left_out():
    scores = Scores({"auc": Interval(0.9, 0.8, 1.0), "brier": Interval(nan, nan, nan)}, 8)
    rows = [
        BenchmarkRow("a", "a", "svm", "frozen", scores),
        BenchmarkRow("b", "b", "svm", "frozen", Scores({}, 8), costs=Costs(peak_memory=0)),
    ]
    assert [column.field for column in columns_of(MAIN + MORE, rows)] == ["auc", "peak_memory"]
