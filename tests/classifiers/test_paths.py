import numpy as np
import pytest
from featx.classifiers.paths import WarmPath
from featx.classifiers.shared import PreparedFold
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from featx.classifiers.decision_scores import classifier_scores, one_vs_rest_auc

PATH = [{"C": C} for C in (0.0003, 0.001, 0.003, 0.01, 0.03)]


def make_fold(classes):
    generator = np.random.default_rng(classes)
    labels = generator.integers(0, classes, 500)
    centers = 0.3 * generator.normal(size=(classes, 30))
    hidden = centers[labels] + generator.normal(size=(500, 30))
    X = hidden @ generator.normal(size=(30, 100)) + 3 * generator.normal(size=(500, 100))
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    return PreparedFold(
        classifier=LogisticRegression(max_iter=5000),
        training=X[:300],
        training_labels=labels[:300],
        weights=generator.uniform(0.5, 1.5, 300),
        validation=X[300:],
        validation_image=np.arange(200),
        validation_images=200,
    ), labels[300:]


def cold(fold, settings, tol, dtype=np.float32):
    regression = LogisticRegression(**settings, tol=tol, max_iter=50000)
    regression.fit(fold.training.astype(dtype), fold.training_labels, fold.weights)
    return classifier_scores(regression, fold.validation.astype(dtype))


@pytest.mark.parametrize("classes", [2, 3])
def test_as_near_to_the_optimum_as_fits_from_nothing(classes):
    fold, labels = make_fold(classes)
    groups = [[PATH[i] for i in group] for group in WarmPath().groups(PATH)]
    found = [scores for group in WarmPath().scores(fold, groups) for scores in group]
    errors = {"warm": [], "cold": []}
    for settings, warm in zip(PATH, found, strict=True):
        optimum = cold(fold, settings, 1e-9, np.float64)
        errors["warm"].append(abs(expit(warm) - expit(optimum)).max())
        errors["cold"].append(abs(expit(cold(fold, settings, 1e-4)) - expit(optimum)).max())
        assert one_vs_rest_auc(labels, warm) == pytest.approx(
            one_vs_rest_auc(labels, optimum), abs=2e-4
        )
    assert max(errors["warm"]) < 5e-3
    assert max(errors["warm"]) < 1.2 * max(errors["cold"])


def test_fewer_steps_than_from_nothing(monkeypatch):
    steps = []
    original = LogisticRegression.fit

    def fit(self, *arguments, **settings):
        original(self, *arguments, **settings)
        steps.append((self.C, self.n_iter_.sum()))
        return self

    monkeypatch.setattr(LogisticRegression, "fit", fit)
    fold, _ = make_fold(2)
    WarmPath().scores(fold, [PATH])
    assert [C for C, _ in steps] == [settings["C"] for settings in PATH]
    warm, tolerance = sum(count for _, count in steps), 3e-5
    steps.clear()
    for settings in PATH:
        cold(fold, settings, tolerance)
    assert warm < 0.9 * sum(count for _, count in steps)


def test_halves_are_paths_of_their_own():
    fold, _ = make_fold(2)
    assert WarmPath().groups(PATH[::-1]) == [[4, 3, 2], [1, 0]]
    groups = [[PATH[i] for i in group] for group in WarmPath().groups(PATH)]
    together = WarmPath().scores(fold, groups)
    (alone,) = WarmPath().scores(fold, groups[1:])
    assert all(np.array_equal(one, other) for one, other in zip(together[1], alone, strict=True))
