from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import logit
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from featx.classifiers.adaptation import FEWEST_IMAGES, adapt, adapted_threshold
from featx.classifiers.fitting import fit
from featx.classifiers.model_file import load_model, save_model
from featx.errors import UsageError
from tests.classifiers.makers import make_matrix


def two_groups(n_low, n_high, low=0.0, high=5.0, random_state=0):
    generator = np.random.default_rng(random_state)
    return np.concatenate([generator.normal(low, 1, n_low), generator.normal(high, 1, n_high)])


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_the_threshold_is_where_the_two_densities_cross(share):
    scores = two_groups(int(4000 * (1 - share)), int(4000 * share))
    expected = brentq(lambda x: share * norm.pdf(x, 5) - (1 - share) * norm.pdf(x, 0), 0, 5)
    assert logit(adapted_threshold(scores)) == pytest.approx(expected, abs=0.25)


@settings(deadline=None, max_examples=20)
@given(shift=st.floats(-4, 4), random_state=st.integers(0, 20))
def test_it_moves_with_the_scores(shift, random_state):
    scores = two_groups(100, 150, random_state=random_state)
    there = logit(adapted_threshold(scores))
    assert logit(adapted_threshold(scores + shift)) == pytest.approx(there + shift, abs=0.02)


ONE_GROUP = {
    "normal": lambda g, n: g.normal(size=n),
    "exponential": lambda g, n: g.exponential(size=n),
    "mirrored exponential": lambda g, n: -g.exponential(size=n),
    "heavy tails": lambda g, n: g.standard_t(3, size=n),
    "uniform": lambda g, n: g.random(n),
    "skewed": lambda g, n: g.gumbel(size=n),
    "saturated": lambda g, n: np.minimum(g.normal(size=n), 1.5),
    "U-shaped": lambda g, n: g.beta(0.7, 0.7, size=n),
    "isotonic steps": lambda g, n: g.choice([-2.0, -1.0, 0.5], size=n, p=[0.2, 0.3, 0.5]),
    "constant": lambda g, n: np.zeros(n),
}


@pytest.mark.parametrize("shape", ONE_GROUP)
@pytest.mark.parametrize("n", [60, 400])
def test_scores_of_one_group_give_none(shape, n):
    generator = np.random.default_rng(0)
    found = [adapted_threshold(ONE_GROUP[shape](generator, n)) for _ in range(4)]
    assert found == [None] * 4


@pytest.mark.parametrize("rarer", [0.1, 0.3, 0.5])
def test_two_groups_are_found_however_rare_the_second(rarer):
    for random_state in range(4):
        scores = two_groups(int(400 * (1 - rarer)), int(400 * rarer), random_state=random_state)
        assert 1 < logit(adapted_threshold(scores)) < 4


def test_too_few_images_are_refused():
    with pytest.raises(UsageError, match=f"at least {FEWEST_IMAGES}"):
        adapted_threshold(np.zeros(FEWEST_IMAGES - 1))


def collections(shift, n=240, classes=2):
    """Training images, and images of another collection whose first class is moved.

    A shift of 1 would move it to where the second class is.
    """
    train = make_matrix(n, features=8, classes=classes, strength=2.0)
    target = make_matrix(n, features=8, classes=classes, strength=2.0)
    noise = 0.8 * np.random.default_rng(1).normal(size=target.X.shape)
    of_row = target.labels[target.image]
    way = target.X[of_row == 1].mean(axis=0) - target.X[of_row == 0].mean(axis=0)
    moved = target.X + noise + np.where((of_row == 0)[:, None], shift * way, 0.0)
    return train, replace(target, X=moved.astype(np.float32))


def auc_and_accuracy(model, matrix):
    probability = model.predict_images(matrix)[:, 1]
    called = probability >= model.threshold_
    return roc_auc_score(matrix.labels, probability), (called == matrix.labels).mean()


def test_a_model_meets_a_shifted_collection_better_for_having_seen_it():
    train, target = collections(shift=0.35, n=600)
    model = fit(train, "logistic", n_jobs=1)
    adapted = adapt(model, target, train=train)
    before, after = auc_and_accuracy(model, target), auc_and_accuracy(adapted, target)
    assert after[0] > before[0] - 0.005
    assert after[1] > before[1] + 0.05
    record = adapted.provenance_["adapted"]
    assert (record["images"], record["refitted"]) == (target.n_images, True)
    assert record["threshold_before"] == model.threshold_


def test_adaptation_uses_no_label_and_leaves_the_model_unchanged():
    train, target = collections(shift=0.2)
    unlabeled = replace(target, labels=np.full(target.n_images, -1))
    model = fit(train, "logistic", n_jobs=1)
    before = model.predict_images(target), model.threshold_, dict(model.provenance_)
    np.testing.assert_array_equal(
        adapt(model, target, train=train).predict_images(target),
        adapt(model, unlabeled, train=train).predict_images(unlabeled),
    )
    np.testing.assert_array_equal(model.predict_images(target), before[0])
    assert (model.threshold_, model.provenance_) == before[1:]


def test_an_adapted_model_is_saved_and_loaded(tmp_path):
    train, target = collections(shift=0.2)
    adapted = adapt(fit(train, "svm", n_jobs=1), target, train=train)
    save_model(adapted, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    np.testing.assert_array_equal(loaded.predict_images(target), adapted.predict_images(target))
    assert loaded.threshold_ == adapted.threshold_


def test_images_of_one_class_are_refused():
    train, target = collections(shift=0)
    model = fit(train, "logistic", n_jobs=1)
    normal = target.select_images(np.flatnonzero(target.labels == 0))
    for training in (None, train):
        with pytest.raises(UsageError, match="do not form two groups"):
            adapt(model, normal, train=training)


def test_what_cannot_be_adapted_is_told():
    train, target = collections(shift=0, classes=3)
    with pytest.raises(UsageError, match="two classes, and the model has 3"):
        adapt(fit(train, "logistic", n_jobs=1), target)
    train, target = collections(shift=0)
    with pytest.raises(UsageError, match="knn takes no sample weights"):
        adapt(fit(train, "knn", n_jobs=1), target, train=train)
