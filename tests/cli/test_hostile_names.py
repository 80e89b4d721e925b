"""Names of files reach terminals and spreadsheets as text only."""

from __future__ import annotations

import csv
import json
import os
import shutil

import numpy as np
import pytest

import featx
from featx.benchmarking.table import BenchmarkTable
from featx.classifiers.predictions import Predictions
from featx.runtime.csv_text import read_cell, write_csv
from tests.reporting.conftest import Folder

FORMULA = '=HYPERLINK("http:x","y").png'
ESCAPE = "\x1b]0;owned\x07\x1b[2J.png"
C1 = "\x9b31m\u202e.png"
BYTES = os.fsdecode(b"\xff\x1b[31m")
NAMES = (FORMULA, "+1.png", "-1.png", "@x.png", "'=x.png", "'quoted.png", "\uff1dx.png")


def test_texts_are_kept_and_none_is_a_formula():
    rows = [[name, -0.5, 3, None] for name in NAMES]
    table = list(csv.reader(write_csv(rows).decode().splitlines()))
    assert [read_cell(line[0]) for line in table] == list(NAMES)
    assert not [line[0] for line in table if line[0][0] in "=+-@\t\r\uff1d"]
    assert {tuple(line[1:]) for line in table} == {("-0.5", "3", "")}


def cells_of(folder):
    for path in folder.rglob("*.csv"):
        for line in csv.reader(path.read_text(errors="surrogateescape").splitlines()):
            yield from ((path, cell) for cell in line)


def is_formula(cell):
    try:
        float(cell)
    except ValueError:
        return cell[:1] in ("=", "+", "-", "@")
    return False


@pytest.fixture
def hostile(image_folder):
    """Images of classes and patients whose names are formulas and escapes."""
    for number, name in enumerate((FORMULA, "-1.png", "@p.png", ESCAPE, C1, f"{BYTES}.png")):
        shutil.copy(image_folder / "NORMAL" / f"p0{number}_0.png", image_folder / "NORMAL" / name)
        (image_folder / "NORMAL" / f"p0{number}_0.png").unlink()
    broken = image_folder / "PNEUMONIA" / ("broken " + ESCAPE)
    broken.write_bytes(b"not an image")
    (image_folder / "PNEUMONIA" / f"text{BYTES}.doc").write_bytes(b"x")
    (image_folder / "PNEUMONIA").rename(image_folder / f"=cmd{BYTES}")
    return image_folder


def clean(text):
    return all(letter == "\n" or letter.isprintable() for letter in text)


def test_no_command_prints_or_writes_them_raw(hostile, tmp_path, run_featx, quick):
    matrix, models, results = tmp_path / "m.h5", tmp_path / "models", tmp_path / "results"
    model = models / "naive_bayes.skops"
    for words in (
        ("extract", hostile, "--views", 1, "--out", matrix),
        ("fit", matrix, "--classifier", "naive_bayes", "--out", models),
        ("predict", model, hostile / "NORMAL", "--out", tmp_path / "p.csv"),
        ("evaluate", model, hostile),
        ("explore", matrix, "--images", hostile, "--out", tmp_path / "e.html"),
        ("benchmark", hostile, "--classifier", "naive_bayes", "--views", 1, "--cv", 3,
         "--no-controls", "--test-size", 0.4, "--out", results),
        ("report", results),
        ("compare", results, results),
    ):  # fmt: skip
        for flags in ((), ("--json", "--overwrite"))[: 1 + (words[0] not in ("fit", "benchmark"))]:
            code, text, error = run_featx(*words, *(flag for flag in flags if flag == "--json"))
            assert code == 0, error
            assert clean(text) and clean(error), words[0]
    code, text, error = run_featx("predict", model, hostile / ESCAPE, "--out", tmp_path / "p.csv")
    assert code == 2 and clean(error)
    code, text, error = run_featx("report", tmp_path, "--out", tmp_path / ESCAPE / "x")
    assert code == 2 and clean(error)
    assert not [(path, cell) for path, cell in cells_of(tmp_path) if is_formula(cell)]
    names = Predictions.from_csv(tmp_path / "p.csv").names
    assert {name.rpartition("/")[2] for name in names} >= {FORMULA, "-1.png", "@p.png"}
    saved = Predictions.from_csv(results / "scores" / "efficientnet_lite0-naive_bayes.csv")
    assert set(saved.class_names) == {r"=cmd\xff\x1b[31m", "NORMAL"}
    run = json.loads((results / "run.json").read_text(encoding="utf-8"))
    examples = [name for each in run["audit"]["findings"] for name in each["examples"]]
    assert any(f"{BYTES}/broken {ESCAPE}" in name for name in examples)
    assert run["inventory"][""]["passed_over"][0]["count"] == 1


def test_a_tampered_results_folder_draws_nothing_on_the_terminal(tmp_path, run_featx):
    folder = Folder(tmp_path / ("run" + ESCAPE[:-4]))
    folder.add("net[link=http://x]a[/link]" + ESCAPE.replace("/", ""), "svm")
    root = folder.write(run=False)
    other = shutil.copytree(root, tmp_path / "other")
    code, text, error = run_featx("compare", root, other)
    assert code == 0 and clean(text) and clean(error)
    assert "[link=http" in text.replace("\n", "")


def test_json_and_matrices_keep_the_names(hostile, tmp_path, run_featx, quick):
    code, text, error = run_featx(
        "extract", hostile, "--views", 1, "--json", "--out", tmp_path / "m.h5"
    )
    assert code == 0 and r"=cmd\xff\x1b[31m 13, NORMAL 12" in error
    assert f"NORMAL/{BYTES}.png" in featx.FeatureMatrix.load(tmp_path / "m.h5").names
    images = featx.ImageDataset.open(hostile, "([^/]+)$", hash_patients="a secret of some length")
    assert len(set(images.patients)) == 25 and all(map(str.isalnum, images.patients))
    (left_out,) = json.loads(text)["unreadable"]
    assert left_out["path"].endswith("broken " + ESCAPE)


def test_the_table_of_a_benchmark_has_no_formula(tmp_path):
    folder = Folder(tmp_path / "r")
    folder.add("=cmd", "svm")
    BenchmarkTable.load(folder.write(run=False)).save(tmp_path / "s")
    assert not [cell for _, cell in cells_of(tmp_path / "s") if is_formula(cell)]
    assert np.isfinite(featx.compare(tmp_path / "s", tmp_path / "r").rows[0].values["auc"][0])
