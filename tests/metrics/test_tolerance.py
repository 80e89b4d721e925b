import numpy as np
import pytest
from scipy import stats

from featx.errors import UsageError
from featx.metrics.tolerance import (
    fewest_patients,
    guaranteed_threshold,
    one_image_each,
    proportion_bound,
)


@pytest.mark.parametrize("sensitivity", [0.5, 0.8, 0.9, 0.95, 0.975, 0.99])
@pytest.mark.parametrize("level", [0.8, 0.9, 0.95, 0.99])
def test_the_fewest_patients_are_those_of_the_closed_form(sensitivity, level):
    n = fewest_patients(sensitivity, level)
    assert sensitivity**n <= 1 - level < sensitivity ** (n - 1)
    scores = np.random.default_rng(0).random(n)
    assert guaranteed_threshold(scores, sensitivity, level) == scores.min()
    assert guaranteed_threshold(scores[1:], sensitivity, level) is None


@pytest.mark.parametrize("n", [59, 93, 150, 400])
def test_the_rank_is_the_greatest_that_the_binomial_allows(n):
    rank = guaranteed_threshold(np.arange(n), 0.95) + 1
    assert stats.binom.cdf(rank - 1, n, 0.05) <= 0.05 < stats.binom.cdf(rank, n, 0.05)


DISTRIBUTIONS = {
    # Scores, and the proportion of the population at or above a threshold.
    "normal": (lambda g, n: g.normal(size=n), stats.norm.sf),
    "two groups": (
        lambda g, n: np.where(g.random(n) < 0.08, g.normal(-6, 0.1, n), g.normal(size=n)),
        lambda t: 0.08 * stats.norm.sf(t, -6, 0.1) + 0.92 * stats.norm.sf(t),
    ),
    "ties": (lambda g, n: g.integers(0, 8, n) / 8.0, lambda t: 1 - np.ceil(8 * t) / 8),
}


@pytest.mark.parametrize("shape", DISTRIBUTIONS)
@pytest.mark.parametrize(("n", "sensitivity"), [(59, 0.95), (40, 0.9), (150, 0.95), (20, 0.8)])
def test_the_sensitivity_is_kept_in_the_stated_proportion_of_draws(shape, n, sensitivity):
    generator = np.random.default_rng(7)
    draw, above = DISTRIBUTIONS[shape]
    found = [above(guaranteed_threshold(draw(generator, n), sensitivity)) for _ in range(4000)]
    kept = np.mean(np.array(found) >= sensitivity - 1e-12)
    assert kept >= 0.95 - 2.6 * np.sqrt(0.95 * 0.05 / 4000)
    if shape == "normal" and (n, sensitivity) == (59, 0.95):
        # No safer than its closed form: a lower threshold would cost specificity.
        assert kept == pytest.approx(1 - 0.95**59, abs=0.01)


def test_images_of_one_patient_do_not_count_as_several():
    """Patients with few images score low; counting images would promise too much."""
    generator, kept = np.random.default_rng(3), []
    for _ in range(600):
        hard = generator.random(60) < 0.1
        images = np.where(hard, 1, 6)
        patients = np.repeat(np.arange(60), images)
        scores = np.where(hard[patients], -5.0, 0.0) + generator.normal(size=len(patients))
        names = [f"{number}.png" for number in generator.permutation(len(patients))]
        chosen = scores[one_image_each(names, patients)]
        assert len(chosen) == 60
        threshold = guaranteed_threshold(chosen, 0.95)
        true = 0.1 * stats.norm.sf(threshold, -5) + 0.9 * stats.norm.sf(threshold)
        by_image = guaranteed_threshold(scores, 0.95)
        wrong = 0.1 * stats.norm.sf(by_image, -5) + 0.9 * stats.norm.sf(by_image)
        kept.append((true >= 0.95, wrong >= 0.95))
    of_patients, of_images = np.mean(kept, axis=0)
    assert of_patients >= 0.95 - 2.6 * np.sqrt(0.95 * 0.05 / 600)
    assert of_images < 0.5


def test_one_image_each_does_not_depend_on_order():
    generator = np.random.default_rng(0)
    names = np.array([f"{number}.png" for number in range(50)])
    patients = names.copy()
    patients[:30] = np.repeat(["a", "b", "c"], 10)
    chosen = set(names[one_image_each(names.tolist(), patients)])
    order = generator.permutation(50)
    again = names[order][one_image_each(names[order].tolist(), patients[order])]
    assert chosen == set(again) and len(chosen) == 23


def test_the_bound_is_that_of_clopper_and_pearson():
    for successes, trials in ((59, 59), (50, 59), (1, 20)):
        exact = stats.binomtest(successes, trials, alternative="greater")
        assert proportion_bound(successes, trials) == pytest.approx(
            exact.proportion_ci(0.95, "exact").low
        )


@pytest.mark.parametrize("value", [0, 1, 1.2, -0.5, float("nan")])
def test_what_is_no_proportion_is_refused(value):
    with pytest.raises(UsageError, match="between 0 and 1"):
        fewest_patients(value)
    with pytest.raises(UsageError, match="level"):
        fewest_patients(0.9, value)
