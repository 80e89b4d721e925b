import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.config import FitConfig
from featx.classifiers.out_of_core import reduce_rows
from featx.classifiers.registry import CLASSIFIERS, ClassifierSpec, get_classifier
from featx.classifiers.search import Search, fit_pipeline
from featx.classifiers.training_set import TrainingSet
from featx.errors import UsageError


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


def spec_of(classifier, settings):
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


def search(training, classifier, settings=(1.0,), rows=6000):
    config = FitConfig(cv=4, search_rows=rows, n_jobs=2)
    return Search(spec_of(classifier, list(settings)), training, config)


def count(*_):
    pass


def test_no_patient_is_scored_by_a_fit_that_saw_it(training):
    spying = search(training, Remembers)
    (candidate,) = spying.run(count)
    pipeline, out_of_fold = spying.refit(candidate, count)
    assert out_of_fold.tolist() == [0.0] * 60
    assert spying.out_of_fold({"times": 1.0}).tolist() == [0.0] * 60
    assert pipeline.decision_function(training.X).tolist() == [1.0] * 180
    assert candidate.auc == 0.5


def test_out_of_fold_scores_are_means_over_views_in_the_order_of_images(training):
    spying = search(training, Reads, settings=(2.0,))
    (candidate,) = spying.run(count)
    by_hand = [2 * float(np.mean(training.X[training.image == i, 1])) for i in range(60)]
    assert candidate.out_of_fold.tolist() == pytest.approx(by_hand)
    assert spying.out_of_fold({"times": 2.0}).tolist() == pytest.approx(by_hand)


def test_criterion_is_the_auc_of_all_images_by_their_view_averages(training):
    spying = search(training, Reads, settings=(1.0, -1.0))
    steps = []
    forward, backward = spying.run(steps.append)
    means = np.array([training.X[training.image == i, 1].mean() for i in range(60)])
    zeros, ones = means[training.labels == 0], means[training.labels == 1]
    area = np.mean([one > zero for one in ones for zero in zeros])
    assert forward.auc == pytest.approx(area)
    assert backward.auc == pytest.approx(1 - area)
    assert sum(steps) == 2 * len(spying.folds)


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
    spying = search(replace(training, X=X), Drifts, settings=(5.0, 0.0))
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
    spying = search(training, Remembers, rows=50)
    (candidate,) = spying.run(count)
    images = sorted(len(learn) for learn, _ in spying.folds)
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

    spying = search(training, Remembers)
    (candidate,) = spying.run(count)
    monkeypatch.setattr(Remembers, "fit", fit)
    _, out_of_fold = spying.refit(candidate, lambda *done: steps.append(sum(done) or 1))
    assert fitted_on == [180]
    assert out_of_fold is candidate.out_of_fold
    assert sum(steps) == len(spying.folds) + 1


class Finder(SVC):
    """Stands in for the SVC of scikit-learn-intelex."""

    def __init__(self, n_jobs=None, **settings):
        super().__init__(**settings)
        self.n_jobs = n_jobs

    def fit(self, X, y, sample_weight=None):
        made.append((self.n_jobs, len(X)))
        found = SVC(**{name: getattr(self, name) for name in SVC().get_params()})
        found.fit(X, y, sample_weight)
        self.support_ = found.support_[::-1]
        return self


made = []


@pytest.fixture
def finder(monkeypatch):
    package, module = ModuleType("sklearnex"), ModuleType("sklearnex.svm")
    module.SVC, package.svm = Finder, module
    monkeypatch.setitem(sys.modules, "sklearnex", package)
    monkeypatch.setitem(sys.modules, "sklearnex.svm", module)
    made.clear()


def svm_problem(classes):
    generator = np.random.default_rng(classes)
    y = generator.integers(0, classes, 800)
    X = generator.normal(size=(classes, 12))[y] + 1.5 * generator.normal(size=(800, 12))
    return X[:600].astype(np.float32), y[:600], generator.uniform(0.5, 1.5, 600), X[600:]


