import numpy as np
import pytest
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression

from featx.classifiers.calibration import calibrate, probabilities


@pytest.fixture
def scored():
    generator = np.random.default_rng(0)
    labels = (generator.random(400) < 0.7).astype(np.int64)
    return 3 * generator.normal(size=400) + 4 * labels - 20, labels


def test_sigmoid_is_platts(scored):
    scores, labels = scored
    expected = _SigmoidCalibration().fit(scores, labels).predict(scores)
    fitted = calibrate("sigmoid", scores, labels)
    np.testing.assert_allclose(probabilities(fitted.logits(scores))[:, 1], expected, atol=1e-4)


def test_sigmoid_of_separable_scores_stays_finite():
    scores, labels = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 0, 1, 1])
    probability = probabilities(calibrate("sigmoid", scores, labels).logits(scores))[:, 1]
    assert 0.05 < probability[0] < 0.5 < probability[-1] < 0.95


def test_sigmoid_never_turns_scores_round(scored):
    scores, labels = scored
    probability = probabilities(calibrate("sigmoid", -scores, labels).logits(-scores))[:, 1]
    assert (np.diff(probability[np.argsort(-scores)]) >= 0).all()
    assert probability == pytest.approx(labels.mean(), abs=0.01)


def test_sigmoid_of_constant_scores():
    probability = probabilities(
        calibrate("sigmoid", np.zeros(10), np.array([0] * 4 + [1] * 6)).logits(np.zeros(2))
    )
    assert probability[:, 1] == pytest.approx([0.6, 0.6], abs=0.02)


def test_isotonic_is_scikit_learns(scored):
    scores, labels = scored
    grid = np.linspace(scores.min() - 5, scores.max() + 5, 200)
    expected = IsotonicRegression(out_of_bounds="clip").fit(scores, labels).predict(grid)
    fitted = calibrate("isotonic", scores, labels)
    np.testing.assert_allclose(probabilities(fitted.logits(grid))[:, 1], expected, atol=2.5e-4)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration_keeps_the_ranking_of_two_classes(scored, method):
    scores, labels = scored
    steps = np.array([1.0, 2.0, 20.0])
    # Scores beyond those of fitting are on the outermost steps.
    others = np.sort(np.concatenate([scores, scores.max() + steps, scores.min() - steps]))
    probability = probabilities(calibrate(method, scores, labels).logits(others))[:, 1]
    assert (np.diff(probability)[np.diff(others) > 1e-5] > 0).all()


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "none"])
def test_three_classes(method):
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, 600)
    scores = 2 * np.eye(3)[labels] + generator.normal(size=(600, 3))
    logits = calibrate(method, scores, labels).logits(scores)
    probability = probabilities(logits)
    assert probability.shape == (600, 3)
    assert probability.sum(axis=1) == pytest.approx(1)
    assert (probability.argmax(axis=1) == labels).mean() > 0.8
    if method == "sigmoid":
        each = [
            _SigmoidCalibration().fit(scores[:, label], labels == label).predict(scores[:, label])
            for label in range(3)
        ]
        expected = np.column_stack(each) / np.sum(each, axis=0)[:, None]
        np.testing.assert_allclose(probability, expected, atol=1e-4)


def test_saturated_scores_stay_inside_0_and_1():
    probability = probabilities(np.array([-1e6, 1e6]))
    assert ((probability > 0) & (probability < 1)).all()
