import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from featx.metrics.paired_tests import delong_test, holm, mcnemar_test, verdict
from featx.metrics.ranking import auc_interval
from tests.metrics.worked_examples import binormal, delong_by_definition, ovarian_cancer

paired_scores = st.lists(
    st.tuples(st.booleans(), st.integers(-4, 4), st.integers(-4, 4)), min_size=6, max_size=60
).filter(lambda images: 2 <= sum(image[0] for image in images) <= len(images) - 2)


@pytest.mark.parametrize(
    ("test", "difference", "low", "high", "p_value"),
    # "ROC Contrast Estimation and Testing Results by Row" of the SAS example.
    [
        ("albumin", 0.0108, -0.1761, 0.1976, 0.9102),
        ("protein", -0.0780, -0.2830, 0.1271, 0.4561),
    ],
)
def test_delongs_own_patients(test, difference, low, high, p_value):
    positive, tests = ovarian_cancer()
    result = delong_test(positive, tests[test], tests["k-g"])
    assert (result.difference, result.p_value) == pytest.approx((difference, p_value), abs=5e-5)
    # With 12 positive patients it is wider than SAS's.
    assert (result.low + result.high) / 2 == pytest.approx((low + high) / 2, abs=5e-5)
    assert 1.1 < (result.high - result.low) / (high - low) < 1.3


@given(paired_scores)
def test_delong_follows_the_definition(images):
    positive, first, second = (np.array(column) for column in zip(*images, strict=True))
    areas, covariance = delong_by_definition(positive, first, second)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    result = delong_test(positive, first, second)
    assert result.difference == pytest.approx(areas[0] - areas[1], abs=1e-12)
    if variance > 1e-12:
        z = (areas[0] - areas[1]) / math.sqrt(variance)
        assert result.p_value == pytest.approx(2 * stats.norm.sf(abs(z)))
        half = stats.norm.ppf(0.975) * math.sqrt(variance)
        assert result.low <= max(-1, areas[0] - areas[1] - half) + 1e-9


def test_intervals_of_a_difference_in_area_cover_with_few_patients():
    generator = np.random.default_rng(0)
    positive, truth, covered = np.arange(330) < 30, 0.985 - 0.97, []
    for _ in range(400):
        shared, distance = generator.normal(size=330), math.sqrt(2) * stats.norm.ppf([0.985, 0.97])
        first, second = (
            math.sqrt(0.8) * shared + math.sqrt(0.2) * generator.normal(size=330) + d * positive
            for d in distance
        )
        result = delong_test(positive, first, second)
        covered.append(result.low <= truth <= result.high)
    assert np.mean(covered) > 0.93


@given(paired_scores)
def test_delong_swaps_and_minds_the_order_only(images):
    positive, first, second = (np.array(column, float) for column in zip(*images, strict=True))
    result, swapped = delong_test(positive, first, second), delong_test(positive, second, first)
    assert swapped.difference == pytest.approx(-result.difference)
    assert (swapped.low, swapped.high) == pytest.approx((-result.high, -result.low))
    assert swapped.p_value == pytest.approx(result.p_value)
    assert 0 <= result.p_value <= 1
    stretched = delong_test(positive, np.exp(first), second**3)
    assert stretched.p_value == pytest.approx(result.p_value)


def test_delong_where_nothing_varies():
    positive = np.repeat([False, True], 10)
    perfect = np.arange(20.0)
    same = delong_test(positive, perfect, np.exp(perfect))
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    also_perfect = np.concatenate([np.arange(10)[::-1], np.arange(10, 20)]).astype(float)
    both = delong_test(positive, perfect, also_perfect)
    bound = 1 - auc_interval(positive, perfect).low
    assert (both.difference, both.p_value) == (0, 1)
    assert (both.low, both.high) == pytest.approx((-bound, bound))
    against_constant = delong_test(positive, perfect, np.zeros(20))
    assert against_constant.difference == 0.5
    assert 0 < against_constant.p_value < 0.05
    assert 0 < against_constant.low < 0.5
    assert math.isnan(delong_test([1, 1, 1], [1, 2, 3], [3, 1, 2]).difference)
    assert math.isnan(delong_test([1, 0, 0], [1, 2, 3], [3, 1, 2]).p_value)


