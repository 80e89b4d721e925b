"""From a model file and images to predictions."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.errors import UsageError
from tests.benchmarking.conftest import draw
from tests.classifiers.makers import make_matrix


@pytest.fixture
def images():
    return draw(n=16, signal=30)


@pytest.fixture
def model(quick, images, tmp_path):
    matrix = featx.extract(images, views=2)
    model = featx.fit(matrix, "naive_bayes", cv=2, n_jobs=1)
    model.save(tmp_path / "model.skops")
    return model


def test_predictions_are_those_of_the_extracted_matrix(model, images, tmp_path):
    expected = model.predict_images(featx.extract(images, views=2))
    found = featx.predict(tmp_path / "model.skops", images)
    np.testing.assert_array_equal(found.probabilities, expected)
    assert found.predicted_names.tolist() == model.decide(expected).tolist()
    assert found.threshold == model.threshold_
    again = model.predict_files(images, views=1)
    np.testing.assert_array_equal(
        again.probabilities, model.predict_images(featx.extract(images, views=1))
    )


def test_evaluation_is_that_of_the_predictions(model, images):
    scores = featx.evaluate(model, images)
    predictions = featx.predict(model, images)
    assert scores.metrics == predictions.score().metrics
    assert scores.n == len(images)
    assert scores.confusion.sum() == len(images)
    accuracy = (predictions.predicted == images.labels).mean()
    assert accuracy == pytest.approx(scores.metrics["accuracy"].value)


def test_other_classes_and_unlabeled_images_are_refused(model, images):
    pixels = np.zeros((4, 32, 32), np.uint8)
    other = featx.ImageDataset.from_arrays(pixels, list("abab"))
    with pytest.raises(UsageError, match="have the classes a, b and the model"):
        featx.evaluate(model, other)
    rows = make_matrix()
    array_model = featx.FeatureClassifier("naive_bayes", n_jobs=1).fit(rows.X, rows.row_labels)
    with pytest.raises(UsageError, match="fitted to an array"):
        featx.predict(array_model, images)


ROAD = """
import sys
import featx
featx.load_model(sys.argv[1])
import featx.classifiers.inference
print(*sys.modules)
"""


def test_prediction_imports_nothing_of_fitting_or_training(model, tmp_path):
    command = [sys.executable, "-c", ROAD, str(tmp_path / "model.skops")]
    root = Path(featx.__file__).parents[1]
    done = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True)
    imported = set(done.stdout.split())
    assert "featx.classifiers.inference" in imported
    fitting = ("search", "config", "training_set", "out_of_core", "fitting", "boosting")
    unwanted = {f"featx.classifiers.{name}" for name in (*fitting, "adaptation", "provenance")}
    unwanted |= {"featx.baselines", "featx.benchmarking", "featx.reporting"}
    unwanted |= {f"featx.audit.{name}" for name in ("leakage", "duplicates", "fingerprints")}
    assert not imported & (unwanted | {"xgboost", "keras", "tensorflow", "featx.cli"})
