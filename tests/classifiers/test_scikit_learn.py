"""The classifier among scikit-learn's own tools: checks, routing, global settings, joblib."""

import numpy as np
import pytest
from joblib import parallel_config
from sklearn import config_context
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    StratifiedGroupKFold,
    cross_val_predict,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from featx import FeatureClassifier
from featx.errors import UsageError
from tests.classifiers.makers import make_matrix

OUTER = StratifiedGroupKFold(3)


@pytest.fixture(scope="module")
def matrix():
    """One view an image, two images a patient."""
    return make_matrix(views=1, n_images=60, features=8)


def quick(**settings):
    return FeatureClassifier(**{"classifier": "naive_bayes", "cv": 2, "n_jobs": 1, **settings})


# Of two quick classifiers, tests/classifiers/test_classifier.py makes every check.
@pytest.mark.parametrize("classifier", ["svm", "knn", "xgboost", "random_forest"])
def test_the_contract_holds_of_other_classifiers(classifier):
    model = quick(classifier=classifier, operating_point=0.5)
    for check in (
        estimator_checks.check_fit_idempotent,
        estimator_checks.check_estimators_pickle,
        estimator_checks.check_classifiers_one_label,
        estimator_checks.check_classifiers_train,
    ):
        check("FeatureClassifier", model)


def test_it_is_an_ordinary_fitted_estimator(matrix):
    names = np.array(matrix.class_names)[matrix.labels]
    model = quick().fit(matrix.X, names, patients=matrix.patients)
    probability = model.predict_proba(matrix.X)
    assert model.classes_.tolist() == ["BACTERIA", "NORMAL"]
    assert probability.shape == (60, 2)
    assert model.decision_function(matrix.X).shape == (60,)
    assert model.score(matrix.X, names) == (model.predict(matrix.X) == names).mean() > 0.8
    seen = cross_val_predict(
        quick(), matrix.X, names, groups=matrix.patients, cv=OUTER, method="decision_function"
    )
    assert ((seen > 0) == (names == "NORMAL")).mean() > 0.8


def inner_patients(result):
    return [model[-1].provenance_["patients"] for model in result["estimator"]]


@pytest.mark.parametrize("asked_for", ["patients", "groups"])
def test_routed_patients_group_the_inner_folds(matrix, asked_for):
    routed = {"groups": matrix.patients}
    splitter = OUTER
    with config_context(enable_metadata_routing=True):
        model = quick()
        if asked_for == "groups":
            model.set_fit_request(patients="groups")
            splitter = GroupKFold(3)
        else:
            routed["patients"] = matrix.patients
        pipeline = make_pipeline(StandardScaler(), model)
        result = cross_validate(
            pipeline,
            matrix.X,
            matrix.labels,
            cv=splitter,
            params=routed,
            return_estimator=True,
            return_indices=True,
            error_score="raise",
        )
        inside = [len(set(matrix.patients[training])) for training in result["indices"]["train"]]
        assert inner_patients(result) == inside
        search = GridSearchCV(pipeline, {"featureclassifier__cv": [2]}, cv=OUTER)
        search.fit(matrix.X, matrix.labels, **routed)
        assert search.best_estimator_[-1].provenance_["patients"] == 30
        with pytest.raises(TypeError, match="unexpected argument"):
            cross_validate(pipeline, matrix.X, matrix.labels, cv=3, params={"patient": routed})


def test_patients_reach_a_pipeline_without_routing(matrix):
    result = cross_validate(
        make_pipeline(StandardScaler(), quick()),
        matrix.X,
        matrix.labels,
        groups=matrix.patients,
        cv=OUTER,
        params={"featureclassifier__patients": matrix.patients},
        return_estimator=True,
    )
    assert inner_patients(result) == [20, 20, 20]


@pytest.mark.parametrize(
    "settings", [{"transform_output": "pandas"}, {"enable_metadata_routing": True}]
)
@pytest.mark.parametrize("classifier", ["svm", "naive_bayes"])
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_global_settings_change_nothing_inside(matrix, classifier, settings):
    pytest.importorskip("pandas")
    plain = quick(classifier=classifier).fit_matrix(matrix)
    with config_context(**settings):
        other = quick(classifier=classifier).fit_matrix(matrix)
        assert np.array_equal(other.predict_proba(matrix.X), plain.predict_proba(matrix.X))
        assert np.array_equal(other.predict_images(matrix), plain.predict_images(matrix))
    assert np.array_equal(other.out_of_fold_, plain.out_of_fold_)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_back_ends_and_jobs_of_an_outer_cross_validation(matrix, backend):
    def score(**settings):
        return cross_validate(
            quick(**settings),
            matrix.X,
            matrix.labels,
            groups=matrix.patients,
            cv=OUTER,
            scoring="neg_log_loss",
        )["test_score"]

    expected = score()
    with parallel_config(backend, n_jobs=2):
        assert np.array_equal(score(n_jobs=None), expected)


def test_data_frames_keep_their_columns(matrix):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(matrix.X, columns=[f"efficientnet_lite0_{i}" for i in range(8)])
    patients, names = pandas.Series(matrix.patients), pandas.Series(matrix.labels).astype(str)
    model = quick().fit(frame, names, patients=patients)
    assert model.feature_names_in_.tolist() == frame.columns.tolist()
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"efficientnet_lite0_0": "mobilenetv2_0"}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"patients": ["p"] * 59}, r"patients of shape \(59,\) for 60 rows"),
        ({"patients": [None] * 60}, "patients are missing in 60 of 60 rows, row 0"),
        ({"patients": [float("nan"), *range(59)]}, "patients are missing in 1 of 60 rows, row 0"),
        ({"images": np.zeros((60, 2))}, r"images of shape \(60, 2\) for 60 rows"),
    ],
)
def test_patients_and_images_that_do_not_fit_are_told(matrix, given, message):
    with pytest.raises(UsageError, match=message):
        quick().fit(matrix.X, matrix.labels, **given)
