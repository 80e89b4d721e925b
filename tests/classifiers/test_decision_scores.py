import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC

from featx.classifiers.boosting import BoostedTrees
from featx.classifiers.decision_scores import (
    LEAST_PROPORTION,
    average_views,
    classifier_scores,
    one_vs_rest_auc,
)


class ProbableSVC(SVC):
    """A support vector machine with probabilities, as some versions and settings make it."""

    def predict_proba(self, X):
        return softmax(self.decision_function(X), axis=1)


def test_columns_of_a_support_vector_machine_are_against_the_rest_with_probabilities_or_without():
    y = np.arange(60) % 3
    X = np.random.default_rng(0).normal(size=(60, 4)) + y[:, None]
    plain, probable = (kind().fit(X, y) for kind in (SVC, ProbableSVC))
    np.testing.assert_array_equal(classifier_scores(probable, X), plain.decision_function(X))


def test_views_are_averaged_by_image_whatever_their_number_and_order():
    scores = np.array([1.0, 10.0, 3.0, 20.0, 2.0, 7.0])
    image = np.array([0, 1, 0, 1, 0, 2])
    assert average_views(scores, image, 3).tolist() == [2.0, 15.0, 7.0]
    two = average_views(np.column_stack([scores, -scores]), image, 3)
    assert two.tolist() == [[2.0, -2.0], [15.0, -15.0], [7.0, -7.0]]


@pytest.mark.parametrize(
    "model",
    [LogisticRegression(), GaussianNB(), RandomForestClassifier(20), BoostedTrees(n_estimators=9)],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_scores_are_log_odds_of_probabilities(model, classes):
    generator = np.random.default_rng(0)
    y = np.arange(120) % classes
    X = (generator.normal(size=(120, 3)) + 0.5 * y[:, None]).astype(np.float32)
    model.fit(X, y)
    scores, probability = classifier_scores(model, X), model.predict_proba(X)
    positive = probability[:, 1] if classes == 2 else probability
    # Votes are kept from certainty.
    atol = 2 * classes * LEAST_PROPORTION if isinstance(model, RandomForestClassifier) else 1e-6
    np.testing.assert_allclose(expit(scores), positive, atol=atol)
    if not isinstance(model, RandomForestClassifier):
        by_score, by_probability = (one_vs_rest_auc(y, each) for each in (scores, positive))
        assert by_score == pytest.approx(by_probability, abs=1e-6)
        assert by_score == pytest.approx(roc_auc_score(y, positive, multi_class="ovr"), abs=1e-6)


def test_naive_bayes_stays_finite_where_probabilities_are_0_and_1():
    X = np.array([[0.0], [0.1], [1000.0], [1000.1]])
    model = GaussianNB().fit(X, [0, 0, 1, 1])
    assert set(model.predict_proba(X)[:, 1]) == {0.0, 1.0}
    assert np.isfinite(classifier_scores(model, X)).all()
