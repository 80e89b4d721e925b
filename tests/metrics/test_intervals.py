import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from featx.metrics.intervals import (
    design_effect,
    mean_interval,
    proportion_interval,
    wilson_interval,
    without_one,
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


def test_means_of_figures_are_newcombes_square_and_add():
    # Newcombe (1998), method 10: 56/70 - 48/80 has 0.0524 to 0.3339. As a mean, of p and 1 - q.
    p, q = wilson_interval(56, 70), wilson_interval(80 - 48, 80)
    mean = mean_interval([p, q], np.eye(2))
    bounds = [2 * bound - 1 for bound in (mean.value, mean.low, mean.high)]
    assert bounds == pytest.approx([0.2, 0.0524, 0.3339], abs=5e-5)


def test_figures_that_move_together_have_a_mean_as_wide_as_they_are():
    part = wilson_interval(15, 20)
    same = mean_interval([part, part], np.array([[1.0, -1.0, 0.5]] * 2))
    assert (same.low, same.high) == pytest.approx((part.low, part.high))
    opposed = mean_interval([part, part], np.array([[1.0, -1.0], [-1.0, 1.0]]))
    assert opposed.low == pytest.approx(opposed.value, abs=1e-6)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=12), st.integers(0, 99))
def test_the_variance_between_patients_is_that_of_the_jackknife(sizes, random_state):
    patients = np.repeat(np.arange(len(sizes)), sizes)
    values = np.random.default_rng(random_state).normal(size=len(patients))
    left = [values[patients != patient].mean() for patient in range(len(sizes))]
    jackknife = (len(sizes) - 1) / len(sizes) * ((np.array(left) - values.mean()) ** 2).sum()
    influence = without_one((values - values.mean()) / len(values), patients)
    assert influence @ influence == pytest.approx(jackknife)


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


@pytest.mark.parametrize(("n_patients", "images"), [(20, 3), (10, 10), (100, 3), (30, 10)])
def test_intervals_of_patients_change_smoothly_up_to_all_correct(n_patients, images):
    patients = np.repeat(np.arange(n_patients), images)
    wrong = [np.isin(np.arange(len(patients)), images * np.arange(k)) for k in range(4)]
    lows = [proportion_interval(~each, patients).low for each in wrong]
    independent = wilson_interval(n_patients * images, n_patients * images).low
    assert wilson_interval(n_patients, n_patients).low - 0.01 < lows[0] < independent
    assert (np.diff(lows) < 0.12 * (1 - lows[0])).all()
    assert (np.diff(lows) > -0.25 * (1 - lows[0])).all()


@pytest.mark.parametrize("sizes", [[10] * 10, range(1, 31), [1] * 27 + [30] * 3])
def test_few_or_uneven_patients_cover_as_they_claim(sizes):
    generator = np.random.default_rng(2)
    sizes = np.array(sizes)
    patients = np.repeat(np.arange(len(sizes)), sizes)
    covered = []
    for _ in range(1000):
        # Beta-binomial: an intraclass correlation of 0.3.
        truth = generator.uniform(0.7, 0.95)
        own = generator.beta(truth * 7 / 3, (1 - truth) * 7 / 3, len(sizes))
        interval = proportion_interval(generator.random(len(patients)) < own[patients], patients)
        covered.append(interval.low <= truth <= interval.high)
    assert 0.92 <= np.mean(covered) <= 0.98


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
