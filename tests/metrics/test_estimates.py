"""The public functions of featx.metrics: light, and as published and as other libraries say."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import special
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, recall_score, roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from featx import metrics
from featx.errors import UsageError
from featx.metrics.ranking import auc_influence
from featx.metrics.scores import evaluate
from tests.metrics.worked_examples import asah_ndka, binormal

LIGHT = """
import json, sys
import numpy, scipy.optimize, scipy.stats
before = set(sys.modules)
from featx import metrics
y, p = [0, 0, 1, 1, 0, 1], [0.1, 0.6, 0.4, 0.9, 0.2, 0.7]
metrics.auc(y, p), metrics.sensitivity(y, p, threshold=0.5), metrics.balanced_accuracy(y, y)
metrics.brier(y, p), metrics.calibration(y, p), metrics.net_benefit(y, p, 0.5)
metrics.compare(y, p, p[::-1], threshold=0.5), metrics.plan(width=0.1, expected=0.9, prevalence=0.5)
new = set(sys.modules) - before
print(json.dumps([sorted({n.partition(".")[0] for n in new} - sys.stdlib_module_names),
                  sorted(n for n in new if n.startswith("featx."))]))
"""


def test_the_functions_take_numpy_and_scipy_alone():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, check=True)
    libraries, own = json.loads(done.stdout)
    # NumPy and SciPy may load more of themselves.
    assert set(libraries) <= {"featx", "numpy", "scipy"}
    assert {name.split(".")[1] for name in own} == {"errors", "metrics"}


def test_prognosis_after_hemorrhage_as_proc_has_it():
    poor, ndka = asah_ndka()
    found, influence = auc_influence(poor, ndka, np.arange(len(poor)))
    variance = float(influence @ influence)
    # pROC 1.18, tests/testthat/test-ci.auc.R and test-var.R.
    assert variance == pytest.approx(0.0031908105493913, abs=1e-15)
    half = special.ndtri(0.975) * math.sqrt(variance)
    assert [found - half, found, found + half] == pytest.approx(
        [0.501244999271703, 0.611957994579946, 0.722670989888189], abs=1e-12
    )
    outcome = np.where(poor, "Poor", "Good")
    interval = metrics.auc(outcome, ndka)
    assert interval.value == found
    assert (interval.low, interval.high) == pytest.approx((0.5012, 0.7227), abs=0.01)
    assert metrics.auc(outcome, -ndka, pos_label="Good").value == pytest.approx(found)


def test_comparisons_of_patients_follow_obuchowskis_formula():
    """The article's own data are not public; its formula for two tests, written out."""
    generator = np.random.default_rng(3)
    patients, positive = np.repeat(np.arange(20), 4), np.tile([True, False, True, False], 20)
    shared = generator.normal(size=20)[patients]
    scores = [generator.normal(size=80) + shared + d * positive for d in (1.5, 0.5)]
    areas, by_patient = [], []
    for each in scores:
        wins = np.greater.outer(each[positive], each[~positive])
        sums = np.zeros((20, 2))
        np.add.at(sums[:, 0], patients[positive], wins.mean(axis=1) - wins.mean())
        np.add.at(sums[:, 1], patients[~positive], wins.mean(axis=0) - wins.mean())
        areas.append(wins.mean())
        by_patient.append(sums)
    s10, s01, s11 = (np.zeros((2, 2)) for _ in range(3))
    for i, x in enumerate(by_patient):
        for j, y in enumerate(by_patient):
            s10[i, j] = 20 / (19 * 40) * (x[:, 0] @ y[:, 0])
            s01[i, j] = 20 / (19 * 40) * (x[:, 1] @ y[:, 1])
            s11[i, j] = 20 / 19 * (x[:, 0] @ y[:, 1])
    covariance = s10 / 40 + s01 / 40 + (s11 + s11.T) / 40**2
    z = (areas[0] - areas[1]) / math.sqrt(covariance.trace() - 2 * covariance[0, 1])
    found = metrics.compare(positive, *scores, groups=patients)["auc"]
    assert found.difference == pytest.approx(areas[0] - areas[1])
    assert found.p_value == pytest.approx(2 * special.ndtr(-abs(z)), rel=1e-9)
    alone = metrics.compare(positive, *scores)["auc"]
    assert alone.p_value != pytest.approx(found.p_value, rel=0.05)


