from __future__ import annotations

import numpy as np
import pytest

from featx.benchmarking.comparison import compare_with_reference, pick_reference
from featx.classifiers.predictions import Predictions
from featx.metrics.comparison import delong_test, holm


@pytest.fixture
def setting():
    """A CNN that is fair, a model that is much better, one that is as good, and one worse."""
    generator = np.random.default_rng(4)
    labels = np.arange(400) % 2
    names = tuple(f"{number}.png" for number in range(400))
    patients = np.array([f"p{number // 2}" for number in range(400)])

    def predictions(strength):
        score = 1 / (1 + np.exp(-(strength * (2 * labels - 1) + generator.normal(size=400))))
        return Predictions(names, "ab", np.column_stack([1 - score, score]), labels, patients)

    strengths = {"cnn": 0.8, "strong": 2.5, "alike": 0.85, "weak": 0.1}
    rows = [
        {"name": name, "kind": "frozen", "threshold": 0.5, "validation_auc": None}
        for name in strengths
    ]
    rows[0].update(kind="baseline", validation_auc=0.8)
    return rows, {name: predictions(value) for name, value in strengths.items()}


def test_verdicts(setting):
    rows, predictions = setting
    compare_with_reference(rows, predictions)
    reference, strong, alike, weak = rows
    assert "auc_verdict" not in reference
    assert strong["auc_verdict"] == strong["accuracy_verdict"] == "better"
    assert alike["auc_verdict"] == alike["accuracy_verdict"] == "no difference shown"
    assert weak["auc_verdict"] == weak["accuracy_verdict"] == "worse"
    assert {row["reference"] for row in rows[1:]} == {"cnn"}


def test_p_values_are_corrected_for_the_number_of_rows(setting):
    rows, predictions = setting
    compare_with_reference(rows, predictions)
    there = predictions["cnn"]
    plain = [
        delong_test(
            there.labels,
            predictions[row["name"]].probabilities[:, 1],
            there.probabilities[:, 1],
            patients=there.patients,
        ).p_value
        for row in rows[1:]
    ]
    np.testing.assert_allclose([row["auc_p_value"] for row in rows[1:]], holm(plain))


def test_images_are_matched_by_name(setting):
    rows, predictions = setting
    compare_with_reference(rows, predictions)
    before = rows[1]["auc_difference"]
    order = np.random.default_rng(0).permutation(400)
    straight = predictions["strong"]
    predictions["strong"] = straight.select(order)
    compare_with_reference(rows, predictions)
    assert rows[1]["auc_difference"] == pytest.approx(before)


def test_the_reference_is_picked_on_validation_and_there_may_be_none(setting):
    rows, predictions = setting
    rows[3].update(kind="baseline", validation_auc=0.9)
    assert pick_reference(rows) is rows[3]
    compare_with_reference(rows[1:3], predictions)
    assert "auc_verdict" not in rows[1]


def test_more_than_two_classes_are_compared_too():
    generator = np.random.default_rng(5)
    labels = np.arange(300) % 3
    names, patients = tuple(map(str, range(300))), np.array([f"p{i // 3}" for i in range(300)])

    def predictions(strength):
        evidence = strength * np.eye(3)[labels] + generator.normal(size=(300, 3))
        shares = np.exp(evidence) / np.exp(evidence).sum(axis=1, keepdims=True)
        return Predictions(names, "abc", shares, labels, patients)

    found = {"cnn": predictions(0.5), "strong": predictions(3.0)}
    common = {"threshold": None, "kind": "frozen", "validation_auc": None}
    rows = [{**common, "name": name} for name in found]
    rows[0].update(kind="baseline", validation_auc=0.8)
    compare_with_reference(rows, found)
    correct = [found[name].probabilities.argmax(axis=1) == labels for name in ("strong", "cnn")]
    assert rows[1]["accuracy_difference"] == pytest.approx(correct[0].mean() - correct[1].mean())
    assert rows[1]["auc_verdict"] == rows[1]["accuracy_verdict"] == "better"
