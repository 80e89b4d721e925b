from __future__ import annotations

import csv
import io

from rich.console import Console

from featx.report.tables import to_csv, to_markdown, to_terminal

ROW = {
    "backbone": "vgg16",
    "classifier": "svm",
    "kind": "frozen",
    "auc": 0.98765,
    "auc_low": 0.97,
    "auc_high": 0.995,
    "accuracy": 0.9,
    "accuracy_low": 0.88,
    "accuracy_high": 0.92,
    "sensitivity": 1.0,
    "specificity": None,
    "f1": float("nan"),
    "collapsed": False,
    "collapse_reason": "",
    "seconds_extract": 1234.5,
    "seconds_fit": 2.4,
}
COLLAPSED = {**ROW, "kind": "baseline", "collapsed": True, "collapse_reason": "calls all PNEUMONIA"}


def test_markdown():
    header, rule, row, collapsed = to_markdown([ROW, COLLAPSED]).splitlines()
    assert header.count("|") == rule.count("|") == row.count("|")
    assert "| vgg16, svm | 0.988 (0.970 to 0.995) | 0.900 (0.880 to 0.920) | 1.000 | - | - |" in row
    assert "1,234 | 2 |" in row
    assert "vgg16, svm (baseline): COLLAPSED, calls all PNEUMONIA" in collapsed


def test_verdicts_stand_beside_what_was_compared():
    compared = {**ROW, "auc_verdict": "better", "accuracy_verdict": "no difference shown"}
    header, _, first, second = to_markdown([compared, ROW]).splitlines()
    assert header.endswith("| AUC, accuracy against the CNN |")
    assert first.endswith("| better; no difference shown |")
    assert second.endswith("| - |")


def test_external_sets_have_their_own_columns():
    other = {"auc": 0.8, "auc_low": 0.7, "auc_high": 0.9, "accuracy": 0.75}
    shown = {**ROW, "externals": {"Lyon": other}, "auc_seeds_sd": 0.00123}
    header, _, first, second = to_markdown([shown, ROW]).splitlines()
    assert header.endswith("| AUC on Lyon | Accuracy on Lyon |")
    assert first.endswith("| 0.800 (0.700 to 0.900) | 0.750 |")
    assert second.endswith("| - | - |")
    assert "| 0.988 (0.970 to 0.995), SD 0.0012 over seeds |" in first
    console = Console(width=80, file=io.StringIO())
    console.print(to_terminal([shown, ROW]))
    for whole in ("on Lyon", "0.700-0.900", "SD 0.0012"):
        assert whole in console.file.getvalue()


def test_csv_is_unrounded_and_complete():
    (row,) = csv.DictReader(io.StringIO(to_csv([ROW])))
    assert float(row["auc"]) == 0.98765
    assert row["specificity"] == ""
    assert list(row) == list(ROW)


def test_terminal():
    console = Console(width=80, file=io.StringIO())
    console.print(to_terminal([ROW, COLLAPSED]))
    text = console.file.getvalue()
    for whole in ("0.988", "0.970-0.995", "0.880-0.920", "1,234", "vgg16", "svm", "COLLAPSED"):
        assert whole in text


def test_a_terminal_cuts_long_names_at_their_joints():
    console = Console(width=80, file=io.StringIO())
    joined = "efficientnet_lite0@int8+xception@160@int8"
    console.print(to_terminal([{**ROW, "backbone": joined}]))
    lines = [line.split(" ")[0] for line in console.file.getvalue().splitlines()]
    start = lines.index("efficientnet_lite0")
    assert lines[start : start + 4] == ["efficientnet_lite0", "@int8+", "xception@160@int8", "svm"]
