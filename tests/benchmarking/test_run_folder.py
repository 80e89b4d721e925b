"""A results folder holds one run: another is refused, an unfinished one says so."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import featx
from featx.benchmarking.benchmark import benchmark
from featx.benchmarking.evaluation import ModelEvaluator
from featx.benchmarking.table import BenchmarkTable
from featx.classifiers.predictions import Predictions
from featx.errors import UsageError
from tests.benchmarking.conftest import draw

FAST = {"classifiers": ["naive_bayes"], "views": 1, "test_size": 0.3, "cv": 3}
FAST |= {"controls": False, "learning_curve": False}

pytestmark = pytest.mark.usefixtures("quick")


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def run_of(folder):
    return json.loads((folder / "run.json").read_text())


IMAGES = {
    "other images": ({}, lambda: draw(random_state=1), "other images, labels, patients or splits"),
    "fewer images": ({}, lambda: draw(n=60), r"\(120 images, now 60 images\)"),
    "other labels": (
        {},
        lambda: replace(draw(), labels=1 - draw().labels),
        "other images, labels, patients or splits",
    ),
    "another split": ({"test_size": 0.4}, draw, r"splits \(test_size 0\.3, now 0\.4\)"),
    "settings": (
        {"random_state": 1, "calibration": "none"},
        draw,
        "random_state 0, now 1.*|calibration 'sigmoid', now 'none'",
    ),
    "views": ({"views": 2}, draw, "views 1, now 2"),
    "other models": (
        {"classifiers": ["knn"]},
        draw,
        r"would not have \(efficientnet_lite0, naive_bayes\)",
    ),
    "an external set": ({"externals": {"x": draw(2, 20)}}, draw, "other images"),
}


@pytest.fixture
def finished(tmp_path):
    benchmark(draw(), **FAST, out=tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("case", IMAGES)
def test_another_run_is_refused_with_what_differs_or_replaces_the_old_one(finished, case):
    changes, images, message = IMAGES[case]
    before = {name: (finished / name).read_bytes() for name in files_of(finished)}
    with pytest.raises(UsageError, match=rf"another run: .*{message}.*--overwrite"):
        benchmark(images(), **{**FAST, **changes}, out=finished)
    assert {name: (finished / name).read_bytes() for name in files_of(finished)} == before
    notes = finished / "models" / "my notes.txt"
    notes.write_text("mine")
    benchmark(images(), **{**FAST, **changes}, out=finished, overwrite=True)
    again = finished.with_name("new")
    benchmark(images(), **{**FAST, **changes}, out=again)
    assert files_of(finished) == files_of(again) | {"models/my notes.txt"}


def test_the_same_run_and_one_with_more_models_continue(finished, monkeypatch):
    rows = list(BenchmarkTable.load(finished))
    table = benchmark(draw(), **{**FAST, "classifiers": ["naive_bayes", "knn"]}, out=finished)
    assert list(table)[:1] == rows and len(table) == 2
    monkeypatch.setattr("featx.classifiers.fitting.fit", None)
    again = benchmark(draw(), **{**FAST, "classifiers": ["naive_bayes", "knn"]}, out=finished)
    assert list(again) == list(table)


@pytest.mark.parametrize("stop_at", [0, 1])
def test_an_interrupted_run_says_so_until_it_is_finished(tmp_path, monkeypatch, stop_at, caplog):
    settings = {**FAST, "classifiers": ["naive_bayes", "knn"], "learning_curve": True}
    whole = benchmark(draw(), **settings, out=tmp_path / "whole")
    evaluate, calls = ModelEvaluator.evaluate_frozen, []

    def interrupted(self, *arguments):
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        calls.append(arguments)
        return evaluate(self, *arguments)

    out = tmp_path / "out"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(ModelEvaluator, "evaluate_frozen", interrupted)
        benchmark(draw(), **settings, out=out)
    assert run_of(out)["finished"] is False
    assert len(BenchmarkTable.load(out)) == stop_at
    assert (
        f"UNFINISHED: this run was stopped, or still goes on; it has {stop_at}"
        in (out / "table.md").read_text()
    )
    assert not (out / "report.html").exists()
    caplog.clear()
    assert "UNFINISHED" in featx.report(out).read_text() and "UNFINISHED" in caplog.text
    compared = featx.compare(out, tmp_path / "whole")
    assert compared.notes()[0].startswith("out: UNFINISHED")
    with pytest.raises(UsageError, match="another run"):
        benchmark(draw(random_state=1), **settings, out=out)

    resumed = benchmark(draw(), **settings, out=out)
    assert "UNFINISHED" not in (out / "report.html").read_text() + (out / "table.md").read_text()
    assert [row.scores for row in resumed] == [row.scores for row in whole]
    first, second = run_of(out), run_of(tmp_path / "whole")
    for run in (first, second):
        assert run.pop("finished") is True
        del run["started"], run["seconds"]
    assert first == second
    assert files_of(out) == files_of(tmp_path / "whole")


def test_a_run_of_before_is_continued_and_another_one_refused(finished):
    run = run_of(finished)
    settings = run["settings"]
    settings |= {"seed": settings.pop("random_state"), "folds": settings.pop("cv")}
    del run["inputs"], run["finished"]
    (finished / "run.json").write_text(json.dumps(run))
    benchmark(draw(), **FAST, out=finished)
    (finished / "run.json").write_text(json.dumps(run))
    with pytest.raises(UsageError, match=r"120 images, now 60 images"):
        benchmark(draw(n=60), **FAST, out=finished)
    (finished / "run.json").unlink()
    with pytest.raises(UsageError, match="says nothing of its settings"):
        benchmark(draw(), **FAST, out=finished)


def test_removal_keeps_to_the_folder_and_to_files_of_featx(finished, tmp_path):
    outside = tmp_path / "models"
    outside.mkdir()
    (outside / "x.md").write_text("not of the run")
    rows = json.loads((finished / "results.json").read_text())
    rows.append({**rows[0], "name": "../../models/x"})
    (finished / "results.json").write_text(json.dumps(rows))
    kept = {"mine.csv", "scores/mine.csv", "rows/mine.json", "gallery/mine.jpg"}
    kept |= {"baselines/mine/network.keras"}
    for name in kept:
        (finished / name).parent.mkdir(parents=True, exist_ok=True)
        (finished / name).write_text("mine")
    benchmark(draw(random_state=1), **FAST, out=finished, overwrite=True)
    assert (outside / "x.md").exists()
    assert kept < files_of(finished)
    assert all((finished / name).read_text() == "mine" for name in kept)


def test_moved_images_have_their_new_paths_and_are_not_computed_again(finished, monkeypatch):
    images = draw()
    moved = replace(images, names=tuple(f"elsewhere/{name}" for name in images.names))
    monkeypatch.setattr("featx.classifiers.fitting.fit", None)
    benchmark(moved, **FAST, out=finished)
    saved = Predictions.from_csv(finished / "scores" / "efficientnet_lite0-naive_bayes.csv")
    assert set(saved.names) < set(moved.names)
    np.testing.assert_array_equal(saved.patients, images.patients[
        [moved.names.index(name) for name in saved.names]
    ])  # fmt: skip
    (row,) = BenchmarkTable.load(finished)
    assert row.scores.n == len(saved)
