import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.metrics import roc_auc_score

from featx.metrics.ranking import auc_influence, auc_interval, macro_auc_interval
from tests.metrics.worked_examples import binormal, delong_by_definition, ovarian_cancer

# A few coarse scores make ties; both classes have two images at least.
ranked_images = st.lists(
    st.tuples(st.booleans(), st.integers(-4, 4)), min_size=6, max_size=60
).filter(lambda images: 2 <= sum(label for label, _ in images) <= len(images) - 2)


def unzip(images):
    labels, scores = zip(*images, strict=True)
    return np.array(labels), np.array(scores, dtype=float)


@given(ranked_images)
def test_area_and_variance_follow_the_definition(images):
    positive, scores = unzip(images)
    area, influence = auc_influence(positive, scores, np.arange(len(scores)))
    areas, covariance = delong_by_definition(positive, scores)
    assert area == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    assert area == pytest.approx(areas[0], abs=1e-12)
    assert influence @ influence == pytest.approx(covariance[0, 0], abs=1e-12)


@pytest.mark.parametrize(
    ("test", "area", "error", "low", "high"),
    # "ROC Association Statistics" of the SAS example: area, standard error and Wald limits.
    [
        ("albumin", 0.7366, 0.0927, 0.5549, 0.9182),
        ("k-g", 0.7258, 0.1028, 0.5243, 0.9273),
        ("protein", 0.6478, 0.1000, 0.4518, 0.8439),
    ],
)
def test_delongs_own_patients(test, area, error, low, high):
    positive, tests = ovarian_cancer()
    found, influence = auc_influence(positive, tests[test], np.arange(len(positive)))
    deviation = math.sqrt(influence @ influence)
    assert found == pytest.approx(area, abs=5e-5)
    assert deviation == pytest.approx(error, abs=5e-5)
    assert found - 1.959964 * deviation == pytest.approx(low, abs=5e-5)
    assert found + 1.959964 * deviation == pytest.approx(high, abs=5e-5)
    # As wide as DeLong's with 12 positive patients, within 0 and 1, farther from 1.
    interval = auc_interval(positive, tests[test])
    assert interval.value == found
    assert 0.9 < (interval.high - interval.low) / (high - low) < 1.1
    assert area - interval.low > interval.high - area


def newcombe_variance(area, m, n):
    """The variance of Newcombe's method 5, with N* the mean number of both classes less 1."""
    more = (m + n) / 2 - 1
    odd, even = (1 - area) / (2 - area), area / (1 + area)
    return area * (1 - area) * (1 + more * odd + more * even) / (m * n)


