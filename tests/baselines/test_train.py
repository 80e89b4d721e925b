import csv
import json
import random
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from featx.backbones._keras import import_keras
from featx.baselines import registry
from featx.baselines.registry import get_baseline
from featx.baselines.train import train
from featx.baselines.training_data import split
from featx.baselines.views import ImageViews
from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UsageError
from featx.metrics.operating_point import OperatingPoint
from tests.baselines.interruption import Interruption

LITE = "finetuned:efficientnet_lite0"


def auc(trained, images):
    return roc_auc_score(images.labels, trained.predict_proba(images)[:, 1])


def test_finetuning_learns_an_easy_task_and_leaves_its_record(blobs, tmp_path):
    images = blobs(128)
    trained = train(
        images, LITE, out=tmp_path, size=48, epochs=4, batch_size=16, augmentation="none"
    )
    fresh = blobs(60, random_state=1)
    assert auc(trained, fresh) > 0.9
    assert trained.diagnosis == []

    # The head trains first, alone and at its own rate; then all layers, warm-up to floor.
    rates, recipe = trained.history["learning_rate"], trained.recipe
    assert rates[:2] == pytest.approx([recipe.head_learning_rate, recipe.learning_rate])
    assert rates[3] == pytest.approx(recipe.learning_rate * recipe.schedule.floor)

    called = trained.predict_proba(fresh)[:, 1] >= trained.threshold
    assert (called == fresh.labels).mean() > 0.8

    # The epoch kept is that of highest validation AUC, and its weights are in the network.
    aside = images.select(np.isin(images.names, trained.validation_images))
    assert auc(trained, aside) == max(trained.history["val_auc"])
    assert trained.history["val_auc"][trained.best_epoch - 1] == max(trained.history["val_auc"])

    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert float(rows[-1]["loss"]) == pytest.approx(trained.history["loss"][-1], rel=1e-4)
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["finished"]
    assert record["threshold"] == trained.threshold
    assert record["recipe"]["size"] == [48, 48]

    loaded = import_keras().models.load_model(tmp_path / "network.keras")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 1)).astype(np.float32)
    np.testing.assert_allclose(
        loaded.predict_on_batch(pixels), trained.network.predict_on_batch(pixels), rtol=1e-5
    )


@pytest.mark.parametrize(("weights", "trains"), [("imagenet", False), ("random", True)])
def test_batch_norm_trains_only_from_random_weights(blobs, monkeypatch, weights, trains):
    keras, found = import_keras(), []

    def stop(self, *arguments, **settings):
        base = next(layer for layer in self.layers if isinstance(layer, keras.Model))
        norms = [x for x in base.layers if isinstance(x, keras.layers.BatchNormalization)]
        found.append({layer.trainable for layer in norms})
        raise Interruption

    monkeypatch.setattr(keras.Model, "fit", stop)
    recipe = replace(get_baseline(LITE), name="no-head", head_epochs=0)
    monkeypatch.setitem(registry._RECIPES, recipe.name, recipe)
    with pytest.raises(Interruption):
        train(blobs(), recipe.name, weights=weights, size=32)
    assert found == [{trains}]


def test_three_classes(blobs):
    images = blobs(90, size=32, classes=3)
    trained = train(images, "small", size=32, epochs=1, batch_size=16)
    values = trained.predict_proba(blobs(7, size=32, classes=3))
    assert values.shape == (7, 3)
    np.testing.assert_allclose(values.sum(axis=1), 1, rtol=1e-5)
    assert trained.class_names == ("class0", "class1", "class2")


def test_a_rare_class_is_predicted_by_cutoffs_of_validation_images(blobs, tmp_path):
    images = blobs(108, size=32, classes=3)
    rare = images.labels == 2
    images = images.select(np.flatnonzero(~rare | (np.cumsum(rare) <= 9)))
    settings = {"size": 32, "epochs": 1, "batch_size": 16, "operating_point": "youden"}
    trained = train(images, "ramirez-cnn", **settings, out=tmp_path)
    saved = np.loadtxt(tmp_path / "validation.csv", str, delimiter=",", skiprows=1)[:, 1:]
    label = dict(zip(images.names, images.labels, strict=True))
    truth = np.array([label[name] for name in trained.validation_images])
    wanted = OperatingPoint("youden").cutoffs(truth, saved.astype(float))
    assert trained.threshold == pytest.approx(wanted) and len(wanted) == 3
    with pytest.raises(UsageError, match="'cost' is for two classes"):
        train(images, "ramirez-cnn", **{**settings, "operating_point": "cost=5:1"})


def test_two_runs_with_one_seed_agree_and_another_seed_does_not(blobs):
    images, fresh = blobs(), blobs(9, random_state=3)
    first, second, other = (
        train(images, "small", size=32, epochs=2, batch_size=16, random_state=random_state)
        for random_state in (0, 0, 1)
    )
    np.testing.assert_allclose(
        first.predict_proba(fresh), second.predict_proba(fresh), rtol=1e-3, atol=1e-4
    )
    assert np.abs(first.predict_proba(fresh) - other.predict_proba(fresh)).max() > 1e-3
    assert first.validation_images == second.validation_images != other.validation_images


