import numpy as np
import pytest
import statsmodels.api as sm
from scipy import special
from sklearn.linear_model import LogisticRegression

from featx.metrics.reliability import calibration_fit, calibration_gaps, log_odds


@pytest.fixture
def overconfident():
    generator = np.random.default_rng(3)
    predictor = generator.normal(0.4, 2, size=400)
    return generator.random(400) < special.expit(0.6 * predictor - 0.5), predictor


def test_slope_and_intercept_agree_with_statsmodels(overconfident):
    positive, predictor = overconfident
    slope, intercept = calibration_fit(positive, predictor, np.ones((1, 400)))
    logit = sm.Logit(positive, sm.add_constant(predictor)).fit(disp=0, tol=1e-12)
    offset = sm.GLM(positive, np.ones(400), sm.families.Binomial(), offset=predictor).fit(tol=1e-12)
    assert slope[0] == pytest.approx(logit.params[1], abs=1e-7)
    assert intercept[0] == pytest.approx(offset.params[0], abs=1e-7)


def test_weights_count_like_copies(overconfident):
    positive, predictor = overconfident
    weights = np.random.default_rng(4).poisson(1, size=(30, 400)).astype(float)
    slopes, intercepts = calibration_fit(positive, predictor, weights)
    for weight, slope, intercept in zip(weights, slopes, intercepts, strict=True):
        rows = np.repeat(np.arange(400), weight.astype(int))
        model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
        model.fit(predictor[rows, None], positive[rows])
        assert slope == pytest.approx(model.coef_[0, 0], abs=1e-4)
        # The fit with an offset holds the mean probability at the share of positives.
        fitted = special.expit(predictor[rows] + intercept)
        assert fitted.mean() == pytest.approx(positive[rows].mean(), abs=1e-5)


def test_extreme_probabilities_still_converge():
    generator = np.random.default_rng(5)
    positive = generator.random(500) < 0.5
    probability = np.where(generator.random(500) < 0.9, positive, ~positive).astype(float)
    slope, intercept = calibration_fit(positive, log_odds(probability), np.ones((1, 500)))
    # Two groups, of which a share of about 0.9 is right, told apart by logit(1e-6) either way.
    expected = sm.Logit(positive, sm.add_constant(log_odds(probability))).fit(disp=0)
    assert slope[0] == pytest.approx(expected.params[1], rel=1e-6)
    assert np.isfinite(intercept[0])


@pytest.mark.parametrize(
    ("positive", "predictor", "slope_defined", "intercept_defined"),
    [
        ([0, 0, 1, 1], [1, 2, 3, 4], False, True),  # Perfect separation
        ([0, 0, 1, 1], [1, 2, 2, 4], False, True),  # Touching in one value
        ([1, 1, 0, 0], [1, 2, 3, 4], False, True),  # The wrong way round
        ([0, 1, 0, 1], [2, 2, 2, 2], False, True),  # One probability for all
        ([1, 1, 1, 1], [1, 2, 3, 4], False, False),  # One class
        ([0, 1, 0, 1], [1, 2, 3, 4], True, True),
    ],
)
def test_undefined_where_the_likelihood_has_no_maximum(
    positive, predictor, slope_defined, intercept_defined
):
    slope, intercept = calibration_fit(
        np.array(positive, bool), np.array(predictor, float), np.ones((2, 4))
    )
    assert np.isfinite(slope).tolist() == [slope_defined] * 2
    assert np.isfinite(intercept).tolist() == [intercept_defined] * 2


def test_gaps_of_bins_by_definition():
    generator = np.random.default_rng(6)
    probability = np.append(generator.random(300), [0.0, 1.0, 0.3])
    positive = generator.random(303) < probability**2
    weights = generator.integers(0, 3, size=303).astype(float)
    expected = 0.0
    for low in range(10):
        inside = np.minimum(np.floor(probability * 10), 9) == low
        share = weights[inside].sum() / weights.sum()
        confidence = np.average(probability[inside], weights=weights[inside])
        expected += share * abs(confidence - np.average(positive[inside], weights=weights[inside]))
    gaps = calibration_gaps(positive, probability, weights[None])
    assert np.abs(gaps).sum() == pytest.approx(expected)
