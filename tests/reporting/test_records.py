"""Records of a benchmark and the plain values of its files."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from featx.audit.findings import Finding
from featx.metrics.intervals import Interval
from featx.metrics.scores import Scores
from featx.reporting.notes import Note, read_notes, write_notes
from featx.reporting.records import BenchmarkRow, Comparison, Costs, Difference

SCORES = Scores(
    {"auc": Interval(0.9, 0.8, 0.95), "brier": Interval.undefined()},
    40,
    30,
    np.array([[10, 2], [3, 25]]),
    0.4,
)
ROW = BenchmarkRow("vgg16-svm", "vgg16", "svm", "frozen", SCORES)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"externals": {"x": Scores({"auc": Interval(0.5, 0.4, 0.6)}, 9)}},
        {"auc_seeds": (0.8, 0.9), "auc_out_of_fold": 0.85, "costs": Costs(1.0, 2.0, 3, 4, 5.0, 6)},
        {"comparison": Comparison("cnn", {"auc": Difference(0.1, 0.0, 0.2, 0.04, "better")})},
        {"float32": Comparison("vgg16-svm", {"auc": Difference(-0.01, -0.02, 0.0, 0.1)})},
        {"kind": "baseline", "validation_auc": 0.9, "diagnosis": ("off",)},
    ],
)
def test_a_row_is_read_back_from_its_plain_values(changes):
    values = replace(ROW, **changes).to_dict()
    stored = json.loads(json.dumps(values, allow_nan=False))
    assert BenchmarkRow.from_dict(stored).to_dict() == values


def test_undefined_figures_are_null_in_plain_values():
    values = ROW.to_dict()
    assert values["brier"] is None
    assert math.isnan(BenchmarkRow.from_dict(values).estimates["brier"].value)


def test_a_row_of_an_early_version_is_read():
    row = BenchmarkRow.from_dict(
        {"backbone": "vgg16", "classifier": "svm", "kind": "frozen", "auc": 0.9, "n_test": 4}
    )
    assert (row.name, row.auc, row.scores.n_patients) == ("vgg16-svm", 0.9, None)


def test_the_spread_over_seeds_is_a_standard_deviation():
    assert replace(ROW, auc_seeds=(0.8, 0.9)).to_dict()["auc_seeds_sd"] == pytest.approx(
        0.0707, abs=1e-4
    )


NOTES = [
    Note("confidence", {"level": 0.95}),
    Note("finding", Finding("unreadable", "warning", 2, ("a: cut",)).to_dict()),
    Note("leak", Finding("patients-across", "leak", 1, ("patient 7",)).to_dict()),
    Note("learning-curve", {"name": "x-svm", "points": [[9, 0.7], [20, 0.9]]}),
    Note("collapsed", {"model": "vgg16, svm", "reason": "predicts A", "set": "other"}),
    Note(
        "off-center",
        {
            "model": "vgg16, svm",
            "reason": "predicts A",
            "set": "other",
            "auc": 0.7,
            "low": 0.6,
            "high": 0.8,
        },
    ),
]


def test_notes_are_read_back_from_a_run():
    run = json.loads(json.dumps(write_notes(NOTES)))
    assert [note.text for note in read_notes(run)] == run["notes"]
    assert [note.kind for note in read_notes(run)] == [note.kind for note in NOTES]


def test_notes_of_an_early_version_are_shown_as_written():
    (note,) = read_notes({"notes": ["SHORTCUT: something."]})
    assert (note.kind, note.text) == ("alarm", "SHORTCUT: something.")


def test_a_finding_of_an_early_version_keeps_its_text():
    stored = {"kind": "class-share", "severity": "information", "count": 2, "text": "As written."}
    assert Finding.from_dict({**stored, "examples": []}).text == "As written."
