import numpy as np
import pytest
from joblib import parallel_config
from sklearn.metrics import recall_score
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

from featx.classifiers.calibration import probabilities
from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.decision_scores import classifier_scores
from featx.classifiers.model_file import load_model
from featx.errors import UsageError
from scripts.bench.rare_class import BALANCED
from tests.classifiers.makers import RECIPE, make_matrix

# Rows of a matrix are given as bare arrays here.
pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names")


# scikit-learn expects the likelier class, which any other operating point rightly is not.
@parametrize_with_checks(
    [
        FeatureClassifier(name, cv=2, operating_point=0.5, n_jobs=1)
        for name in ("logistic", "naive_bayes")
    ]
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def matrix():
    return make_matrix()


@pytest.fixture(scope="module")
def model(matrix):
    return FeatureClassifier("logistic", n_jobs=1).fit_matrix(matrix)


def test_rows_with_images_and_patients_give_the_model_of_the_matrix(matrix, model):
    names = np.array(matrix.class_names)[matrix.row_labels]
    rows = FeatureClassifier("logistic", n_jobs=1).fit(
        matrix.X, names, images=matrix.image, patients=matrix.row_patients
    )
    assert rows.classes_.tolist() == model.classes_.tolist()
    assert rows.threshold_ == model.threshold_
    assert np.array_equal(rows.predict_proba(matrix.X), model.predict_proba(matrix.X))


def test_views_that_disagree(matrix):
    labels = np.arange(len(matrix)) % 2
    with pytest.raises(UsageError, match="differ in their label"):
        FeatureClassifier("logistic").fit(matrix.X, labels, images=matrix.image)
    with pytest.raises(UsageError, match="differ in their patient"):
        FeatureClassifier("logistic").fit(
            matrix.X, matrix.row_labels, images=matrix.image, patients=np.arange(len(matrix))
        )


def test_images_are_view_averaged_scores_calibrated(matrix, model):
    found = model.predict_images(matrix)
    row_scores = classifier_scores(model.pipeline_, matrix.X)
    by_hand = [np.mean(row_scores[matrix.image == i]) for i in range(matrix.n_images)]
    expected = probabilities(model.calibration_.logits(np.array(by_hand)))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_row_order_of_a_matrix_does_not_matter(matrix, model):
    shuffled = np.random.default_rng(0).permutation(len(matrix))
    other = make_matrix(
        X=matrix.X[shuffled], image=matrix.image[shuffled], view=matrix.view[shuffled]
    )
    np.testing.assert_allclose(model.predict_images(other), model.predict_images(matrix), atol=1e-6)
    again = FeatureClassifier("logistic", n_jobs=1).fit_matrix(other)
    assert np.array_equal(again.out_of_fold_, model.out_of_fold_)


def test_prediction_is_at_the_operating_point(matrix):
    model = FeatureClassifier("logistic", operating_point="sensitivity=0.99").fit_matrix(matrix)
    probability = model.predict_proba(matrix.X)
    positive = model.predict(matrix.X) == model.classes_[1]
    assert np.array_equal(positive, probability[:, 1] >= model.threshold_)
    assert np.array_equal(positive, model.decision_function(matrix.X) > 0)
    out_of_fold = model.out_of_fold_[model.out_of_fold_labels_ == 1, 1]
    assert (out_of_fold >= model.threshold_).mean() >= 0.99
    images = model.predict_images(matrix)
    assert np.array_equal(
        model.decide(images) == model.classes_[1], images[:, 1] >= model.threshold_
    )


@pytest.mark.parametrize("classifier", ["svm", "logistic", "xgboost"])
def test_same_numbers_whatever_n_jobs(classifier):
    matrix = make_matrix(n_images=60, strength=0.5)
    one, two = (FeatureClassifier(classifier, n_jobs=n).fit_matrix(matrix) for n in (1, 2))
    assert one.provenance_ == two.provenance_
    assert np.array_equal(one.out_of_fold_, two.out_of_fold_)
    assert np.array_equal(one.predict_images(matrix), two.predict_images(matrix))


def test_processes_of_parallel_config(matrix, model):
    with parallel_config("loky", n_jobs=2):
        other = FeatureClassifier("logistic").fit_matrix(matrix)
    assert np.array_equal(other.out_of_fold_, model.out_of_fold_)


@pytest.mark.parametrize("classifier", ["svm", "logistic", "xgboost", "knn", "naive_bayes"])
@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
def test_three_classes(classifier, calibration):
    matrix = make_matrix(classes=3, views=1, strength=1.5)
    model = FeatureClassifier(classifier, cv=3, calibration=calibration).fit_matrix(matrix)
    assert model.threshold_ == pytest.approx((1 / 3,) * 3)
    probability = model.predict_images(matrix)
    assert probability.shape == (90, 3)
    assert probability.sum(axis=1) == pytest.approx(1)
    truth = model.classes_[matrix.labels]
    assert (model.decide(probability) == truth).mean() > 0.9
    assert model.provenance_["auc_out_of_fold"] > 0.9
    assert np.array_equal(
        model.predict(matrix.X), model.classes_[model.decision_function(matrix.X).argmax(axis=1)]
    )


def test_three_classes_have_no_threshold_to_choose():
    with pytest.raises(UsageError, match=r"'f1' is for two classes"):
        FeatureClassifier("logistic", operating_point="f1").fit_matrix(make_matrix(classes=3))


def test_other_number_of_features(matrix, model):
    other = make_matrix(features=7, recipes=({**RECIPE, "backbone": "vgg16"},))
    message = r"takes 24 features \(resnet50\) and the matrix has 7 \(vgg16\)"
    with pytest.raises(UsageError, match=message):
        model.predict_images(other)
    with pytest.raises(UsageError, match=message):
        model.predict_images(other, allow_other_recipe=True)
    with pytest.raises(UsageError, match="the matrix has no images"):
        model.predict_images(matrix.select_images([]))


def test_another_recipe_may_be_allowed(matrix, model):
    other = make_matrix(recipes=({**RECIPE, "weights": "def"},))
    allowed = model.predict_images(other, allow_other_recipe=True)
    assert np.array_equal(allowed, model.predict_images(matrix))


def test_features_that_are_not_finite_are_named(matrix, model):
    X = matrix.X.copy()
    X[[5, 100], [0, 3]] = np.nan, np.inf
    broken = make_matrix(X=X)
    message = r"row 5 \(image2.png, view 1\), row 100 \(image50.png, view 0\)"
    with pytest.raises(UsageError, match=message):
        FeatureClassifier("logistic").fit_matrix(broken)
    with pytest.raises(UsageError, match=message):
        model.predict_images(broken)


@pytest.mark.parametrize("classifier", BALANCED)
def test_a_rare_class_is_found_as_by_scikit_learns_class_weights(classifier, tmp_path):
    generator = np.random.default_rng(0)
    centers = 0.55 * generator.normal(size=(3, 12))
    y, truth = (np.repeat([0, 1, 2], np.array([62, 33, 5]) * n) for n in (8, 40))
    X, other = (centers[labels] + generator.normal(size=(len(labels), 12)) for labels in (y, truth))
    model = FeatureClassifier(classifier, cv=3, n_jobs=1).fit(X, y)
    weights = {"sample_weight": compute_sample_weight("balanced", y)}
    balanced = BALANCED[classifier].fit(X, y, **(weights if classifier == "xgboost" else {}))
    found, wanted, before = (
        recall_score(truth, called, average=None)
        for called in (
            model.predict(other),
            balanced.predict(other),
            model.predict_proba(other).argmax(axis=1),
        )
    )
    assert found[2] > before[2] + 0.05
    assert found[2] >= wanted[2]
    assert found.mean() > wanted.mean() - 0.02
    assert (model.decision_function(other).argmax(axis=1) == model.predict(other)).all()
    model.save(tmp_path / "model.skops")
    assert load_model(tmp_path / "model.skops").threshold_ == model.threshold_
