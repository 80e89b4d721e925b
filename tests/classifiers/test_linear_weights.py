from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from featx.classifiers.linear_weights import linear_weights

LINEAR = [
    (LogisticRegression(), 2),
    (LogisticRegression(), 3),
    (SVC(kernel="linear"), 2),
]


def fitted(*steps, classes=2):
    generator = np.random.default_rng(1)
    labels = np.arange(90) % classes
    centers = generator.normal(size=(classes, 12))
    X = 5 + 3 * (centers[labels] + generator.normal(size=(90, 12))) * np.linspace(0.1, 4, 12)
    return make_pipeline(*steps).fit(X, labels), X


@pytest.mark.parametrize(("classifier", "classes"), LINEAR)
@pytest.mark.parametrize("steps", [(StandardScaler(),), (PCA(5),), (StandardScaler(), PCA(5))])
def test_the_weighted_sum_is_the_decision(classifier, classes, steps):
    pipeline, X = fitted(*steps, classifier, classes=classes)
    found = linear_weights(pipeline)
    sums = found.bias + (X - found.center) @ found.weights.T
    expected = pipeline.decision_function(X)
    assert sums.reshape(expected.shape) == pytest.approx(expected, abs=1e-9)


def test_the_center_is_the_average_training_row():
    pipeline, X = fitted(StandardScaler(), PCA(5), LogisticRegression())
    found = linear_weights(pipeline)
    assert found.center == pytest.approx(X.mean(axis=0))
    assert found.bias == pytest.approx(pipeline.decision_function(X.mean(axis=0)[None]))


@pytest.mark.parametrize(
    ("classifier", "classes"), [(SVC(), 2), (SVC(kernel="linear"), 3), (GaussianNB(), 2)]
)
def test_what_is_not_linear_has_no_weights(classifier, classes):
    pipeline, _ = fitted(StandardScaler(), classifier, classes=classes)
    assert linear_weights(pipeline) is None


def test_steps_that_are_not_known_are_not_guessed_at():
    pipeline, _ = fitted(StandardScaler(), PCA(5, whiten=True), LogisticRegression())
    assert linear_weights(pipeline) is None
