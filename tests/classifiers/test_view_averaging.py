import pickle

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Perceptron, Ridge
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from featx import FeatureClassifier, ViewAveraging
from featx.errors import UsageError
from tests.classifiers.makers import make_matrix


@parametrize_with_checks([ViewAveraging(LogisticRegression(), views=1)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def matrix():
    return make_matrix(n_images=60, views=3, features=5, strength=3)


@pytest.fixture(scope="module")
def three_classes():
    return make_matrix(n_images=90, views=3, features=5, classes=3, strength=3)


def side_by_side(matrix):
    return matrix.X.reshape(matrix.n_images, -1)


@pytest.mark.parametrize("prefix", ["", "logisticregression__"])
def test_each_view_has_its_part_of_the_weight_of_an_image(matrix, prefix):
    X, y = side_by_side(matrix), matrix.labels
    weights = np.linspace(0.5, 2, len(y))
    inner = LogisticRegression(C=0.01)
    estimator = make_pipeline(StandardScaler(), inner) if prefix else inner
    found = ViewAveraging(estimator, views=3).fit(X, y, sample_weight=weights)
    of_rows = {f"{prefix}sample_weight": weights[matrix.image] / 3}
    expected = clone(estimator).fit(matrix.X, matrix.row_labels, **of_rows)
    np.testing.assert_array_equal(
        found.estimator_.decision_function(matrix.X), expected.decision_function(matrix.X)
    )
    assert found.n_features_in_ == 15


@pytest.mark.parametrize("data", ["matrix", "three_classes"])
def test_scores_are_means_and_probabilities_agree_with_them(request, data):
    matrix = request.getfixturevalue(data)
    X = side_by_side(matrix).astype(np.float64)
    found = ViewAveraging(LogisticRegression(), views=3).fit(X, matrix.labels)
    of_views = found.estimator_.decision_function(matrix.X.astype(np.float64))
    mean = of_views.reshape(matrix.n_images, 3, -1).mean(axis=1).squeeze()
    np.testing.assert_allclose(found.decision_function(X), mean)
    if mean.ndim == 1:
        mean = np.column_stack([np.zeros_like(mean), mean])
    expected = np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.predict_proba(X), expected, rtol=1e-6, atol=1e-12)
    assert np.array_equal(found.predict(X), found.classes_[expected.argmax(axis=1)])


def test_probabilities_alone_by_their_geometric_mean():
    class Told(KNeighborsClassifier):
        def predict_proba(self, X):
            return np.column_stack([1 - X[:, 0], X[:, 0]])

    X, y = np.array([[0.1, 0.2], [0.9, 0.8]] * 5), [0, 1] * 5
    found = ViewAveraging(Told(), views=2).fit(X, y)
    odds = [np.sqrt(a / (1 - a) * b / (1 - b)) for a, b in [(0.2, 0.4), (0.9, 0.6)]]
    expected = [odd / (1 + odd) for odd in odds]
    given = found.predict_proba([[0.2, 0.4], [0.9, 0.6]])
    np.testing.assert_allclose(given[:, 1], expected, atol=1e-3)
    np.testing.assert_allclose(found.predict_proba([[0.0, 1.0]]), [[0.5, 0.5]])
    assert not hasattr(found, "decision_function")


@pytest.mark.parametrize(
    "classifier",
    [
        RandomForestClassifier(10, random_state=0),
        GaussianNB(),
        LinearDiscriminantAnalysis(),
        LinearSVC(),
        SVC(),
        Perceptron(),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
    ids=lambda classifier: type(classifier).__name__,
)
@pytest.mark.parametrize("data", ["matrix", "three_classes"])
def test_classifiers_of_every_kind(request, classifier, data):
    matrix = request.getfixturevalue(data)
    names = np.array(matrix.class_names)[matrix.labels]
    X = side_by_side(matrix)
    found = ViewAveraging(classifier, views=3).fit(X, names)
    assert (found.predict(X) == names).mean() > 0.8
    if hasattr(classifier, "predict_proba"):
        assert found.predict_proba(X).sum(axis=1) == pytest.approx(1)
    assert np.array_equal(pickle.loads(pickle.dumps(found)).predict(X), found.predict(X))


def test_a_feature_classifier_inside_is_the_one_of_the_matrix(matrix):
    X, y = side_by_side(matrix), matrix.labels
    inner = FeatureClassifier("naive_bayes", cv=2, n_jobs=1)
    found = ViewAveraging(inner, views=3).fit(X, y, patients=matrix.patients)
    model = clone(inner).fit_matrix(matrix)
    np.testing.assert_allclose(found.predict_proba(X), model.predict_images(matrix), rtol=1e-9)
    truth = model.decide(model.predict_images(matrix)) == model.classes_[1]
    assert np.array_equal(found.predict(X) == 1, truth)
    piped = ViewAveraging(make_pipeline(StandardScaler(), inner), views=3)
    piped.fit(X, y, featureclassifier__patients=matrix.patients)
    described = piped.estimator_[-1].provenance_
    assert (described["images"], described["patients"], described["rows"]) == (60, 30, 180)


def test_what_splits_rows_splits_images(matrix):
    X, y, patients = side_by_side(matrix), matrix.labels, matrix.patients
    model = ViewAveraging(LogisticRegression(), views=3)
    folds = StratifiedGroupKFold(3)
    one = cross_val_score(model, X, y, groups=patients, cv=folds, scoring="neg_log_loss")
    with parallel_config("threading", n_jobs=2):
        two = cross_val_score(model, X, y, groups=patients, cv=folds, scoring="neg_log_loss")
    np.testing.assert_array_equal(one, two)
    calibrated = CalibratedClassifierCV(model, cv=3).fit(X, y)
    assert calibrated.score(X, y) > 0.8


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (Ridge(), "Ridge.*is not a classifier"),
        (
            GridSearchCV(LogisticRegression(), {"C": [1]}),
            "cv of the inner classifier would separate",
        ),
        (
            make_pipeline(CalibratedClassifierCV(LogisticRegression())),
            "calibratedclassifiercv__cv of the inner classifier",
        ),
    ],
)
def test_what_cannot_be_averaged_is_told(matrix, estimator, message):
    with pytest.raises(UsageError, match=message):
        ViewAveraging(estimator, views=3).fit(side_by_side(matrix), matrix.labels)


def test_rows_that_are_no_views_are_told(matrix):
    X, y = side_by_side(matrix), matrix.labels
    for views in (4, 0):
        message = f"rows of 15 features are not {views} views side by side"
        with pytest.raises(UsageError, match=message):
            ViewAveraging(LogisticRegression(), views=views).fit(X, y)
    with pytest.raises(UsageError, match=r"KNeighborsClassifier.* takes no sample weights"):
        ViewAveraging(KNeighborsClassifier(), views=3).fit(X, y, sample_weight=np.ones(len(y)))
