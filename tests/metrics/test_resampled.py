import numpy as np
import pytest
from sklearn import metrics as reference

from featx.metrics.resampled import TwoWayTask


@pytest.fixture(params=[None, 1], ids=["distinct", "tied"])
def task(request):
    generator = np.random.default_rng(0)
    positive = generator.random(250) < 0.6
    probability = np.clip(0.35 + 0.3 * positive + 0.2 * generator.normal(size=250), 0, 1)
    if request.param:
        probability = probability.round(request.param)
    return TwoWayTask(positive, probability, probability >= 0.5)


def test_weighted_figures_are_those_of_scikit_learn(task):
    weights = np.random.default_rng(1).poisson(1, size=(20, 250)).astype(float)
    measured = task.measure(weights)
    for row, weight in enumerate(weights):
        expected = {
            "average_precision": reference.average_precision_score(
                task.positive, task.probability, sample_weight=weight
            ),
            "brier": reference.brier_score_loss(
                task.positive, task.probability, sample_weight=weight
            ),
        }
        assert {name: measured[name][row] for name in expected} == pytest.approx(expected)


def test_weights_count_like_copies(task):
    weights = np.random.default_rng(2).poisson(1, size=250)
    rows = np.repeat(np.arange(250), weights)
    copied = TwoWayTask(task.positive[rows], task.probability[rows], task.predicted[rows])
    weighted = task.measure(weights[None].astype(float))
    for name, value in copied.unweighted.items():
        if name != "calibration_shift":  # It tells the distance from equal weights.
            assert weighted[name] == pytest.approx(value, abs=1e-7), name


def test_figures_of_one_class_are_nan():
    positive, probability = np.zeros(3, bool), np.array([0.1, 0.2, 0.3])
    one_class = TwoWayTask(positive, probability, ~positive).unweighted
    assert np.isnan(one_class["average_precision"])
    assert one_class["brier"] == pytest.approx(0.14 / 3)
