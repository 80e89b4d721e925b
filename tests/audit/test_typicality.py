"""Images unlike the training images are found, and images like them are not, at the rate stated."""

import csv
import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

import featx
from featx.audit.typicality import cutoff, typicality, typicality_record
from featx.classifiers.model_file import load_model, save_model
from featx.classifiers.predictions import Predictions
from featx.datasets.synthetic import PHANTOM_PATIENT_PATTERN, make_phantoms
from featx.errors import FeatxError
from tests.benchmarking.conftest import GridEngine, draw
from tests.classifiers.makers import make_matrix

BACKBONE = "efficientnet_lite0@64"


def drawn(n, features=300, random_state=0, images_of_patient=2, **changes):
    """Positive features of low rank with noise; images of one patient are alike."""
    generator = np.random.default_rng(random_state)
    basis = np.random.default_rng(7).normal(size=(12, features))
    patient = np.arange(n) // images_of_patient
    scores = generator.normal(size=(patient.max() + 1, 12))[patient]
    scores += 0.4 * generator.normal(size=(n, 12))
    X = 10 + scores @ basis + generator.normal(size=(n, features))
    patients = np.array([f"s{random_state}p{number}" for number in patient])
    values = {"X": np.abs(X).astype(np.float32), "views": 1, "features": features}
    return make_matrix(n, **{**values, "patients": patients, **changes})


@pytest.mark.parametrize(("n", "each"), [(120, 1), (400, 4), (400, 2)])
def test_new_images_like_the_training_images_are_typical_at_the_stated_rate(n, each):
    found = []
    for random_state in range(20):
        record = typicality_record(drawn(n, random_state=random_state, images_of_patient=each))
        new = drawn(200, random_state=100 + random_state, images_of_patient=each)
        found.append(typicality(record, new))
    # With more columns than rows, training images themselves would lie far nearer.
    for rate in (0.01, 0.1, 0.5):
        assert 0.3 * rate < np.mean(np.concatenate(found) <= rate) < 1.5 * rate


def test_a_model_keeps_no_features_of_an_image():
    matrix = drawn(200)
    record = typicality_record(matrix)
    assert {name: values.shape for name, values in record.items()} == {
        "mean": (300,),
        "directions": (10, 300),
        "distances": (100,),
    }
    assert (np.diff(record["distances"]) >= 0).all()
    large = typicality_record(drawn(4100, 4, images_of_patient=1))
    assert len(large["distances"]) == 4000 and len(large["directions"]) == 1


