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
    assert found.center == pytest.approx(X.mean(axis=0))
    sums = found.bias + (X - found.center) @ found.weights.T
    expected = pipeline.decision_function(X)
    assert sums.reshape(expected.shape) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("steps", "classes"),
    [
        ((SVC(),), 2),
        ((SVC(kernel="linear"),), 3),
        ((GaussianNB(),), 2),
        ((PCA(5, whiten=True), LogisticRegression()), 2),
    ],
)
def test_other_pipelines_have_no_weights(steps, classes):
    pipeline, _ = fitted(StandardScaler(), *steps, classes=classes)
    assert linear_weights(pipeline) is None
