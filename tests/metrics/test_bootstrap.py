import math

import numpy as np
import pytest
from scipy import special, stats

from featx.metrics.bootstrap import (
    basic_interval,
    calibration_error_interval,
    fraction_interval,
    resample_patients,
)
from featx.metrics.intervals import wilson_interval
from featx.metrics.resampled import TwoWayTask


def test_patients_come_whole_and_in_their_number():
    patients = np.array([0, 0, 0, 1, 2, 2, 3])
    weights = np.concatenate(list(resample_patients(patients, 4000, random_state=1)))
    assert weights.shape == (4000, 7)
    again, other = (np.concatenate(list(resample_patients(patients, 4000, n))) for n in (1, 2))
    assert (weights == again).all() and (weights != other).any()
    firsts = np.unique(patients, return_index=True)[1]
    assert (weights == weights[:, firsts][:, patients]).all()
    assert (weights[:, firsts].sum(axis=1) == 4).all()
    # Draws of a patient are binomial with a mean of 1 and a variance of 1 - 1/4.
    assert weights[:, firsts].mean(axis=0) == pytest.approx(np.ones(4), abs=0.06)
    assert weights[:, firsts].var(axis=0) == pytest.approx(np.full(4, 0.75), abs=0.08)


def test_standard_error_of_a_mean_is_the_textbook_one():
    values = np.random.default_rng(0).random(400)
    weights = np.concatenate(list(resample_patients(np.arange(400), 4000, random_state=0)))
    error = (weights @ values / 400).std()
    assert error == pytest.approx(stats.sem(values), rel=0.05)


def test_intervals_without_enough_resamples_are_undefined():
    replicates = np.full(100, 0.7)
    replicates[:6] = math.nan
    assert math.isnan(fraction_interval(0.7, replicates, 50).low)
    assert math.isnan(basic_interval(0.7, replicates).high)
    assert math.isnan(calibration_error_interval(0.7, replicates, replicates).low)
    replicates[0] = 0.7
    assert basic_interval(0.7, replicates).low == pytest.approx(0.7)


def test_a_perfect_share_keeps_a_doubt():
    perfect = fraction_interval(1.0, np.ones(100), patients=40)
    assert perfect.low == pytest.approx(wilson_interval(40, 40).low)
    assert fraction_interval(0.0, np.zeros(100), patients=40).high == pytest.approx(1 - perfect.low)
    # A Brier score is no share of patients: few of a class do not widen what hardly varies.
    brier = fraction_interval(0.05, np.linspace(0.045, 0.055, 100), patients=2, assumed=1e-6)
    assert (brier.low, brier.high) == pytest.approx((0.0447, 0.0559), abs=5e-4)
    nearly = fraction_interval(0.9999, np.linspace(0.9998, 1, 100), patients=40)
    assert nearly.low == pytest.approx(perfect.low, abs=2e-3)


@pytest.mark.parametrize("sharpness", [1.0, 1.6])
def test_resampled_intervals_cover_about_as_they_claim(sharpness):
    """Log-odds of a known slope: the truth comes from a sample of a million."""
    generator = np.random.default_rng(11)

    def draw(n):
        positive = generator.random(n) < 0.6
        evidence = 2 * (generator.normal(size=n) + 2 * positive) - 2 + math.log(1.5)
        probability = special.expit(sharpness * evidence)
        return TwoWayTask(positive, probability, probability >= 0.5)

    truth = {name: float(value[0]) for name, value in draw(1_000_000).unweighted.items()}
    names = ("average_precision", "brier", "calibration_slope", "calibration_intercept")
    covered = {name: [] for name in (*names, "expected_calibration_error")}
    for random_state in range(200):
        task = draw(300)
        replicates = task.measure(next(resample_patients(np.arange(300), 200, random_state)))
        for name in covered:
            value = float(task.unweighted[name][0])
            if name == "expected_calibration_error":
                shifts = replicates["calibration_shift"]
                interval = calibration_error_interval(value, replicates[name], shifts)
            elif name.startswith("calibration"):
                interval = basic_interval(value, replicates[name])
            else:
                interval = fraction_interval(value, replicates[name], 100)
            covered[name].append(interval.low <= truth[name] <= interval.high)
    # Of 200 repeats 90 % is 3.2 standard errors under 95 %.
    assert {name: np.mean(hits) for name, hits in covered.items() if np.mean(hits) < 0.9} == {}