@pytest.mark.parametrize("n", [4, 10, 40])
def test_few_images_are_no_reason_for_false_alarms(n):
    record = typicality_record(drawn(n))
    limit = cutoff(n // 2)
    assert limit == 1 / (n // 2 + 1)
    flagged = [typicality(record, drawn(50, random_state=1 + i)) <= limit for i in range(10)]
    assert np.mean(flagged) < 1.5 * limit
    other = replace(drawn(5), X=np.eye(5, 300, dtype=np.float32))
    assert (typicality(record, other) <= limit).all()


@pytest.mark.parametrize("features", [1, 2, 5, 300])
def test_constant_features_and_columns(features):
    same = drawn(20, features, X=np.full((20, features), 3, np.float32))
    assert typicality(typicality_record(same), same).tolist() == [1] * 20
    zeros = replace(same, X=np.zeros_like(same.X))
    found = typicality(typicality_record(same), zeros)
    assert np.isfinite(found).all() and (found < 0.1).all()
    mixed = drawn(60, features)
    mixed.X[:, ::2] = 0
    assert np.isfinite(typicality(typicality_record(mixed), drawn(20, features))).all()


def test_rows_on_disk_give_the_same_in_any_order_of_views(tmp_path):
    matrix = make_matrix(60, views=3, features=300)
    matrix.save(tmp_path / "m.h5")
    record = typicality_record(matrix)
    on_disk = typicality_record(featx.FeatureMatrix.load(tmp_path / "m.h5").lazily())
    turned = np.argsort(-matrix.view, kind="stable")
    views = {"image": matrix.image[turned], "view": matrix.view[turned]}
    reordered = replace(matrix, X=matrix.X[turned], **views)
    for other in (on_disk, typicality_record(reordered)):
        for name, values in record.items():
            np.testing.assert_array_equal(other[name], values)


@pytest.mark.parametrize("classifier", ["naive_bayes", "logistic"])
def test_it_is_kept_in_model_files_also_beyond_memory(classifier, tmp_path, monkeypatch):
    matrix = drawn(60, 40)
    model = featx.fit(matrix, classifier, cv=2, n_jobs=1)
    model.save(tmp_path / "m.skops")
    loaded = load_model(tmp_path / "m.skops")
    other = drawn(9, 40, 1)
    np.testing.assert_array_equal(loaded.typicality(other), model.typicality(other))
    if classifier == "logistic":
        monkeypatch.setattr("featx.classifiers.out_of_core.usable_memory", lambda _: 10_000_000)
        matrix.save(tmp_path / "m.h5")
        beyond = featx.fit(tmp_path / "m.h5", classifier, cv=2, n_jobs=1)
        np.testing.assert_array_equal(beyond.typicality(other), model.typicality(other))


def test_joined_networks_count_together():
    first, second = drawn(150, 200), drawn(150, 100)
    second = replace(second, recipes=({**second.recipes[0], "backbone": "vgg16"},))
    model = featx.fit(featx.FeatureMatrix.join([first, second]), "naive_bayes", cv=2, n_jobs=1)
    assert model.typicality_["mean"].shape == (300,)
    odd = replace(second, X=np.abs(np.random.default_rng(0).normal(size=(150, 100))))
    assert (model.typicality(featx.FeatureMatrix.join([first, odd])) <= cutoff(75)).all()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mean", lambda values: values[:-1]),
        ("directions", lambda values: values * np.nan),
        ("directions", lambda values: values[:, :-1]),
        ("distances", lambda values: values[::-1]),
        ("distances", lambda values: values[:0]),
    ],
)
def test_a_tampered_record_is_refused(tmp_path, name, change):
    model = featx.fit(drawn(60, 40), "naive_bayes", cv=2, n_jobs=1)
    model.typicality_ = {**model.typicality_, name: change(model.typicality_[name])}
    save_model(model, tmp_path / "m.skops")
    with pytest.raises(FeatxError, match="typicality_"):
        load_model(tmp_path / "m.skops")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantoms") / "images"
    make_phantoms(root, patients=44, images_per_patient=(1, 1), size=64)
    return featx.ImageDataset.open(root, PHANTOM_PATIENT_PATTERN)


@pytest.fixture(scope="module")
def model(phantoms, tmp_path_factory):
    """A model of synthetic radiographs of 33 patients, as a file."""
    patients = np.unique(phantoms.patients)[::4]
    training = phantoms.select(~np.isin(phantoms.patients, patients))
    cache = tmp_path_factory.mktemp("cache")
    matrix = featx.extract(training, backbones=BACKBONE, views=1, cache=cache)
    path = cache / "model.skops"
    featx.fit(matrix, "logistic", cv=2, n_jobs=1).save(path)
    return path


def odd_images(root):
    generator = np.random.default_rng(0)
    pictures = {"black": np.zeros((64, 64)), "white": np.full((64, 64), 255), "pixel": [[90]]}
    for number, photo in enumerate(load_sample_images().images):
        pictures[f"photo{number}"] = photo
        pictures[f"gray{number}"] = photo.mean(axis=2)
    for number in range(3):
        pictures[f"noise{number}"] = generator.integers(0, 256, (64, 64))
    root.mkdir()
    for name, pixels in pictures.items():
        Image.fromarray(np.asarray(pixels).astype(np.uint8)).save(root / f"{name}.png")
    return root


