"""Rows adapted to later images, and operating points under internal shifts."""

from dataclasses import replace

import numpy as np
import pytest

from featx.benchmarking.benchmark import benchmark
from featx.metrics.scores import evaluate
from tests.benchmarking.conftest import FAST, draw, read_scores

pytestmark = pytest.mark.usefixtures("quick")


def test_adapted_rows_are_adapted_to_each_external_set(tmp_path, caplog, monkeypatch):
    images = draw(n=240, splits=np.repeat(["train", "test"], [120, 120]))
    settings = {**FAST, "controls": False, "learning_curve": False}
    settings["classifiers"] = ["logistic", "knn"]
    other, few = draw(1, n=100, signal=50), draw(2, n=20)
    settings |= {"externals": {"other": other, "few": few}, "adapt": True, "out": tmp_path}
    table = benchmark(images, **settings)
    plain, adapted, _ = table
    assert [(row.classifier, row.kind) for row in table] == [
        ("logistic", "frozen"),
        ("logistic", "adapted"),
        ("knn", "frozen"),
    ]
    assert adapted.threshold != plain.threshold
    assert "adapted" in [note.kind for note in table.notes]
    assert list(plain.externals) == ["other", "few"] and list(adapted.externals) == ["other"]
    assert adapted.externals["other"].threshold not in (plain.threshold, adapted.threshold)
    assert "not adapted to the external set few: 20 images are too few" in caplog.text
    for end, row_auc, n in (("", adapted.auc, 120), ("@other", None, 100)):
        path = tmp_path / "scores" / f"{adapted.name}{end}.csv"
        lines, labels, shares = read_scores(path, images.class_names)
        assert len(lines) == n
        if row_auc is not None:
            scores = evaluate(labels, shares, threshold=None, class_names=images.class_names)
            assert scores.metrics["auc"].value == pytest.approx(row_auc)
    # A second run finds the figures; it would fail if it refitted anything.
    monkeypatch.setattr("featx.classifiers.adaptation._refit", None)
    assert list(benchmark(images, **settings)) == list(table)


def test_an_operating_point_is_judged_between_halves_that_differ(tmp_path, monkeypatch):
    images = draw(n=240, splits=np.repeat(["train", "test"], [200, 40]))
    # Every second patient was taken in another light, which half the signal is lost in.
    light = np.arange(240) // 4 % 2 == 0
    arrays = [(p // 2 + 100 if on else p) for p, on in zip(images.sources, light, strict=True)]
    settings = {**FAST, "classifiers": ["logistic"], "controls": False, "learning_curve": False}
    settings |= {"internal_shifts": True, "out": tmp_path}
    table = benchmark(replace(images, sources=tuple(arrays)), **settings)
    points = table.run["internal_shifts"]
    by_light = {p["chosen"]: p for p in points if p["by"] == "brightness"}
    # Size and shape are the same, so no half differs in them.
    assert {p["by"] for p in points} <= {"brightness", "bytes per pixel"}
    assert by_light["above"]["n"] == by_light["below"]["n"] == 100
    assert by_light["above"]["accuracy"] < by_light["above"]["auc"] > 0.9
    note = next(note for note in table.notes if note.kind == "internal-shifts")
    assert note.values["specificity"][0] == min(p["specificity"] for p in points)
    assert "between halves of the training images" in (tmp_path / "report.html").read_text()
    monkeypatch.setattr("featx.benchmarking.refits.plan_fits", None)
    again = benchmark(replace(images, sources=tuple(arrays)), **settings)
    assert again.run["internal_shifts"] == points
