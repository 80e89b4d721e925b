import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import featx
from featx.classifiers.calibration import cross_calibrate
from featx.classifiers.fitting import fit
from featx.classifiers.registry import CLASSIFIERS
from featx.errors import UsageError
from featx.metrics.scores import evaluate
from tests.classifiers.makers import make_matrix


@pytest.mark.parametrize("classifier", list(CLASSIFIERS))
def test_every_classifier_learns(classifier):
    matrix = make_matrix(n_images=120, strength=0.8)
    learn = matrix.select_images(np.arange(80))
    unseen = matrix.select_images(np.arange(80, 120))
    model = fit(learn, classifier, cv=3)
    probability = model.predict_images(unseen)[:, 1]
    assert roc_auc_score(unseen.labels, probability) > 0.9
    assert model.provenance_["auc_out_of_fold"] > 0.9
    assert 0 < model.threshold_ < 1


def test_noise_is_not_learned():
    matrix = make_matrix(n_images=200, strength=0.0)
    model = fit(matrix, "logistic")
    assert 0.3 < model.provenance_["auc_out_of_fold"] < 0.65


def test_calibration_finds_no_signal_in_noise():
    found = []
    for random_state in range(6):
        X = np.random.default_rng(random_state).normal(size=(100, 8))
        model = featx.FeatureClassifier("logistic", calibration="isotonic", n_jobs=1)
        model.fit(X, np.arange(100) % 2)
        scores = evaluate(
            model.out_of_fold_labels_, model.out_of_fold_, class_names=("a", "b"), n_bootstrap=2
        )
        slope = scores.metrics["calibration_slope"].value
        found.append((scores.metrics["auc"].value, slope, model.provenance_["auc_out_of_fold"]))
    auc, _, raw = np.mean(found, axis=0)
    assert auc == pytest.approx(raw, abs=0.03)
    assert np.median(found, axis=0)[1] == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
def test_an_images_label_does_not_reach_its_own_calibration(calibration):
    generator = np.random.default_rng(0)
    scores, labels = generator.normal(size=60), np.arange(60) % 2
    folds = [(np.flatnonzero(np.arange(60) % 3 != k), np.arange(k, 60, 3)) for k in range(3)]
    before = cross_calibrate(calibration, scores, labels, folds)
    held_out = folds[0][1]
    other = labels.copy()
    other[held_out] = 1 - labels[held_out]
    after = cross_calibrate(calibration, scores, other, folds)
    assert (after[held_out] == before[held_out]).all()
    assert (after[folds[1][1]] != before[folds[1][1]]).any()


def test_test_images_and_unlabeled_ones_are_never_looked_at():
    matrix = make_matrix()
    splits = np.array(["train", "val", "test"])[np.arange(90) % 3]
    labels = np.where(np.arange(90) % 10 == 9, -1, matrix.labels)
    X = matrix.X.copy()
    hidden = (splits == "test") | (labels < 0)
    X[hidden[matrix.image]] = np.nan  # looking would raise
    model = fit(make_matrix(X=X, splits=splits, labels=labels), "logistic")
    kept = np.flatnonzero(~hidden)
    alone = fit(matrix.select_images(kept), "logistic")
    assert model.out_of_fold_images_.tolist() == [matrix.digests[i] for i in kept]
    assert np.array_equal(model.out_of_fold_, alone.out_of_fold_)
    assert model.provenance_["images"] == len(kept)


def test_nothing_to_learn_from():
    with pytest.raises(UsageError, match="no labeled image outside its test split"):
        fit(make_matrix(splits=np.full(90, "test")))
    with pytest.raises(UsageError, match="no labeled image"):
        fit(make_matrix(labels=np.full(90, -1)))


def test_provenance_has_the_digest_of_the_matrix_and_no_file_name():
    matrix = make_matrix()
    model = fit(matrix, "logistic", cv=4, random_state=3, operating_point="f1")
    facts = model.provenance_
    assert json.loads(json.dumps(facts)) == facts
    assert facts["featx"] == featx.__version__
    assert {"numpy", "scikit-learn"} <= facts["versions"].keys()
    assert facts["class_counts"] == {"BACTERIA": 46, "NORMAL": 44}
    expected = {
        "images": 90,
        "rows": 180,
        "patients": 45,
        "n_splits": 4,
        "cv": 4,
        "random_state": 3,
    }
    expected |= {"classifier": "logistic", "cv": 4, "operating_point": "f1"}
    assert {name: facts[name] for name in expected} == expected
    best = max(facts["candidates"], key=lambda candidate: candidate["auc"])
    assert best["parameters"] == model.best_params_
    assert roc_auc_score(matrix.labels, model.out_of_fold_[:, 1]) == facts["auc_out_of_fold"]
    assert "image1.png" not in json.dumps(facts)
    X = matrix.X.copy()
    X[0, 0] += 1e-3
    other = fit(make_matrix(X=X), "naive_bayes").provenance_["matrix_sha256"]
    assert (
        fit(matrix, "naive_bayes").provenance_["matrix_sha256"] == facts["matrix_sha256"] != other
    )


def test_more_views_of_the_same_pixels_change_nothing():
    matrix = make_matrix(views=1)
    doubled = make_matrix(
        X=np.repeat(matrix.X, 2, axis=0),
        image=np.repeat(np.arange(90), 2),
        view=np.tile([0, 1], 90),
    )
    once, twice = fit(matrix, "logistic"), fit(doubled, "logistic")
    assert once.best_params_ == twice.best_params_
    np.testing.assert_allclose(once.out_of_fold_, twice.out_of_fold_, atol=1e-3)