@pytest.fixture(scope="module")
def short(blobs, tmp_path_factory):
    """Images of which one is damaged, and a network trained on them for one epoch."""
    images, damaged = blobs(), tmp_path_factory.mktemp("damaged") / "x.png"
    damaged.write_bytes(b"")
    images = replace(
        images, sources=(damaged, *images.sources[1:]), names=("x.png", *images.names[1:])
    )
    random.seed(3)
    np.random.seed(3)
    before = random.getstate(), np.random.get_state()[1].tolist()
    trained = train(images, "small-by-patient", size=32, epochs=1, batch_size=16)
    # Keras seeds the generators of Python and NumPy.
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    return images, trained


def test_probabilities_do_not_depend_on_other_images(blobs, short):
    fresh, (_, trained) = blobs(21, random_state=4), short
    together = trained.predict_proba(fresh)
    alone = np.vstack([trained.predict_proba(fresh.select([i])) for i in (0, 17, 20)])
    np.testing.assert_allclose(alone, together[[0, 17, 20]], rtol=1e-5)


def test_validation_shares_no_patient_with_training_and_unreadable_images_are_named(short):
    images, trained = short
    patient = dict(zip(images.names, images.patients.tolist(), strict=True))
    training = {patient[name] for name in trained.training_images}
    validation = {patient[name] for name in trained.validation_images}
    assert not training & validation
    assert [name for name, _ in trained.unreadable] == ["x.png"]
    assert {"x.png", *trained.training_images, *trained.validation_images} == set(images.names)
    assert len(trained.training_images) + len(trained.validation_images) == len(images) - 1


def test_collapse_is_named(blobs, monkeypatch):
    def constant(pixels, weights=None):
        layers = import_keras().layers
        return layers.Rescaling(0.0)(layers.GlobalAveragePooling2D()(pixels))

    broken = replace(get_baseline("ramirez-cnn"), name="broken", body=constant)
    monkeypatch.setitem(registry._RECIPES, "broken", broken)
    trained = train(blobs(), "broken", size=32, epochs=1, batch_size=16)
    assert trained.diagnosis[0].startswith("Collapsed")
    assert "right for the 50 % that are" in trained.diagnosis[0]


def test_published_split_is_by_image_and_the_corrected_one_by_patient(blobs):
    images = blobs()
    for name, by_patient in (("ramirez-cnn", False), ("ramirez-cnn-corrected", True)):
        recipe = replace(get_baseline(name), batch_size=16)
        training, validation = split(images, {4: "damaged"}, recipe, random_state=0)
        shared = set(images.patients[training]) & set(images.patients[validation])
        assert bool(shared) != by_patient
        everyone = np.sort(np.concatenate([training, validation]))
        assert everyone.tolist() == [index for index in range(96) if index != 4]
        assert len(validation) == pytest.approx(95 * recipe.validation_size, abs=4)


def test_every_epoch_sees_another_view(blobs, monkeypatch):
    seen = set()
    original = ImageViews.render

    def record(self, indices, view):
        seen.add(view)
        return original(self, indices, view)

    monkeypatch.setattr(ImageViews, "render", record)
    train(blobs(), "small", size=32, epochs=3, batch_size=32)
    # Batches of further epochs may be rendered ahead.
    assert {0, 1, 2, 3} <= seen


def _fail_if_read(self, index, color="gray"):
    raise AssertionError("an image was read before the input was checked")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 31}, "31 x 31 pixels are too few for .*32 x 32 or more"),
        ({"size": (64, 16)}, "64 x 16 pixels are too few"),
        ({"epochs": 0}, "epochs 0 is too small"),
        ({"batch_size": -1}, "batch size -1"),
        ({"augmentation": "radiogaph"}, "radiograph"),
        ({"weights": "/no/such/file.h5"}, "file.h5"),
    ],
)
def test_wrong_settings_raise_before_any_image_is_read(blobs, monkeypatch, settings, message):
    monkeypatch.setattr(ImageDataset, "read", _fail_if_read)
    with pytest.raises(UsageError, match=message):
        train(blobs(), LITE, **settings)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "ramirez-cnn",
            lambda images: images.select(images.labels == 0),
            "48 training images are all class0, none is class1",
        ),
        ("ramirez-cnn", lambda images: images, "batches of 128, but only 76 of the 96 images"),
        (
            "ramirez-cnn",
            lambda images: replace(images, labels=np.where(np.arange(96) == 3, -1, images.labels)),
            "1 of the training images have no label",
        ),
        (
            "ramirez-cnn-corrected",
            lambda images: replace(images, patients=np.full(96, "same")),
            "patient",
        ),
    ],
)
def test_images_that_cannot_be_trained_on_are_reported(blobs, name, change, message):
    with pytest.raises(UsageError, match=message):
        train(change(blobs()), name)


def test_unwritable_folder_is_reported_before_training(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageDataset, "read", _fail_if_read)
    (tmp_path / "file").write_text("")
    with pytest.raises(FeatxError, match="cannot be written"):
        train(blobs(), "ramirez-cnn", batch_size=16, out=tmp_path / "file" / "folder")
