"""The benchmark quantizes on its training images and tests what a precision costs."""

from __future__ import annotations

import numpy as np
import pytest

from featx.audit.leakage import Inspection
from featx.backbones.registry import split_precision
from featx.benchmarking import runner
from featx.benchmarking.benchmark import benchmark
from featx.benchmarking.comparison import compare
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.data import AuditedData, DataSplits
from featx.benchmarking.evaluation import Evaluation
from featx.benchmarking.notes import row_notes
from featx.classifiers.predictions import Predictions
from featx.errors import UsageError
from featx.metrics.intervals import Interval
from featx.metrics.paired_tests import delong_test
from featx.reporting.records import BenchmarkRow, SetScores


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_int8_is_quantized_on_training_images_only(images, monkeypatch, precision):
    calls = []

    def extract(given, config, quantization, client):
        calls.append((given, config.precision, quantization))

    monkeypatch.setattr(runner, "extract", extract)
    other, number = images.select(np.arange(16, 24)), np.arange(len(images))
    splits = DataSplits(images, (number >= 8) & (number < 16), number < 8, 0.2, 0)
    inspection = Inspection(images, images.patients, {"other": other}, None, [], [])
    data = AuditedData(inspection, splits, None)
    config = BenchmarkConfig().with_settings(precision=precision)
    run = runner.BenchmarkRunner(config, data, None)
    run._extract(config.row_backbones[0])
    expected = splits.train if precision == "int8" else None
    assert calls == [(each, precision, expected) for each in (splits.train, splits.test, other)]


def test_a_precision_that_no_engine_computes_in_is_refused_early(images):
    with pytest.raises(UsageError, match="keras engine does not compute in int8"):
        benchmark(images, precision="int8", engine="keras")


def test_joined_backbones_compute_in_one_precision():
    with pytest.raises(UsageError, match="end each name with the same precision"):
        split_precision("vgg16@int8+resnet50")


@pytest.fixture
def evaluations():
    """A backbone in float32, the same in int8 and a little worse, and another one."""
    generator = np.random.default_rng(2)
    labels = np.arange(200) % 2
    patients = np.array([f"p{number // 2}" for number in range(200)])
    found = []
    for backbone, strength in (("a@160", 1.0), ("a@160@int8", 0.9), ("b@int8", 2.0)):
        score = 1 / (1 + np.exp(-(strength * (2 * labels - 1) + generator.normal(size=200))))
        probabilities = np.column_stack([1 - score, score])
        names = tuple(map(str, range(200)))
        scores = SetScores({"auc": Interval(0.9, 0.8, 1.0)}, 200, threshold=0.5)
        row = BenchmarkRow(f"{backbone}-svm", backbone, "svm", "frozen", scores)
        found.append(Evaluation(row, Predictions(names, "ab", probabilities, labels, patients), ""))
    return found


def test_the_cost_of_a_precision_is_tested_and_reported(evaluations):
    rows = compare(evaluations)
    assert [row.float32 is not None for row in rows] == [False, True, False]
    exact, quantized = (each.predictions for each in evaluations[:2])
    expected = delong_test(
        exact.labels,
        quantized.probabilities[:, 1],
        exact.probabilities[:, 1],
        patients=exact.patients,
    )
    assert rows[1].float32.other == "a@160-svm"
    auc = rows[1].float32.differences["auc"]
    assert (auc.value, auc.p_value) == (expected.difference, expected.p_value)
    (note,) = [note for note in row_notes(rows) if note.kind == "float32"]
    assert f"a@160@int8, svm: AUC 0.9000, {expected.difference:+.4f} against" in note.text


def test_one_table_holds_both_precisions(images, tmp_path):
    table = benchmark(
        images,
        ["efficientnet_lite0", "efficientnet_lite0@float16"],
        "logistic",
        views=1,
        controls=False,
        learning_curve=False,
        cache=tmp_path,
        out=tmp_path / "out",
    )
    plain, short = table
    assert [row.recipes[0].get("precision") for row in table] == [None, "float16"]
    assert short.name == "efficientnet_lite0@float16-logistic"
    assert short.float32.other == plain.name
    assert abs(short.float32.differences["auc"].value) < 0.1