def check_against_plain(settings, classes):
    X, y, weights, unseen = svm_problem(classes)
    fast, plain = (
        Pipeline([("scale", StandardScaler()), ("classify", SVC(**settings))]) for _ in range(2)
    )
    fit_pipeline(fast, X, y, weights, fewest_rows=600)
    plain.fit(X, y, classify__sample_weight=weights)
    assert type(fast[-1]) is SVC
    ours, theirs = fast.decision_function(unseen), plain.decision_function(unseen)
    if classes == 2:
        assert np.abs(ours - theirs).max() < 0.01 * theirs.std()
    assert (fast.predict(unseen) == plain.predict(unseen)).mean() > 0.99
    return fast


SETTINGS = [{"C": 3.0, "gamma": 0.02}, {"kernel": "linear", "C": 0.01}]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("settings", SETTINGS)
def test_an_svm_of_the_support_vectors_alone_is_the_same(finder, settings, classes):
    fast = check_against_plain(settings, classes)
    assert made == [(1, 600)]
    assert fast[-1].shape_fit_[0] < 600


def test_small_svms_are_fitted_by_scikit_learn(finder):
    X, y, weights, unseen = svm_problem(2)
    fast, plain = Pipeline([("classify", SVC())]), Pipeline([("classify", SVC())])
    fit_pipeline(fast, X, y, weights)
    plain.fit(X, y, classify__sample_weight=weights)
    assert made == []
    assert np.array_equal(fast.decision_function(unseen), plain.decision_function(unseen))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("settings", SETTINGS)
def test_with_scikit_learn_intelex_itself(settings, classes):
    pytest.importorskip("sklearnex", reason="scikit-learn-intelex is not installed")
    check_against_plain(settings, classes)


@pytest.mark.parametrize("classifier", list(CLASSIFIERS))
@pytest.mark.parametrize("rows", ["constant", "zeros", "constant in one fold"])
def test_features_without_variance_are_refused(classifier, rows):
    y = np.arange(40) % 2
    X = np.full((40, 5), 0.0 if rows == "zeros" else 3.0)
    X[3] += rows == "constant in one fold"
    with pytest.raises(UsageError, match="are equal, so that nothing can be learned"):
        FeatureClassifier(classifier, n_jobs=1, cv=3).fit(X, y)


@pytest.mark.parametrize("classifier", list(CLASSIFIERS))
def test_features_without_variance_are_refused_beyond_memory_too(classifier):
    y = np.arange(200) % 2
    each = np.arange(200)
    rows = np.full((200, 5), 3.0, np.float32)
    training = TrainingSet(rows, each, y, each, np.array(["ill", "well"]))
    config = FitConfig(classifier=classifier, n_jobs=1)
    with pytest.raises(UsageError, match="are equal, so that nothing can be learned"):
        reduce_rows(get_classifier(classifier), training, config)


@pytest.mark.parametrize("views", [1, 4, 8])
def test_neighbors_count_images_whatever_the_views(views, generator):
    y = np.arange(60) % 2
    X = generator.normal(size=(60, 6)) + y[:, None]
    rows = np.repeat(X, views, axis=0)
    images = np.repeat(np.arange(60), views)
    alone = FeatureClassifier("knn", n_jobs=1).fit(X, y)
    model = FeatureClassifier("knn", n_jobs=1).fit(rows, np.repeat(y, views), images=images)
    assert model.best_params_ == alone.best_params_
    assert model.pipeline_[-1].n_neighbors == views * model.best_params_["n_neighbors"]
    # Equal views hold no more than the image itself.
    np.testing.assert_allclose(model.predict_proba(X), alone.predict_proba(X), atol=1e-6)


def test_neighbors_chosen_on_some_views_mean_the_same_on_all(generator):
    y = np.arange(60) % 2
    X = np.repeat(generator.normal(size=(60, 6)) + y[:, None], 8, axis=0)
    X += generator.normal(scale=0.1, size=X.shape)
    images = np.repeat(np.arange(60), 8)
    model = FeatureClassifier("knn", n_jobs=1, search_rows=60)
    model.fit(X, np.repeat(y, 8), images=images)
    chosen = max(c["auc"] for c in model.provenance_["candidates"])
    assert model.pipeline_[-1].n_neighbors == 8 * model.best_params_["n_neighbors"]
    assert model.provenance_["auc_out_of_fold"] == pytest.approx(chosen, abs=0.03)
