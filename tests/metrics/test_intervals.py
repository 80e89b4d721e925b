import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from featx.metrics.intervals import (
    Interval,
    design_effect,
    extreme_interval,
    logit_interval,
    proportion_interval,
    wilson_interval,
)
from tests.metrics.worked_examples import binormal


@given(st.integers(1, 5000), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_agrees_with_statsmodels(trials, data, confidence):
    successes = data.draw(st.integers(0, trials))
    ours = wilson_interval(successes, trials, confidence)
    theirs = proportion_confint(successes, trials, alpha=1 - confidence, method="wilson")
    assert (ours.low, ours.high) == pytest.approx(theirs, abs=1e-12)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1
    assert ours.low < ours.high


def test_wilson_without_trials_is_undefined():
    assert math.isnan(wilson_interval(0, 0).value)


def test_extreme_interval_is_that_of_clopper_and_pearson():
    low, high = proportion_confint(37, 37, alpha=0.05, method="beta")
    assert extreme_interval(1.0, 37, 0.95) == Interval(1.0, pytest.approx(low), 1.0)
    low, high = proportion_confint(0, 37, alpha=0.05, method="beta")
    assert extreme_interval(0.0, 37, 0.95) == Interval(0.0, 0.0, pytest.approx(high))


@given(st.floats(1e-6, 1 - 1e-6), st.floats(1e-12, 0.2))
def test_logit_interval_stays_inside_and_is_the_delta_method(value, variance):
    interval = logit_interval(value, variance, 0.95)
    assert 0 <= interval.low <= value <= interval.high <= 1
    half = 1.959963984540054 * math.sqrt(variance) / (value * (1 - value))
    if half < 500:
        logit = math.log(value / (1 - value))
        assert interval.low == pytest.approx(1 / (1 + math.exp(half - logit)))
        assert interval.high == pytest.approx(1 / (1 + math.exp(-half - logit)))


def test_one_image_a_patient_is_plain_wilson():
    outcome = np.random.default_rng(0).random(200) < 0.9
    patients = np.random.default_rng(1).permutation(200)
    plain = wilson_interval(outcome.sum(), 200)
    assert proportion_interval(outcome, patients) == plain
    assert proportion_interval(outcome) == plain


def test_copies_of_images_bring_no_certainty():
    outcome = np.random.default_rng(0).random(100) < 0.8
    once = proportion_interval(outcome)
    twice = proportion_interval(np.repeat(outcome, 2), np.repeat(np.arange(100), 2))
    assert twice.value == once.value
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high), abs=2e-3)


def test_all_correct_counts_patients_not_images():
    all_correct = proportion_interval(np.ones(60), np.repeat(np.arange(20), 3))
    assert all_correct == wilson_interval(20, 20)


def test_design_effect_never_claims_more_than_independence():
    # Each patient has one of either kind: the variance between patients is 0.
    assert design_effect(np.tile([0.0, 1.0], 50), np.repeat(np.arange(50), 2)) == 1
    assert design_effect(np.repeat([0.0, 1.0], 50), np.repeat(np.arange(50), 2)) > 1.9


@pytest.mark.parametrize(("images_per_patient", "within"), [(1, 1.0), (3, 0.5)])
def test_accuracy_intervals_cover_as_they_claim(images_per_patient, within):
    generator = np.random.default_rng(5)
    truth = 0.9331927987311419  # Of a threshold halfway between classes 3 apart: ndtr(1.5)
    covered, naive = [], []
    for _ in range(2000):
        positive, scores, patients = binormal(generator, 624, 3, images_per_patient, within)
        correct = (scores > 1.5) == positive
        interval = proportion_interval(correct, patients)
        covered.append(interval.low <= truth <= interval.high)
        interval = proportion_interval(correct)
        naive.append(interval.low <= truth <= interval.high)
    assert 0.93 <= np.mean(covered) <= 0.97
    if images_per_patient > 1:
        assert np.mean(naive) < 0.93
