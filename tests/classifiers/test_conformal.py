import logging

import numpy as np
import pytest

from featx.classifiers.conformal import conformal_sets
from featx.classifiers.fitting import fit
from featx.classifiers.inference import predict
from featx.classifiers.predictions import Predictions
from featx.errors import UsageError
from featx.features.extraction import extract
from tests.classifiers.makers import make_matrix


@pytest.mark.parametrize("classes", [2, 3])
def test_sets_hold_the_true_class_as_often_as_stated(classes):
    found, sizes = [], []
    for random_state in range(8):
        # One image of each patient: images are exchangeable.
        matrix = make_matrix(360, 1, classes=classes, strength=0.35, random_state=random_state,
                             patients=np.array([f"p{i}" for i in range(360)]))  # fmt: skip
        train, test = matrix.select_images(range(180)), matrix.select_images(range(180, 360))
        model = fit(train, "naive_bayes", cv=5, n_jobs=1)
        sets = conformal_sets(model, model.predict_images(test), 0.9)
        held = sets[np.arange(180), test.labels]
        found.append([held[test.labels == label].mean() for label in range(classes)])
        sizes.append(sets.sum(axis=1).mean())
    assert np.mean(found, axis=0) == pytest.approx(0.9, abs=0.035)
    assert 1.05 < np.mean(sizes) < classes - 0.2


def test_more_coverage_gives_larger_sets_and_needs_more_images():
    matrix = make_matrix()
    model = fit(matrix, "logistic", cv=3, n_jobs=1)
    probabilities = model.predict_images(matrix)
    small, large = (conformal_sets(model, probabilities, level) for level in (0.6, 0.95))
    assert (small <= large).all()
    assert small.sum() < large.sum()
    with pytest.raises(UsageError, match="needs at least 99 training images of each class"):
        conformal_sets(model, probabilities, 0.99)
    with pytest.raises(UsageError, match="between 0 and 1"):
        conformal_sets(model, probabilities, 1.0)
    model.provenance_["adapted"] = {}
    with pytest.raises(UsageError, match="adapted to other images"):
        conformal_sets(model, probabilities, 0.9)


def test_predictions_keep_their_sets_through_a_file(tmp_path):
    sets = [[True, True], [False, True], [False, False]]
    found = Predictions(["a", "b", "c"], ["NO", "YES"], [[0.5, 0.5]] * 3, sets=sets).decide(0.5)
    found.to_csv(tmp_path / "p.csv")
    assert [line.split(",")[3] for line in (tmp_path / "p.csv").read_text().splitlines()] == [
        "set", "NO|YES", "YES", ""
    ]  # fmt: skip
    again = Predictions.from_csv(tmp_path / "p.csv")
    assert again.sets.tolist() == sets
    assert again.undecided.tolist() == [True, False, True]
    assert again.select([1]).sets.tolist() == [[False, True]]
    with pytest.raises(UsageError, match="no sets"):
        Predictions(["a"], ["NO", "YES"], [[0.5, 0.5]]).undecided.any()


def test_predict_adds_sets_and_says_what_voids_them(images, quick, caplog, tmp_path, run_featx):
    model = fit(extract(images, views=1), "logistic", cv=2)
    caplog.set_level(logging.WARNING, logger="featx")
    found = predict(model, images, coverage=0.8)
    assert found.sets.shape == (24, 2)
    assert "voids this coverage" in caplog.text
    model.save(tmp_path / "m.skops")
    words = ["predict", tmp_path / "m.skops", images.sources[0].parents[1], "--coverage", "0.8"]
    code, text, _ = run_featx(*words, "--out", tmp_path / "p.csv")
    assert code == 0
    assert f"{found.undecided.sum()} undecided" in text
    assert Predictions.from_csv(tmp_path / "p.csv").sets.sum() == found.sets.sum()
