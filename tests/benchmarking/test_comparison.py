from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from featx.benchmarking.comparison import compare, pick_reference
from featx.benchmarking.evaluation import Evaluation
from featx.classifiers.predictions import Predictions
from featx.metrics.paired_tests import delong_test, holm
from featx.reporting.records import BenchmarkRow, SetScores


def evaluation(name, predictions, kind="frozen", validation_auc=None):
    threshold = 0.5 if len(predictions.class_names) == 2 else None
    scores = SetScores({}, len(predictions), threshold=threshold)
    row = BenchmarkRow(name, name, "svm", kind, scores, validation_auc=validation_auc)
    return Evaluation(row, predictions, "")


def verdicts(row):
    return {figure: found.verdict for figure, found in row.comparison.differences.items()}


@pytest.fixture
def evaluations():
    """A CNN, and a much better, an equal, and a worse model."""
    generator = np.random.default_rng(4)
    labels = np.arange(400) % 2
    names = tuple(f"{number}.png" for number in range(400))
    patients = np.array([f"p{number // 2}" for number in range(400)])

    def predictions(strength):
        score = 1 / (1 + np.exp(-(strength * (2 * labels - 1) + generator.normal(size=400))))
        return Predictions(names, "ab", np.column_stack([1 - score, score]), labels, patients)

    return [
        evaluation("cnn", predictions(0.8), "baseline", 0.8),
        evaluation("strong", predictions(2.5)),
        evaluation("alike", predictions(0.85)),
        evaluation("weak", predictions(0.1)),
    ]


def test_verdicts(evaluations):
    reference, strong, alike, weak = compare(evaluations)
    assert reference.comparison is None
    assert set(verdicts(strong).values()) == {"better"}
    assert set(verdicts(alike).values()) == {"no difference shown"}
    assert set(verdicts(weak).values()) == {"worse"}
    assert {row.comparison.other for row in (strong, alike, weak)} == {"cnn"}


def test_p_values_are_corrected_for_the_number_of_rows(evaluations):
    reference, *others = (each.predictions for each in evaluations)
    plain = [
        delong_test(
            reference.labels,
            other.probabilities[:, 1],
            reference.probabilities[:, 1],
            patients=reference.patients,
        ).p_value
        for other in others
    ]
    rows = compare(evaluations)[1:]
    found = [row.comparison.differences["auc"].p_value for row in rows]
    np.testing.assert_allclose(found, holm(plain))


def test_images_are_matched_by_name_and_adapted_rows_are_left_out(evaluations):
    cnn, strong = evaluations[:2]
    before = compare(evaluations)[1].comparison.differences["auc"].value
    order = np.random.default_rng(0).permutation(400)
    shuffled = replace(strong, predictions=strong.predictions.select(order))
    adapted = replace(strong, row=replace(strong.row, name="adapted", kind="adapted"))
    rows = compare([cnn, shuffled, adapted])
    assert rows[1].comparison.differences["auc"].value == pytest.approx(before)
    assert rows[2].comparison is None


def test_the_reference_is_picked_by_validation_auc(evaluations):
    rows = [each.row for each in evaluations]
    better = replace(rows[3], kind="baseline", validation_auc=0.9)
    assert pick_reference([*rows[:3], better]) is better
    assert pick_reference(rows[1:3]) is None
    assert compare(evaluations[1:3])[0].comparison is None


def test_more_than_two_classes_are_compared_too():
    generator = np.random.default_rng(5)
    labels = np.arange(300) % 3
    names, patients = tuple(map(str, range(300))), np.array([f"p{i // 3}" for i in range(300)])

    def predictions(strength):
        evidence = strength * np.eye(3)[labels] + generator.normal(size=(300, 3))
        odds = np.exp(evidence)
        return Predictions(names, "abc", odds / odds.sum(1, keepdims=True), labels, patients)

    cnn, strong = predictions(0.5), predictions(3.0)
    rows = compare([evaluation("cnn", cnn, "baseline", 0.8), evaluation("strong", strong)])
    correct = [found.probabilities.argmax(axis=1) == labels for found in (strong, cnn)]
    difference = rows[1].comparison.differences["accuracy"].value
    assert difference == pytest.approx(correct[0].mean() - correct[1].mean())
    assert verdicts(rows[1]) == {"auc": "better", "accuracy": "better"}