def test_delong_with_patients_holds_its_level():
    generator = np.random.default_rng(9)
    honest, naive = [], []
    for _ in range(1000):
        positive, first, patients = binormal(generator, 300, 1.5, 3, within=0.3)
        shared = generator.normal(size=100)[patients]
        second = 1.5 * positive + math.sqrt(0.7) * shared
        second = second + math.sqrt(0.3) * generator.normal(size=300)
        honest.append(delong_test(positive, first, second, patients=patients).p_value < 0.05)
        naive.append(delong_test(positive, first, second).p_value < 0.05)
    assert 0.03 < np.mean(honest) < 0.075
    assert np.mean(naive) > 0.1


def discordant(only_a, only_b, both, neither):
    correct_a = np.repeat([1, 0, 1, 0], [only_a, only_b, both, neither])
    correct_b = np.repeat([0, 1, 1, 0], [only_a, only_b, both, neither])
    return np.ones_like(correct_a), correct_a, correct_b


@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 50), st.integers(1, 20))
def test_mid_p_is_the_exact_p_less_the_observed_outcome(only_a, only_b, both, neither):
    result = mcnemar_test(*discordant(only_a, only_b, both, neither))
    exact = mcnemar([[both, only_a], [only_b, neither]], exact=True).pvalue
    observed = stats.binom.pmf(only_a, only_a + only_b, 0.5)
    # Equal accuracies have a p-value of 1 here, as they have in the exact test.
    expected = 1.0 if only_a == only_b else exact - observed
    assert result.p_value == pytest.approx(expected)
    n = only_a + only_b + both + neither
    assert result.difference == pytest.approx((only_a - only_b) / n)
    # Equal predictions differ by nothing for certain.
    assert result.low < result.difference < result.high or n < 10 or only_a == only_b == 0


def test_published_mcnemar_example():
    # Bentur et al. 2009, Table 1 of Fagerland et al. 2013 (doi 10.1186/1471-2288-13-91): airway
    # hyper-responsiveness before and after transplantation in 21 children, 1 + 7 of them
    # discordant. The article's mid-p by hand: 2 * (1 + 8) / 2**8 - 8 / 2**8 = 10 / 256.
    result = mcnemar_test(*discordant(1, 7, 1, 12))
    assert result.p_value == pytest.approx(10 / 256)
    assert result.difference == pytest.approx(-6 / 21)


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3, st.integers(0, 5)), min_size=1, max_size=40))
def test_mcnemar_swaps(images):
    labels, first, second, patients = (np.array(column) for column in zip(*images, strict=True))
    result = mcnemar_test(labels, first, second, patients=patients)
    swapped = mcnemar_test(labels, second, first, patients=patients)
    assert swapped.difference == pytest.approx(-result.difference)
    assert (swapped.low, swapped.high) == pytest.approx((-result.high, -result.low))
    assert swapped.p_value == pytest.approx(result.p_value)
    assert 0 <= result.p_value <= 1


def test_mcnemar_by_patient_is_the_enumeration_of_signs():
    generator = np.random.default_rng(0)
    labels = np.ones(36, int)
    first, second = generator.integers(2, size=(2, 36))
    patients = generator.integers(10, size=36)
    differences = np.bincount(patients, weights=first - second, minlength=10)
    signs = 1 - 2 * ((np.arange(1024)[:, None] >> np.arange(10)) & 1)
    sums, observed = np.abs(signs @ differences), abs(differences.sum())
    expected = (sums > observed).mean() + (sums == observed).mean() / 2
    found = mcnemar_test(labels, first, second, patients=patients).p_value
    assert found == pytest.approx(expected)


def test_mcnemar_with_patients_holds_its_level():
    generator = np.random.default_rng(1)
    honest, naive = [], []
    patients = np.repeat(np.arange(100), 4)
    labels = np.ones(400, int)
    for _ in range(1000):
        # A patient is hard for one classifier or the other, in all of the images alike.
        hard = generator.choice(3, size=100, p=[0.15, 0.15, 0.7])[patients]
        first, second = (hard != 0).astype(int), (hard != 1).astype(int)
        honest.append(mcnemar_test(labels, first, second, patients=patients).p_value < 0.05)
        naive.append(mcnemar_test(labels, first, second).p_value < 0.05)
    assert 0.03 < np.mean(honest) < 0.07
    assert np.mean(naive) > 0.2