def test_noise_photographs_and_blank_images_are_flagged_on_every_road(
    model, tmp_path, run_featx, caplog
):
    root = odd_images(tmp_path / "odd")
    found = featx.predict(model, root)
    assert (found.typicality <= cutoff(33)).all()
    wanted = {"constant": 3, "tiny": 1, "untypical": len(found)}
    assert {each.kind: each.count for each in found.findings} == wanted
    warnings = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    assert any("3 images have the same" in each for each in warnings)
    assert any("1 image is less than 16 pixels" in w and "pixel.png" in w for w in warnings)
    assert any(f"{len(found)} of {len(found)} images are unlike" in each for each in warnings)

    out = tmp_path / "predictions.csv"
    code, text, error = run_featx("predict", model, root, "--out", out, "--json")
    assert code == 0 and "are unlike the training images" in error
    assert [each["kind"] for each in json.loads(text)["findings"]] == [*wanted]
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [float(row["typicality"]) for row in rows] == found.typicality.tolist()
    again = Predictions.from_csv(out)
    np.testing.assert_array_equal(again.typicality, found.typicality)
    assert again.select([2, 0]).typicality.tolist() == found.typicality[[2, 0]].tolist()

    labels = "".join(f"{row['path']},{row['label']}\n" for row in rows)
    (root / "labels.csv").write_text("path,label\n" + labels)
    code, text, _ = run_featx("evaluate", model, root / "labels.csv")
    assert code == 0 and "are unlike the training images of the model" in text


def test_held_out_images_and_few_others_are_not_flagged(model, phantoms):
    patients = np.unique(phantoms.patients)[::4]
    found = featx.predict(model, phantoms.select(np.isin(phantoms.patients, patients)))
    assert (found.typicality <= cutoff(33)).mean() <= 0.1
    assert found.typicality.mean() > 0.25
    assert not {each.kind for each in found.findings} & {"constant", "tiny"}


def test_a_model_of_before_says_that_typicality_is_unknown(model, tmp_path, caplog):
    old = load_model(model)
    del old.typicality_
    save_model(old, tmp_path / "old.skops")
    found = featx.predict(tmp_path / "old.skops", odd_images(tmp_path / "odd"))
    assert found.typicality is None
    assert [each.kind for each in found.findings] == ["constant", "tiny", "typicality-unknown"]
    assert "does not say whether these 10 images" in caplog.text
    found.to_csv(tmp_path / "p.csv")
    assert "typicality" not in (tmp_path / "p.csv").read_text()


def test_the_page_counts_unlike_images_of_every_set(tmp_path, use_engine):
    use_engine(lambda embedder: GridEngine(embedder.backbone.features))
    half = np.zeros((20, 32, 32), np.uint8)
    half[:, :, 16:] = 230 + np.arange(20)[:, None, None]
    external = featx.ImageDataset.from_arrays(
        half, np.arange(20) % 2, class_names=("ill", "well"), patients=[f"x{i}" for i in range(20)]
    )
    settings = {"classifiers": ("naive_bayes",), "controls": False, "views": 1}
    args = {**settings, "externals": {"other": external}, "leaks": "allow", "out": tmp_path}
    table = featx.benchmark(draw(), **args)
    notes = {note.values["set"]: note.values for note in table.notes if note.kind == "typicality"}
    assert notes["other"]["networks"] == {"efficientnet_lite0": 20}
    assert notes[""]["networks"]["efficientnet_lite0"] <= 3
    assert "unlike the training images are: 20 by" in (tmp_path / "report.html").read_text()
    saved = Predictions.from_csv(tmp_path / "scores" / "efficientnet_lite0-naive_bayes@other.csv")
    assert (saved.typicality <= cutoff(48)).all()
    again = featx.benchmark(draw(), **args)
    assert [note.to_dict() for note in again.notes] == [note.to_dict() for note in table.notes]
