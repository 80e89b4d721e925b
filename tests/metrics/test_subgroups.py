import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, roc_auc_score
from statsmodels.stats.proportion import confint_proportions_2indep

from featx.errors import UsageError
from featx.metrics.intervals import difference_interval, wilson_interval
from featx.metrics.scores import Scores, Subgroup
from featx.metrics.subgroups import MISSING, subgroup_scores
from tests.metrics.worked_examples import delong_by_definition

NAMES = ("well", "ill")


def drawn(n=400, random_state=0, k=2):
    """Labels, probabilities of classes, and three groups of 200, 150 and 50 of 400 images."""
    generator = np.random.default_rng(random_state)
    labels = np.arange(n) % k
    scores = generator.normal(size=(n, k)) + 1.5 * np.eye(k)[labels]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    site = np.repeat(["north", "south", "lake"], [n // 2, 3 * n // 8, n // 8])
    return labels, probabilities, {name: site == name for name in ("lake", "north", "south")}


def found(labels, probabilities, masks, **more):
    names = NAMES if probabilities.shape[1] == 2 else ("a", "b", "c")
    settings = {"class_names": names, "n_bootstrap": 50, **more}
    return {s.group: s for s in subgroup_scores(labels, probabilities, {"site": masks}, **settings)}


def test_figures_are_those_of_scikit_learn_on_the_group():
    labels, table, masks = drawn()
    groups = found(labels, table, masks, threshold=0.4)
    assert list(groups) == ["lake", "north", "south"]
    for name, mask in masks.items():
        scores, p = groups[name].scores, table[mask, 1]
        figures = {
            "auc": roc_auc_score(labels[mask], p),
            "brier": brier_score_loss(labels[mask], p),
            "balanced_accuracy": balanced_accuracy_score(labels[mask], p >= 0.4),
        }
        assert {n: scores.metrics[n].value for n in figures} == pytest.approx(figures)
        assert scores.n == mask.sum() and scores.threshold == 0.4
        assert math.isfinite(scores.metrics["calibration_slope"].low)
    assert [each.reference for each in groups.values()] == ["north", "", "north"]


def test_differences_follow_delong_and_newcombe():
    labels, table, masks = drawn(4000)
    masks = {name: masks[name] for name in ("north", "south")}
    tests = found(labels, table, masks, threshold=0.4)["south"].differences
    (a, va), (b, vb) = (
        (areas[0], covariance[0, 0])
        for areas, covariance in (
            delong_by_definition(labels[masks[name]] == 1, table[masks[name], 1])
            for name in ("south", "north")
        )
    )
    assert tests["auc"].difference == pytest.approx(a - b)
    half = 1.96 * math.sqrt(va + vb)
    assert (tests["auc"].low, tests["auc"].high) == pytest.approx(
        (a - b - half, a - b + half), abs=2e-3
    )
    called = table[:, 1] >= 0.4
    counts = [
        (called[masks[name] & (labels == 1)].sum(), (masks[name] & (labels == 1)).sum())
        for name in ("south", "north")
    ]
    expected = confint_proportions_2indep(*counts[0], *counts[1], method="newcomb")
    found_bounds = tests["sensitivity"].low, tests["sensitivity"].high
    assert found_bounds == pytest.approx(expected, abs=1e-9)


def test_a_p_value_belongs_to_its_interval_and_is_corrected():
    labels, table, masks = drawn(2000)
    worse = table.copy()
    worse[masks["south"]] = 0.75 * worse[masks["south"]] + 0.25 * worse[masks["south"]][:, ::-1]
    two = {name: masks[name] for name in ("north", "south")}
    test = found(labels, worse, two, threshold=0.6)["south"].differences["sensitivity"]
    assert test.high < 0 and test.p_value < 0.05
    sides = [(worse[two[n] & (labels == 1), 1] >= 0.6) for n in ("south", "north")]
    raw = [wilson_interval(s.sum(), len(s), confidence=1 - test.p_value / 3) for s in sides]
    # The smallest of three p-values is multiplied by three.
    assert difference_interval(*raw).high == pytest.approx(0, abs=1e-3)
    shifted = found(labels, table, two, threshold=0.6)["south"].differences
    assert min(each.p_value for each in shifted.values()) > 0.05


def test_patients_in_both_groups_narrow_a_difference():
    generator = np.random.default_rng(1)
    patients = np.repeat(np.arange(200), 2)
    labels = patients % 2
    own = np.repeat(generator.normal(size=200), 2) + generator.normal(0, 0.3, 400) + 1.5 * labels
    p = stats.norm.cdf(own - 0.7)
    view = np.arange(400) % 2 == 0
    both = {"PA": view, "AP": ~view}
    settings = {"labels": labels, "probabilities": np.column_stack([1 - p, p]), "masks": both}
    clustered = found(**settings, patients=patients)["AP"].differences["auc"]
    images = found(**settings)["AP"].differences["auc"]
    assert clustered.difference == images.difference
    assert clustered.high - clustered.low < 0.6 * (images.high - images.low)


def test_small_and_missing_groups_are_not_tested_against():
    labels, table, masks = drawn(200)
    few = np.zeros(200, bool)
    few[:6] = True
    ill = np.zeros(200, bool)
    ill[labels == 1] = True
    masks = {"few": few, "ill": ill, "none": ~few & False, "rest": ~few & ~ill, MISSING: ~few}
    groups = found(labels, table, masks)
    assert list(groups) == ["few", "ill", "rest", MISSING]
    assert [each.is_small for each in groups.values()] == [True, True, True, False]
    assert math.isnan(groups["ill"].scores.metrics["auc"].value)
    assert not any(each.reference or each.differences for each in groups.values())
    with pytest.raises(UsageError, match="mask of shape"):
        found(labels, table, {"few": few[:5]})


def test_three_classes_are_compared_by_area_and_accuracy_and_kept():
    labels, table, masks = drawn(600, k=3)
    groups = found(labels, table, masks, threshold=None)
    tests = groups["south"].differences
    assert set(tests) == {"auc", "accuracy"} and 0 < tests["auc"].p_value <= 1
    stored = tuple(groups.values())
    assert tuple(Subgroup.from_dict(each.to_dict()) for each in stored) == stored
    whole = Scores({}, 600, subgroups=stored)
    assert Scores.from_dict(whole.to_dict()).subgroups == stored