def test_equal_predictions_show_nothing():
    result = mcnemar_test([0, 1, 1, 0], [0, 1, 0, 0], [0, 1, 0, 0])
    assert (result.difference, result.low, result.high, result.p_value) == (0, 0, 0, 1)
    as_accurate = mcnemar_test([0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0])
    assert (as_accurate.difference, as_accurate.p_value) == (0, 1)
    assert as_accurate.low < 0 < as_accurate.high
    assert math.isnan(mcnemar_test([], [], []).p_value)


p_value_lists = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@settings(max_examples=12)  # statsmodels takes its time.
@given(p_value_lists)
def test_holm_agrees_with_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


@given(p_value_lists)
def test_holm_keeps_the_order_and_never_lowers(p_values):
    adjusted = holm(p_values)
    assert (adjusted >= p_values).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= 0).all()


def test_holm_leaves_out_what_could_not_be_tested():
    adjusted = holm([0.01, math.nan, 0.04])
    assert np.isnan(adjusted).tolist() == [False, True, False]
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.04])
    assert holm([]).tolist() == []


def three_classes(n_patients, random_state):
    """Two classifiers that share much of their error, three images a patient."""
    generator = np.random.default_rng(random_state)
    labels = np.repeat(generator.integers(3, size=n_patients), 3)
    patients = np.repeat(np.arange(n_patients), 3)
    shared = np.repeat(generator.normal(size=(n_patients, 3)), 3, axis=0)
    scores = [
        np.eye(3)[labels] + shared + 0.7 * generator.normal(size=(len(labels), 3)) for _ in range(2)
    ]
    return labels, scores, patients


def test_macro_areas_of_two_columns_are_those_of_one():
    labels, (first, second), patients = three_classes(60, random_state=0)
    positive = (labels > 0).astype(int)
    one = delong_test(positive, first[:, 1], second[:, 1], patients=patients)
    columns = [np.column_stack([-score[:, 1], score[:, 1]]) for score in (first, second)]
    two = delong_test(positive, *columns, patients=patients)
    np.testing.assert_allclose(
        [two.difference, two.low, two.high, two.p_value],
        [one.difference, one.low, one.high, one.p_value],
    )


def test_macro_areas_have_the_error_of_resampled_patients():
    labels, scores, patients = three_classes(150, random_state=1)
    found = delong_test(labels, *scores, patients=patients)
    areas = [roc_auc_score(np.eye(3)[labels], score) for score in scores]
    assert found.difference == pytest.approx(areas[0] - areas[1])
    generator = np.random.default_rng(2)
    differences = []
    for _ in range(300):
        drawn = generator.integers(150, size=150)
        rows = (3 * drawn[:, None] + np.arange(3)).ravel()
        areas = [roc_auc_score(np.eye(3)[labels[rows]], score[rows]) for score in scores]
        differences.append(areas[0] - areas[1])
    error = (found.high - found.low) / (2 * 1.959964)
    assert error == pytest.approx(np.std(differences), rel=0.15)


def test_macro_areas_that_are_alike_are_called_different_as_often_as_claimed():
    p_values = []
    for random_state in range(200):
        labels, scores, patients = three_classes(60, random_state)
        p_values.append(delong_test(labels, *scores, patients=patients).p_value)
    assert 0.01 <= np.mean(np.array(p_values) < 0.05) <= 0.1


def test_bonett_price_interval_by_hand():
    result = mcnemar_test(*discordant(3, 12, 70, 15))
    more, less = 4 / 102, 13 / 102
    half = 1.959963984540054 * math.sqrt((more + less - (more - less) ** 2) / 102)
    assert (result.low, result.high) == pytest.approx((more - less - half, more - less + half))


@pytest.mark.parametrize(
    ("difference", "p_value", "words"),
    [
        (0.02, 0.049, "better"),
        (-0.02, 0.049, "worse"),
        (0.02, 0.05, "no difference shown"),
        (math.nan, math.nan, "no difference shown"),
    ],
)
def test_verdict_in_words(difference, p_value, words):
    assert verdict(difference, p_value) == words
