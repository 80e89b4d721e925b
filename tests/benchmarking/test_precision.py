"""The benchmark quantizes by its training images, whatever it embeds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from featx.backbones.registry import split_precision, with_precision
from featx.benchmarking import runner as run
from featx.benchmarking.benchmark import benchmark
from featx.benchmarking.notes import notes_on_rows
from featx.benchmarking.precisions import compare_with_float32
from featx.classifiers.predictions import Predictions
from featx.errors import UsageError
from featx.metrics.comparison import delong_test


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_the_training_side_alone_is_calibrated_on(images, monkeypatch, precision):
    calls = []

    def extract(given, backbones, **settings):
        calls.append((given, settings))

    monkeypatch.setattr(run, "extract", extract)
    train, test, other = (images.select(np.arange(start, start + 8)) for start in (0, 8, 16))
    material = SimpleNamespace(
        protocol=SimpleNamespace(train=train, test=test), externals={"other": other}
    )
    benchmark_run = SimpleNamespace(extraction={}, views=(4, 1), material=material)
    run.Run._embed(benchmark_run, with_precision("efficientnet_lite0", precision))
    assert {settings["precision"] for _, settings in calls} == {precision}
    assert [given for given, _ in calls] == [train, test, other]
    expected = train if precision == "int8" else None
    assert all(settings.get("calibration") is expected for _, settings in calls)


def test_what_no_engine_computes_in_is_refused_at_once(images):
    with pytest.raises(UsageError, match="keras engine does not compute in int8"):
        benchmark(images, precision="int8", engine="keras")


def test_backbones_side_by_side_compute_alike():
    with pytest.raises(UsageError, match="end each with the same"):
        split_precision("vgg16@int8+resnet50")


@pytest.fixture
def table():
    """A backbone in float32, the same in int8 and a little worse, and another one."""
    generator = np.random.default_rng(2)
    labels = np.arange(200) % 2
    patients = np.array([f"p{number // 2}" for number in range(200)])
    rows, predictions = [], {}
    for backbone, strength in (("a@160", 1.0), ("a@160@int8", 0.9), ("b@int8", 2.0)):
        name = f"{backbone}-svm"
        score = 1 / (1 + np.exp(-(strength * (2 * labels - 1) + generator.normal(size=200))))
        probabilities = np.column_stack([1 - score, score])
        names = tuple(map(str, range(200)))
        predictions[name] = Predictions(names, "ab", probabilities, labels, patients)
        shown = {"auc": 0.9, "collapsed": False}
        rows.append({"name": name, "backbone": backbone, "classifier": "svm", "kind": "frozen"})
        rows[-1].update(shown)
    return rows, predictions


def test_what_a_precision_costs_is_tested_and_told(table):
    rows, predictions = table
    compare_with_float32(rows, predictions)
    assert ["float32" in row for row in rows] == [False, True, False]
    exact, quantized = (predictions[row["name"]] for row in rows[:2])
    expected = delong_test(
        exact.labels,
        quantized.probabilities[:, 1],
        exact.probabilities[:, 1],
        patients=exact.patients,
    )
    row = rows[1]
    assert row["float32_auc_difference"] == expected.difference
    assert row["float32_auc_p_value"] == expected.p_value
    (note,) = [note for note in notes_on_rows(rows) if "float32" in note]
    assert note.startswith(f"a@160@int8, svm: AUC 0.9000, {expected.difference:+.4f} against")


def test_one_table_holds_both_precisions(images, tmp_path):
    table = benchmark(
        images,
        ["efficientnet_lite0", "efficientnet_lite0@float16"],
        ["logistic"],
        views=1,
        controls=False,
        learning_curve=False,
        cache=tmp_path,
        out=tmp_path / "out",
    )
    plain, short = table.rows
    assert [row["recipes"][0].get("precision") for row in table.rows] == [None, "float16"]
    assert short["name"] == "efficientnet_lite0@float16-logistic"
    assert short["float32"] == plain["name"]
    assert abs(short["float32_auc_difference"]) < 0.1
    assert any("against float32" in note for note in table.notes)
