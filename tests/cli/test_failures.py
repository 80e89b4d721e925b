"""Failures that no part of featx foresees end with one line, and the traceback on request."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import featx
from featx.cli.root import commands
from featx.errors import UsageError

FEATX = [sys.executable, "-m", "featx.cli"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("two\nlines"), "unexpected RuntimeError: two lines. Run the same"),
        (MemoryError(), "memory ran out; close"),
        (
            PermissionError(13, "Permission denied", "x" * 5000),
            "...xxxxxxxx",
        ),
        (RecursionError("too deep"), "unexpected RecursionError"),
    ],
)
@pytest.mark.parametrize("verbose", [False, True])
def test_unforeseen_errors_are_one_line(run_featx, monkeypatch, error, message, verbose):
    def fail(**_):
        raise error

    monkeypatch.setattr(commands.commands["demo"], "callback", fail)
    code, _, text = run_featx("demo", *["--verbose"] * verbose)
    assert code == 1
    *before, last = text.splitlines()
    assert last.startswith("featx: ") and message in last and len(last) < 600
    assert any(line.startswith("Traceback") for line in before) == verbose


def test_an_unforeseen_error_names_the_variables_that_may_be_in_the_way(run_featx, monkeypatch):
    def fail(**_):
        raise RuntimeError("could not execute a primitive")

    monkeypatch.setattr(commands.commands["demo"], "callback", fail)
    monkeypatch.setenv("ONEDNN_VERBOSE", "2")
    assert "$ONEDNN_VERBOSE" in run_featx("demo")[2]


@pytest.mark.parametrize("words", [["backbones"], ["doctor", "--json"], ["--help"]])
def test_a_full_disk_behind_standard_output_is_reported(words):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*FEATX, *words], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "featx: the output: No space left on device; mend this and run the same command again"
    ]


@pytest.mark.parametrize("rule", ["(" * 3000 + ")" * 3000, "(?:" * 3000 + ")" * 3000, "((a)"])
@pytest.mark.parametrize("option", ["--patients", "--labels"])
def test_wrong_regular_expressions_are_explained(run_featx, image_folder, tmp_path, option, rule):
    words = ["extract", image_folder, option, rule, "--out", tmp_path / "m.h5"]
    code, _, error = run_featx(*words)
    assert code == 2 and "regular expression" in error.replace("\n", " ") and len(error) < 700


@pytest.mark.parametrize(
    ("function", "kind", "given"),
    [
        (featx.FeatureMatrix.load, "is a folder, not a matrix file", "chest_xray"),
        (featx.explore, "is a model file, not a matrix file", "models/svm.skops"),
        (featx.load_model, "is a matrix file, not a model file", "features.h5"),
        (featx.report, "is a folder, not the results folder of a benchmark", "chest_xray"),
        (lambda path: featx.compare("results", path), "is a table, not the results", "table.csv"),
        (featx.ImageDataset.open, "is a matrix file, not images", "features.h5"),
        (lambda path: featx.extract("chest_xray", out=path), "not a file but a folder", "weights"),
    ],
)
def test_python_names_what_a_path_holds(place, monkeypatch, function, kind, given):
    monkeypatch.chdir(place)
    (place / "table.csv").write_text("path,label\n")
    with pytest.raises(UsageError, match=kind):
        function(given)


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed")
def test_too_little_memory_for_keras_is_said(image_folder, tmp_path):
    limited = ["prlimit", f"--as={1200 * 10**6}", *FEATX, "extract", image_folder]
    done = subprocess.run([*limited, "--out", tmp_path / "m.h5"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "memory ran out" in done.stderr.splitlines()[-1], done.stderr