def test_figures_are_those_of_scikit_learn_and_statsmodels():
    positive, noise, _ = binormal(np.random.default_rng(0), 300, 1.5)
    y, p = np.where(positive, "ill", "healthy"), special.expit(noise - 0.7)
    called = np.where(p >= 0.5, "ill", "healthy")
    assert metrics.auc(y, p).value == pytest.approx(roc_auc_score(positive, p))
    balanced = metrics.balanced_accuracy(y, called)
    assert balanced.value == pytest.approx(balanced_accuracy_score(y, called))
    assert metrics.balanced_accuracy(y, p, threshold=0.5) == balanced
    assert metrics.brier(y, p).value == pytest.approx(brier_score_loss(positive, p))
    for figure, label in ((metrics.sensitivity, "ill"), (metrics.specificity, "healthy")):
        found, among = figure(y, p, threshold=0.5, level=0.9), y == label
        assert found.value == pytest.approx(recall_score(y, called, pos_label=label))
        counts = (called[among] == label).sum(), among.sum()
        low, high = proportion_confint(*counts, alpha=0.1, method="wilson")
        assert (found.low, found.high) == pytest.approx((low, high))
    whole = evaluate(
        positive.astype(int), np.column_stack([1 - p, p]), class_names=("healthy", "ill")
    ).metrics
    assert balanced == whole["balanced_accuracy"]
    calibration = metrics.calibration(y, p)
    assert calibration.slope == whole["calibration_slope"]
    assert calibration.intercept == whole["calibration_intercept"]
    assert calibration.expected_error == whole["expected_calibration_error"]


def test_comparisons_at_thresholds_are_mcnemars_with_holms_correction():
    generator = np.random.default_rng(1)
    positive = np.arange(200) < 80
    a, b = (special.expit(generator.normal(size=200) + d * positive) for d in (2, 1))
    found = metrics.compare(positive, a, b, threshold=(0.6, 0.55))
    p_values = []
    for name, among in (("sensitivity", positive), ("specificity", ~positive)):
        right = [((s >= cut) == positive)[among] for s, cut in ((a, 0.6), (b, 0.55))]
        assert found[name].difference == pytest.approx(right[0].mean() - right[1].mean())
        only = [(right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum()]
        exact = mcnemar([[0, only[0]], [only[1], 0]], exact=True).pvalue
        # Half of the observed outcome's own probability, on both sides.
        p_values.append(exact - math.comb(sum(only), only[0]) / 2 ** sum(only))
    alone = metrics.compare(positive, a, b)["auc"].p_value
    assert found["auc"].p_value == pytest.approx(4 * alone) and 4 * alone < min(p_values)
    assert found["sensitivity"].p_value >= p_values[0]


@pytest.mark.parametrize("images", [1, 4])
def test_net_benefit_covers_its_true_value(images):
    generator = np.random.default_rng(images)
    cut, held = 0.3, 0
    for _ in range(300):
        patients = np.repeat(np.arange(120), images)
        positive = generator.random(120)[patients] < 0.3
        shared = generator.normal(size=120)[patients]
        noise = shared if images == 1 else np.sqrt(0.5) * (shared + generator.normal(size=480))
        p = special.expit(noise + 1.5 * positive - 1.4)
        found = metrics.net_benefit(positive, p, cut, groups=patients)
        at = special.logit(cut) + 1.4
        tp, fp = 0.3 * special.ndtr(1.5 - at), 0.7 * special.ndtr(-at)
        held += found.low <= tp - fp * cut / (1 - cut) <= found.high
    # 95 % less 3 standard errors of 300 samples.
    assert held >= 0.91 * 300


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([0, 1, 1], [0.1, 0.2]), "scores of shape"),
        (([0, 1], [0.1, math.nan]), "scores are NaN for 1 of 2"),
        (([0, 1], {"model": [0.1, 0.9]}), "scores are no numbers, one per image .float"),
        (([0, 1], ["low", "high"]), "scores are no numbers, one per image .could not"),
        (([0, None], [0.1, 0.2]), "y_true are missing in 1"),
        (([1, 1], [0.1, 0.2]), "y_true has no negative image"),
        ((["ill", "ill"], [0.1, 0.2]), "one class alone, 'ill'"),
        ((["a", "b", "c"], [0.1, 0.2, 0.3]), "3 classes; give pos_label"),
        (([], []), "y_true is empty"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, says):
    with pytest.raises(UsageError, match=says):
        metrics.auc(*arguments)


def test_wrong_settings_are_refused():
    y, p = [0, 1, 0, 1], [0.1, 0.8, 0.3, 0.6]
    with pytest.raises(UsageError, match="groups of shape"):
        metrics.auc(y, p, groups=["a"])
    with pytest.raises(UsageError, match="groups are missing in 1 of 4"):
        metrics.auc(y, p, groups=["a", "b", "", "c"])
    with pytest.raises(UsageError, match="level=95"):
        metrics.auc(y, p, level=95)
    with pytest.raises(UsageError, match="pos_label='ill'"):
        metrics.auc(y, p, pos_label="ill")
    with pytest.raises(UsageError, match=r"y_pred has 0\.1"):
        metrics.sensitivity(y, p)
    with pytest.raises(UsageError, match="no positive image"):
        metrics.sensitivity([0, 0], [0, 1])
    with pytest.raises(UsageError, match="runs from 1 to 8"):
        metrics.brier(y, [1, 8, 3, 6])
