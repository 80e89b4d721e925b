import sys
from types import ModuleType

import numpy as np
import pytest
from featx.classifiers.acceleration import fit_pipeline
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from featx.classifiers import acceleration


class Finder(SVC):
    """What scikit-learn-intelex offers, made of scikit-learn."""

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


def problem(classes):
    generator = np.random.default_rng(classes)
    y = generator.integers(0, classes, 800)
    X = generator.normal(size=(classes, 12))[y] + 1.5 * generator.normal(size=(800, 12))
    return X[:600].astype(np.float32), y[:600], generator.uniform(0.5, 1.5, 600), X[600:]


def check_against_plain(monkeypatch, settings, classes):
    monkeypatch.setattr(acceleration, "_FEWEST_ROWS", 600)
    X, y, weights, unseen = problem(classes)
    fast, plain = (
        Pipeline([("scale", StandardScaler()), ("classify", SVC(**settings))]) for _ in range(2)
    )
    fit_pipeline(fast, X, y, weights)
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
def test_support_vectors_alone_give_the_same_machine(monkeypatch, finder, settings, classes):
    fast = check_against_plain(monkeypatch, settings, classes)
    assert made == [(1, 600)]
    assert fast[-1].shape_fit_[0] < 600


def test_small_machines_are_fitted_as_ever(finder):
    X, y, weights, unseen = problem(2)
    fast, plain = Pipeline([("classify", SVC())]), Pipeline([("classify", SVC())])
    fit_pipeline(fast, X, y, weights)
    plain.fit(X, y, classify__sample_weight=weights)
    assert made == []
    assert np.array_equal(fast.decision_function(unseen), plain.decision_function(unseen))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("settings", SETTINGS)
def test_with_scikit_learn_intelex_itself(monkeypatch, settings, classes):
    pytest.importorskip("sklearnex", reason="scikit-learn-intelex is not installed")
    check_against_plain(monkeypatch, settings, classes)
