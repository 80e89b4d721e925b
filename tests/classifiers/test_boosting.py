import numpy as np
import pytest
import xgboost
from sklearn.utils.estimator_checks import parametrize_with_checks

from featx.classifiers.boosting import BoostedTrees
from featx.errors import UsageError


@parametrize_with_checks([BoostedTrees(n_estimators=15)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("classes", [2, 3])
def test_same_numbers_as_xgboost(classes):
    generator = np.random.default_rng(1)
    y = generator.integers(0, classes, 200)
    X = generator.normal(size=(200, 5)).astype(np.float32) + y[:, None]
    weight = generator.uniform(0.5, 2, 200)
    ours = BoostedTrees(n_estimators=20, max_depth=3, learning_rate=0.2).fit(X, y, weight)
    theirs = xgboost.XGBClassifier(
        n_estimators=20, max_depth=3, learning_rate=0.2, tree_method="hist", n_jobs=1
    ).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)


def test_holds_only_plain_values():
    trees = BoostedTrees(n_estimators=5).fit(np.arange(10.0).reshape(-1, 1), np.arange(10) > 4)
    assert trees.booster_.dtype == np.uint8
    assert trees.booster_[:1].tobytes() == b"{"  # universal binary JSON begins with an object
    kinds = {type(value) for value in vars(trees).values()}
    assert kinds <= {int, float, np.ndarray}


def test_sampling_repeats_with_its_seed():
    generator = np.random.default_rng(3)
    X, y = generator.normal(size=(150, 8)), generator.integers(0, 2, 150)
    scores = [
        BoostedTrees(n_estimators=10, subsample=0.5, colsample=0.5, random_state=random_state)
        .fit(X, y)
        .decision_function(X)
        for random_state in (0, 0, 1)
    ]
    assert np.array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_one_class():
    with pytest.raises(UsageError, match="at least two classes"):
        BoostedTrees().fit(np.zeros((4, 2)), [1, 1, 1, 1])
