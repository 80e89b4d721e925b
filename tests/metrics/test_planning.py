import math

import numpy as np
import pytest
from scipy import special

from featx import metrics
from featx.errors import UsageError
from featx.metrics.intervals import wilson_interval
from tests.metrics.test_coverage import coverage

__all__ = ["coverage"]


@pytest.mark.parametrize("number", [0, 2, 4, 5, 7])
def test_planned_widths_are_achieved(coverage, number):
    plan, achieved = coverage.measure_plan(*coverage.PLANS[number], repeats=60, seed=number)
    assert achieved == pytest.approx(plan.width, rel=0.1)


@pytest.mark.parametrize("metric", ["auc", "sensitivity"])
def test_planned_differences_are_found_as_often_as_planned(metric):
    generator = np.random.default_rng(0)
    distances = special.ndtri([0.9, 0.8]) * (math.sqrt(2) if metric == "auc" else 1)
    plan = metrics.plan(metric, difference=0.1, expected=0.9, prevalence=0.5, correlation=0)
    positive = np.arange(plan.patients) < plan.patients // 2
    found = 0
    for _ in range(300):
        a, b = (generator.normal(size=len(positive)) + d * positive for d in distances)
        if metric == "auc":
            found += metrics.compare(positive, a, b)["auc"].p_value < 0.05
        else:
            ill = positive[positive]
            # Holm's correction over figures is not part of the plan of one.
            test = metrics.paired_tests.mcnemar_test(ill, a[positive] >= 0, b[positive] >= 0)
            found += test.p_value < 0.05
    # Three standard errors of 300 samples.
    assert found / 300 == pytest.approx(0.8, abs=0.07)


def test_one_patient_fewer_does_not_suffice():
    plan = metrics.plan("sensitivity", width=0.1, expected=0.9, prevalence=0.25)
    assert plan.images == plan.patients and plan.width <= 0.1
    fewer = wilson_interval(0.9 * (plan.patients - 1) / 4, (plan.patients - 1) / 4)
    assert fewer.high - fewer.low > 0.1


def test_copies_of_images_bring_nothing_and_are_the_default():
    alone = metrics.plan(width=0.1, expected=0.85, prevalence=0.3)
    copied = metrics.plan(width=0.1, expected=0.85, prevalence=0.3, images_per_patient=4)
    assert copied.design_effect == 4
    assert copied.patients == pytest.approx(alone.patients, rel=0.01)
    free = metrics.plan(
        width=0.1, expected=0.85, prevalence=0.3, images_per_patient=4, design_effect=1
    )
    # Few patients make an interval wider.
    assert alone.images < free.images < 1.2 * alone.images


def test_a_pilot_gives_what_is_not_given():
    generator = np.random.default_rng(0)
    patients = np.repeat(np.arange(100), 3)
    y = np.where(patients < 30, "ill", "well")
    shared = generator.normal(size=100)[patients]
    scores = shared + 0.5 * generator.normal(size=300) + 1.5 * (patients < 30)
    pilot = metrics.measure_pilot("auc", y, scores, groups=patients, pos_label="ill")
    assert (pilot.patients, pilot.images, pilot.prevalence) == (100, 300, 0.3)
    assert pilot.expected == metrics.auc(y, scores, pos_label="ill").value
    # Three images with 80 % of the variance shared: 1 + 2 * 0.8, by few patients.
    assert 1.8 < pilot.design_effect < 3.4
    plan = metrics.plan(width=0.1, pilot=pilot, prevalence=0.5)
    assert (plan.prevalence, plan.images_per_patient) == (0.5, 3.0)
    assert plan.design_effect == pilot.design_effect
    with pytest.raises(UsageError, match="that of 3 images per patient"):
        metrics.plan(width=0.1, pilot=pilot, images_per_patient=5)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"width": 0.1, "difference": 0.1}, "either width or difference"),
        ({}, "either width or difference"),
        ({"width": 0.1, "prevalence": None}, "prevalence is not known"),
        ({"width": 0.1, "expected": 1.0}, "expected=1"),
        ({"width": 0.1, "images_per_patient": 0}, "images_per_patient=0"),
        ({"width": 1e-6}, "more than 100,000,000 patients"),
        ({"difference": 0.45}, "AUC is planned for from 0.5"),
        ({"metric": "kappa", "width": 0.1}, "metric 'kappa'"),
    ],
)
def test_what_cannot_be_planned_is_refused(given, says):
    with pytest.raises(UsageError, match=says):
        metrics.plan(**{"expected": 0.9, "prevalence": 0.3, **given})


def test_a_perfect_pilot_gives_no_value_and_no_design_effect():
    pilot = metrics.measure_pilot("auc", [0, 0, 1, 1], [1, 2, 3, 4])
    with pytest.raises(UsageError, match="expected=1"):
        metrics.plan(width=0.1, pilot=pilot)
    assert math.isnan(pilot.design_effect)
    assert metrics.plan(width=0.1, pilot=pilot, expected=0.9).design_effect == 1
