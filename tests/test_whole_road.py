"""The whole road against a script of Keras and scikit-learn, and promises over all of it."""

import json

import cv2
import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import featx
from tests.conftest import smooth_image

PATIENTS = r"(p\d+)_"
BACKBONE = "efficientnet_lite0@64"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty patients of two classes that differ by a bright patch, two images each."""
    root = tmp_path_factory.mktemp("road") / "xrays"
    generator = np.random.default_rng(3)
    for patient in range(40):
        ill = patient % 2
        place = root / ("train" if patient < 28 else "test") / ("PNEUMONIA" if ill else "NORMAL")
        place.mkdir(parents=True, exist_ok=True)
        for number in range(2):
            pixels = smooth_image(generator, (96, 96)).astype(int)
            if ill:
                y, x = generator.integers(20, 60, 2)
                pixels[y : y + 24, x : x + 24] += 60
            pixels = np.clip(pixels, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / f"p{patient:02d}_{number}.png")
    return root


def test_features_and_scores_are_those_of_a_keras_and_scikit_learn_script(folder, tmp_path):
    """The usual way in forty lines: Keras' own application, its preprocessing, its predict."""
    network = keras.applications.MobileNetV2(
        weights=None, include_top=False, pooling="avg", input_shape=(96, 96, 3)
    )
    base = keras.Model(network.input, network.layers[-2].output)
    generator = np.random.default_rng(0)
    weights = base.get_weights()
    for value in weights:
        if value.ndim > 1:
            value += 0.02 * generator.normal(size=value.shape).astype(np.float32)
    base.set_weights(weights)
    base.save_weights(tmp_path / "own.weights.h5")

    paths = {split: sorted((folder / split).rglob("*.png")) for split in ("train", "test")}

    def usual(split):
        batch = []
        for path in paths[split]:
            pixels = np.asarray(Image.open(path).convert("L"), dtype=np.float32)
            pixels = cv2.resize(pixels, (96, 96), interpolation=cv2.INTER_LINEAR)
            batch.append(np.repeat(pixels[..., np.newaxis], 3, axis=2))
        ready = keras.applications.mobilenet_v2.preprocess_input(np.stack(batch))
        labels = np.array([path.parent.name == "PNEUMONIA" for path in paths[split]])
        return network.predict(ready, verbose=0), labels

    X_train, y_train = usual("train")
    X_test, y_test = usual("test")
    matrix = featx.extract(
        str(folder),
        "mobilenetv2@96",
        augmentation="none",
        views=1,
        weights=tmp_path / "own.weights.h5",
        cache=tmp_path / "cache",
        engine="keras",
    )
    ours = dict(zip(matrix.names, matrix.X, strict=True))
    names = [path.relative_to(folder).as_posix() for path in (*paths["train"], *paths["test"])]
    theirs = dict(zip(names, np.vstack([X_train, X_test]), strict=True))
    assert set(ours) == set(theirs)
    scale = np.abs(np.stack(list(theirs.values()))).max()
    for name, row in theirs.items():
        np.testing.assert_allclose(ours[name], row, atol=1e-4 * scale)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced"))
    usual_auc = roc_auc_score(y_test, model.fit(X_train, y_train).predict_proba(X_test)[:, 1])
    in_test = np.char.startswith(np.array(matrix.names), "test/")
    labels = np.array(["PNEUMONIA" in name for name in matrix.names])
    model.fit(matrix.X[~in_test], labels[~in_test])
    our_auc = roc_auc_score(labels[in_test], model.predict_proba(matrix.X[in_test])[:, 1])
    assert our_auc == pytest.approx(usual_auc, abs=0.01)


MACHINE = ("seconds_extract", "seconds_fit", "images_a_second", "peak_memory")


def without_machine(path):
    rows = json.loads(path.read_text())
    return [{key: value for key, value in row.items() if key not in MACHINE} for row in rows]


def test_the_command_line_and_python_give_equal_results(folder, tmp_path, run_featx):
    command = (
        *("benchmark", folder, "--patients", PATIENTS, "--backbones", BACKBONE),
        *("--classifiers", "naive_bayes", "--views", "2", "--no-controls", "--no-learning-curve"),
        *("--cache", tmp_path / "cache", "--quiet"),
    )
    assert run_featx(*command, "--out", tmp_path / "typed")[0] == 0
    images = featx.ImageDataset.open(folder, PATIENTS)
    featx.benchmark(
        images,
        BACKBONE,
        "naive_bayes",
        views=2,
        controls=False,
        learning_curve=False,
        cache=tmp_path / "cache",
        out=tmp_path / "called",
    )
    typed, called = (without_machine(tmp_path / n / "results.json") for n in ("typed", "called"))
    assert typed == called


def test_permuted_labels_give_an_auc_of_one_half(folder, tmp_path):
    """Labels permuted by patient over many patients: nothing can be learned, and nothing leaks."""
    images = featx.ImageDataset.open(folder, PATIENTS)
    generator = np.random.default_rng(0)
    areas = []
    for _ in range(4):
        patients = np.unique(images.patients)
        of = dict(zip(patients, generator.permutation(np.arange(len(patients)) % 2), strict=True))
        table = tmp_path / "permuted.csv"
        lines = ["path,label,patient,split"]
        for name, patient, split in zip(images.names, images.patients, images.splits, strict=True):
            lines.append(f"{folder / name},class{of[patient]},{patient},{split}")
        table.write_text("\n".join(lines))
        result = featx.benchmark(
            str(table),
            BACKBONE,
            "logistic",
            patients="patient",
            views=1,
            augmentation="none",
            controls=False,
            learning_curve=False,
            cache=tmp_path / "cache",
        )
        areas.append(next(iter(result)).to_dict()["auc"])
    # The standard deviation of a mean of four areas on 12 patients is about 0.09.
    assert abs(np.mean(areas) - 0.5) < 0.25


def test_frozen_rows_and_cnn_rows_are_scored_on_identical_images(folder, tmp_path, run_featx):
    words = (
        *("benchmark", folder, "--patients", PATIENTS, "--backbones", BACKBONE),
        *("--classifiers", "logistic", "--views", "1", "--augmentation", "none"),
        *("--baselines", "ramirez-cnn-corrected"),
        *("--baseline-epochs", "1", "--baseline-size", "32"),
        *("--no-controls", "--no-learning-curve", "--cache", tmp_path / "cache", "--quiet"),
        *("--out", tmp_path / "results"),
    )
    assert run_featx(*words)[0] == 0
    shown = {
        path.name: [line.split(",")[:3] for line in path.read_text().splitlines()[1:]]
        for path in (tmp_path / "results" / "scores").glob("*.csv")
    }
    assert len(shown) == 2
    first, second = (sorted(lines) for lines in shown.values())
    assert first == second
    assert len(first) == 24
