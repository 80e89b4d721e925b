"""Probabilities of trees do not hang on rounding, and models of before keep theirs."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.metrics import roc_auc_score

import featx
from featx.classifiers.boosting import BoostedTrees
from featx.classifiers.registry import list_classifiers
from featx.classifiers.smooth_trees import SmoothForest, TreeTable
from tests.classifiers.makers import make_matrix


def rows(n=90, features=12, classes=2):
    generator = np.random.default_rng(0)
    y = np.arange(n) % classes
    X = generator.normal(size=(n, features)).astype(np.float32)
    X[:, 0] += 1.5 * y
    return X, y


@pytest.mark.parametrize("spec", list_classifiers(), ids=lambda spec: spec.name)
@pytest.mark.parametrize("classes", [2, 3])
def test_alone_in_a_folder_and_with_another_rounding(spec, classes):
    X, y = rows(classes=classes)
    model = featx.FeatureClassifier(spec.name, n_jobs=1, cv=3).fit(X, y)
    together = model.predict_proba(X)
    alone = np.concatenate([model.predict_proba(row[None]) for row in X])
    assert np.abs(alone - together).max() < 1e-4
    for change in (1e-6, -1e-6):
        moved = model.predict_proba(X * np.float32(1 + change))
        assert np.abs(moved - together).max() < 1e-4


@pytest.mark.parametrize("classes", [2, 3])
def test_splits_of_xgboost_lie_between_training_rows(classes):
    X, y = rows(classes=classes)
    settings = {"n_estimators": 20, "max_depth": 3, "learning_rate": 0.2}
    ours = BoostedTrees(**settings).fit(X, y)
    theirs = xgboost.XGBClassifier(**settings, tree_method="hist", n_jobs=1).fit(X, y)
    expected = theirs.predict_proba(X)
    np.testing.assert_allclose(ours.predict_proba(X), expected, atol=1e-6)
    below = np.nextafter(X, np.float32(-np.inf))
    np.testing.assert_allclose(ours.predict_proba(below), expected, atol=1e-6)
    assert np.abs(theirs.predict_proba(below) - expected).max() > 1e-3


@pytest.mark.parametrize("classes", [2, 3])
def test_without_ramps_the_table_gives_the_numbers_of_xgboost(classes):
    X, y = rows(classes=classes)
    hard = BoostedTrees(n_estimators=20).fit(X, y)
    ramps = BoostedTrees(n_estimators=20, smoothing=1e-9).fit(X, y)
    np.testing.assert_allclose(ramps.predict_proba(X), hard.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(ramps.decision_function(X), hard.decision_function(X), atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier])
def test_without_ramps_the_table_gives_the_numbers_of_scikit_learn(kind, classes):
    X, y = rows(classes=classes)
    forest = kind(20, random_state=0).fit(X, y)
    trees = [each.tree_ for each in forest.estimators_]
    table = TreeTable.of(
        [
            (t.children_left, t.children_right, t.feature, t.threshold, t.value[:, 0] / 20)
            for t in trees
        ]
    )
    np.testing.assert_allclose(table.sums(X, np.zeros(12)), forest.predict_proba(X), atol=1e-12)


def test_a_forest_of_ramps_ranks_as_scikit_learns():
    X, y = rows(400)
    ours, theirs = (
        kind(100, min_samples_leaf=3, random_state=0).fit(X[:200], y[:200]).predict_proba(X[200:])
        for kind in (SmoothForest, RandomForestClassifier)
    )
    np.testing.assert_allclose(ours.sum(axis=1), 1)
    assert np.abs(ours - theirs).max() < 0.05
    areas = [roc_auc_score(y[200:], each[:, 1]) for each in (ours, theirs)]
    assert areas[0] == pytest.approx(areas[1], abs=0.005)


@pytest.mark.parametrize("name", ["xgboost", "random_forest"])
def test_models_of_before_keep_their_splits(name, tmp_path):
    matrix = make_matrix(views=1)
    model = featx.fit(matrix, name, n_jobs=1, cv=2)
    final = model.pipeline_[-1]
    if name == "xgboost":
        del final.smoothing, final.spread_  # as files of before
    else:
        old = RandomForestClassifier(**final.get_params())
        old.__dict__.update({k: v for k, v in vars(final).items() if k != "half_widths_"})
        model.pipeline_.steps[-1] = ("classify", old)
    model.save(tmp_path / "old.skops")
    again = featx.load_model(tmp_path / "old.skops")
    reduced = again.pipeline_[:-1].transform(matrix.X)
    found = again.pipeline_[-1].predict_proba(reduced)[:, 1]
    if name == "xgboost":
        booster = xgboost.Booster()
        booster.load_model(bytearray(final.booster_))
        expected = booster.predict(xgboost.DMatrix(reduced))
    else:
        assert type(again.pipeline_[-1]) is RandomForestClassifier
        expected = old.predict_proba(reduced)[:, 1]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert again.pipeline_[-1].get_params().get("smoothing", 0.0) == 0.0
