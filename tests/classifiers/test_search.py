from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline

from featx.classifiers.registry import ClassifierSpec
from featx.classifiers.search import Search
from featx.classifiers.training_set import TrainingSet


class Remembers(ClassifierMixin, BaseEstimator):
    """Scores 1 for a row of a patient (column 0) that it was fitted on, else 0."""

    def __init__(self, times=1.0):
        self.times = times

    def fit(self, X, y, sample_weight=None):
        self.seen_ = np.unique(X[:, 0])
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X):
        return self.times * np.isin(X[:, 0], self.seen_)


class Reads(Remembers):
    """Scores a row by its column 1, times a setting."""

    def decision_function(self, X):
        return self.times * X[:, 1].astype(np.float64)


def record_of(classifier, settings):
    return ClassifierSpec(
        "spy",
        "Spy",
        lambda shape, random_state: Pipeline([("as it is", "passthrough"), ("spy", classifier())]),
        lambda shape: [{"times": settings}],
        "",
    )


@pytest.fixture
def training():
    generator = np.random.default_rng(0)
    patients = np.repeat(np.arange(30), 2)
    image = np.repeat(np.arange(60), 3)
    X = np.column_stack([patients[image], generator.normal(size=180)]).astype(np.float32)
    labels = generator.permutation(np.arange(60) % 2)
    return TrainingSet(X, image, labels, patients, np.array(["a", "b"]))


def search(training, classifier, settings=(1.0,), folds=4, rows=6000):
    pairs = training.folds(folds, random_state=0)
    return Search(record_of(classifier, list(settings)), training, pairs, 0, rows, 2), pairs


def count(*_):
    pass


def test_no_patient_is_scored_by_a_fit_that_saw_it(training):
    spying, _ = search(training, Remembers)
    (candidate,) = spying.run(count)
    pipeline, out_of_fold = spying.refit(candidate, count)
    assert out_of_fold.tolist() == [0.0] * 60
    assert spying.out_of_fold({"times": 1.0}).tolist() == [0.0] * 60
    assert pipeline.decision_function(training.X).tolist() == [1.0] * 180
    assert candidate.auc == 0.5


def test_out_of_fold_scores_are_means_over_views_in_the_order_of_images(training):
    spying, _ = search(training, Reads, settings=(2.0,))
    (candidate,) = spying.run(count)
    by_hand = [2 * float(np.mean(training.X[training.image == i, 1])) for i in range(60)]
    assert candidate.out_of_fold.tolist() == pytest.approx(by_hand)
    assert spying.out_of_fold({"times": 2.0}).tolist() == pytest.approx(by_hand)


def test_criterion_is_the_auc_of_all_images_by_their_view_averages(training):
    spying, pairs = search(training, Reads, settings=(1.0, -1.0))
    steps = []
    forward, backward = spying.run(lambda: steps.append(1))
    means = np.array([training.X[training.image == i, 1].mean() for i in range(60)])
    zeros, ones = means[training.labels == 0], means[training.labels == 1]
    area = np.mean([one > zero for one in ones for zero in zeros])
    assert forward.auc == pytest.approx(area)
    assert backward.auc == pytest.approx(1 - area)
    assert len(steps) == 2 * len(pairs)


class Drifts(Reads):
    """Ranks perfectly within a fold, but adds something of its own to all scores of a fit."""

    def fit(self, X, y, sample_weight=None):
        self.drift_ = self.times * (X[:, 0].sum() % 7)
        return super().fit(X, y)

    def decision_function(self, X):
        return X[:, 1] + self.drift_


def test_settings_whose_scores_drift_between_folds_lose(training):
    X = training.X.copy()
    X[:, 1] = training.labels[training.image]
    spying, _ = search(replace(training, X=X), Drifts, settings=(5.0, 0.0))
    drifting, steady = spying.run(count)
    assert steady.auc == 1.0
    assert drifting.auc < 0.9


def test_search_is_on_fewer_rows_and_refit_on_all(training, monkeypatch):
    fitted_on = []
    original = Remembers.fit

    def fit(self, X, y, sample_weight=None):
        fitted_on.append((len(X), float(sample_weight.sum())))
        return original(self, X, y)

    monkeypatch.setattr(Remembers, "fit", fit)
    spying, pairs = search(training, Remembers, rows=50)
    (candidate,) = spying.run(count)
    images = sorted(len(learn) for learn, _ in pairs)
    # One view of each image, and weights that sum to the number of images.
    assert sorted(fitted_on) == [(n, pytest.approx(n)) for n in images]
    fitted_on.clear()
    spying.refit(candidate, count)
    assert sorted(fitted_on) == [(3 * n, pytest.approx(n)) for n in [*images, 60]]


def test_folds_searched_on_all_rows_are_not_fitted_again(training, monkeypatch):
    fitted_on, steps = [], []
    original = Remembers.fit

    def fit(self, X, y, sample_weight=None):
        fitted_on.append(len(X))
        return original(self, X, y)

    spying, pairs = search(training, Remembers)
    (candidate,) = spying.run(count)
    monkeypatch.setattr(Remembers, "fit", fit)
    _, out_of_fold = spying.refit(candidate, lambda *done: steps.append(sum(done) or 1))
    assert fitted_on == [180]
    assert out_of_fold is candidate.out_of_fold
    assert sum(steps) == len(pairs) + 1