@given(ranked_images)
def test_bounds_are_as_far_as_their_own_error(images):
    positive, scores = unzip(images)
    interval = auc_interval(positive, scores)
    area, m, n = interval.value, positive.sum(), (~positive).sum()
    above, below = scores[positive][:, None], scores[~positive][None, :]
    wins = (above > below) + 0.5 * (above == below)
    first, second = (wins.mean(axis=axis).var(ddof=1) for axis in (1, 0))
    variance, ratio, quantile = first / m + second / n, 1.0, special.ndtri(0.975)
    if variance > 0 or area in (0, 1):
        half = newcombe_variance(1 - 0.5 / min(m, n), m, n)
        ratio = (variance + 0.8 * half) / (newcombe_variance(area, m, n) + half)
        shares = first / m + 0.8 * half * n / (m + n), second / n + 0.8 * half * m / (m + n)
        degrees = sum(shares) ** 2 / (shares[0] ** 2 / (m - 1) + shares[1] ** 2 / (n - 1))
        quantile = stats.t.ppf(0.975, degrees)
    for bound in {interval.low, interval.high} - {0.0, 1.0}:
        error = quantile * math.sqrt(ratio * newcombe_variance(bound, m, n))
        assert abs(bound - area) == pytest.approx(error, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("images_per_patient", [1, 3])
@pytest.mark.parametrize(("m", "n"), [(8, 15), (10, 10), (20, 200), (300, 1000)])
def test_the_interval_changes_smoothly_up_to_1(m, n, images_per_patient):
    positive = np.repeat([False, True], [n * images_per_patient, m * images_per_patient])
    patients = np.arange(len(positive)) // images_per_patient
    found = []
    for wrong in range(4):
        scores = np.arange(float(len(positive)))
        scores[positive.argmax()] -= wrong + 0.5
        found.append(auc_interval(positive, scores, patients=patients))
    assert found[0].value == 1
    widths = np.array([interval.high - interval.low for interval in found])
    assert (np.abs(np.diff(widths)) < 0.25 * widths[0]).all()
    lows = np.array([interval.low for interval in found])
    assert (np.diff(lows) < 0.1 * widths[0]).all()


def test_obuchowskis_variance_for_patients_with_several_images():
    generator = np.random.default_rng(0)
    patients = np.repeat(np.arange(15), 4)
    positive = np.tile([True, False, True, False], 15)  # Patients have images of both classes.
    scores = generator.integers(6, size=60) + positive
    above, below = scores[positive][:, None], scores[~positive][None, :]
    wins = (above > below) + 0.5 * (above == below)
    area, m, n = wins.mean(), positive.sum(), (~positive).sum()
    sums = np.zeros((15, 2))
    np.add.at(sums[:, 0], patients[positive], wins.mean(axis=1) - area)
    np.add.at(sums[:, 1], patients[~positive], wins.mean(axis=0) - area)
    with_positive = len(set(patients[positive]))
    with_negative = len(set(patients[~positive]))
    s10 = with_positive / ((with_positive - 1) * m) * (sums[:, 0] ** 2).sum()
    s01 = with_negative / ((with_negative - 1) * n) * (sums[:, 1] ** 2).sum()
    s11 = (
        math.sqrt(with_positive / (with_positive - 1) * with_negative / (with_negative - 1))
        * (sums[:, 0] * sums[:, 1]).sum()
    )
    found, influence = auc_influence(positive, scores.astype(float), patients)
    assert found == pytest.approx(area)
    assert influence @ influence == pytest.approx(s10 / m + s01 / n + 2 * s11 / (m * n))


@given(ranked_images)
def test_only_the_order_of_scores_matters(images):
    positive, scores = unzip(images)
    interval = auc_interval(positive, scores)
    assert auc_interval(positive, np.exp(scores / 2) - 7) == interval
    mirrored = auc_interval(positive, -scores)
    assert mirrored.value == pytest.approx(1 - interval.value)
    assert mirrored.low == pytest.approx(1 - interval.high)
    assert mirrored.high == pytest.approx(1 - interval.low)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.low < interval.high


def test_copies_of_images_bring_no_certainty():
    positive, scores, patients = binormal(np.random.default_rng(2), 90, 1.5)
    once = auc_interval(positive, scores)
    thrice = auc_interval(
        np.repeat(positive, 3), np.repeat(scores, 3), patients=np.repeat(patients, 3)
    )
    assert (thrice.value, thrice.low, thrice.high) == pytest.approx(
        (once.value, once.low, once.high), abs=2e-3
    )
    careless = auc_interval(np.repeat(positive, 3), np.repeat(scores, 3))
    assert careless.high - careless.low < 0.65 * (once.high - once.low)


def test_perfect_separation_is_not_claimed_to_be_certain():
    positive = np.repeat([False, True], [30, 10])
    perfect = auc_interval(positive, np.arange(40.0))
    assert (perfect.value, perfect.high) == (1, 1)
    assert 0.8 < perfect.low < 0.95
    mirrored = auc_interval(positive, -np.arange(40.0))
    assert (mirrored.low, mirrored.high) == (0, pytest.approx(1 - perfect.low))
    by_patient = auc_interval(positive, np.arange(40.0), patients=np.arange(40) // 2)
    assert by_patient.low < perfect.low - 0.05


def test_one_score_for_all_is_a_half_with_the_width_of_chance():
    interval = auc_interval(np.repeat([False, True], 20), np.full(40, 0.3))
    # Of the null hypothesis, (m + n + 1) / (12 m n); a score interval is a little narrower.
    assert interval.high - 0.5 == pytest.approx(1.96 * math.sqrt(41 / 4800), rel=0.08)
    assert interval.low == pytest.approx(1 - interval.high)


def test_degenerate_samples():
    assert math.isnan(auc_interval([True, True], [0.1, 0.2]).value)
    assert math.isnan(auc_interval([], []).value)
    single = auc_interval([True, False, False, False], [2.5, 1, 2, 3])
    assert single.value == pytest.approx(2 / 3)
    assert 0 < single.low < single.value < single.high < 1
    perfect = auc_interval([True, False, False, False], [4, 1, 2, 3])
    assert 0 < perfect.low < 0.6


@pytest.mark.parametrize(
    ("n", "distance", "images_per_patient", "within"),
    [(624, 3.0, 1, 1.0), (200, 1.0, 1, 1.0), (624, 1.5, 3, 0.5)],
)
def test_auc_intervals_cover_as_they_claim(n, distance, images_per_patient, within):
    generator = np.random.default_rng(7)
    truth = special.ndtr(distance / math.sqrt(2))
    covered, naive = [], []
    for _ in range(2000):
        positive, scores, patients = binormal(generator, n, distance, images_per_patient, within)
        interval = auc_interval(positive, scores, patients=patients)
        covered.append(interval.low <= truth <= interval.high)
        interval = auc_interval(positive, scores)
        naive.append(interval.low <= truth <= interval.high)
    assert 0.93 <= np.mean(covered) <= 0.97
    if images_per_patient > 1:
        assert np.mean(naive) < 0.92


@pytest.mark.parametrize(("images_per_patient", "shared"), [(1, 0.0), (3, 0.5)])
def test_macro_auc_intervals_cover_as_they_claim(images_per_patient, shared):
    # 2,500 repeats of each gave 95.1 %.
    generator = np.random.default_rng(3)

    def draw(n):
        patients = np.arange(n) // images_per_patient
        labels = generator.integers(3, size=n)[patients]
        noise = math.sqrt(shared) * generator.normal(size=(n, 3))[patients]
        noise += math.sqrt(1 - shared) * generator.normal(size=(n, 3))
        return labels, noise + 1.5 * np.eye(3)[labels], patients

    # Two classes 1.5 apart, whatever the third.
    truth = special.ndtr(1.5 / math.sqrt(2))
    covered, naive = [], []
    for _ in range(800):
        labels, scores, patients = draw(450)
        interval = macro_auc_interval(labels, scores, patients=patients)
        covered.append(interval.low <= truth <= interval.high)
        interval = macro_auc_interval(labels, scores)
        naive.append(interval.low <= truth <= interval.high)
    assert 0.93 <= np.mean(covered) <= 0.97
    if images_per_patient > 1:
        assert np.mean(naive) < 0.93


def test_macro_area_is_that_of_scikit_learn_and_of_two_classes():
    generator = np.random.default_rng(1)
    labels = generator.integers(3, size=90)
    scores = generator.normal(size=(90, 3)) + np.eye(3)[labels]
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = roc_auc_score(labels, shares, multi_class="ovr")
    assert macro_auc_interval(labels, shares).value == pytest.approx(expected)
    positive = labels == 1
    two = macro_auc_interval(positive.astype(int), scores[:, 1])
    assert two == auc_interval(positive, scores[:, 1])
    both = macro_auc_interval(positive.astype(int), np.column_stack([-scores[:, 1], scores[:, 1]]))
    assert (both.value, both.low, both.high) == pytest.approx((two.value, two.low, two.high))
