import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from featx.backbones._keras import import_keras
from featx.baselines import registry
from featx.baselines.architectures import build_network
from featx.baselines.baseline_recipe import Plateau
from featx.baselines.keras_fit import fit_network
from featx.baselines.registry import get_baseline
from featx.baselines.train import train
from featx.baselines.training_data import FitTask, TrainingData
from featx.baselines.views import ImageViews
from featx.datasets.dataset import ImageDataset
from featx.datasets.synthetic import make_phantoms
from featx.errors import FeatxError, UsageError
from featx.images.augmentation import Augmentation
from featx.runtime.files import TEMPORARY_PREFIX
from tests.baselines.interruption import Interruption, fit_with, interrupt_in, no_training

# The guarantee: sums that threads share may round differently from run to run.
TOLERANCE = {"rtol": 1e-3, "atol": 1e-4}


def assert_same(one, other):
    assert one.best_epoch == other.best_epoch
    for column in set(one.history) - {"seconds"}:
        np.testing.assert_allclose(
            one.history[column], other.history[column], **TOLERANCE, err_msg=column
        )
    for ours, theirs in zip(one.network.weights, other.network.weights, strict=True):
        np.testing.assert_allclose(np.array(ours), np.array(theirs), **TOLERANCE)


# Epoch 1 of the second begins a stage: its optimizer is a new one.
@pytest.mark.parametrize(("name", "deaths"), [("small", (1, 3)), ("staged", (1, 2))])
def test_interrupted_training_ends_as_an_uninterrupted_one(
    blobs, monkeypatch, tmp_path, name, deaths
):
    images, settings = blobs(), {"size": 32, "epochs": max(deaths) + 1, "batch_size": 16}
    whole = train(images, name, out=tmp_path / "whole", **settings)
    for epoch in deaths:
        with monkeypatch.context() as patch:
            interrupt_in(patch, epoch)
            with pytest.raises(Interruption):
                train(images, name, out=tmp_path / "cut", **settings)
        assert len((tmp_path / "cut" / "log.csv").read_text().splitlines()) == 1 + epoch
    resumed = train(images, name, out=tmp_path / "cut", **settings)
    assert_same(whole, resumed)
    fresh = blobs(9, random_state=5)
    np.testing.assert_allclose(
        whole.predict_proba(fresh), resumed.predict_proba(fresh), **TOLERANCE
    )


def test_plateau_and_patience_resume_with_the_epochs_before(blobs, monkeypatch, tmp_path):
    # At this learning rate hardly any epoch is better than the first.
    recipe = replace(
        get_baseline("small"),
        name="stale",
        learning_rate=1e-8,
        schedule=Plateau(factor=0.5, patience=2, floor=1e-12),
        keep="best",
        patience=5,
        monitor="val_auc",
    )
    monkeypatch.setitem(registry._RECIPES, "stale", recipe)
    images = blobs(48)
    settings = {"size": 32, "epochs": 9, "batch_size": 16, "augmentation": "none"}
    whole = train(images, "stale", out=tmp_path / "whole", **settings)
    for epoch in (2, 3):
        with monkeypatch.context() as patch:
            interrupt_in(patch, epoch)
            with pytest.raises(Interruption):
                train(images, "stale", out=tmp_path / "cut", **settings)
    resumed = train(images, "stale", out=tmp_path / "cut", **settings)
    assert whole.history["learning_rate"][-1] < 1e-8
    assert resumed.history["learning_rate"] == whole.history["learning_rate"]
    assert len(resumed.history["loss"]) == len(whole.history["loss"])


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_of_a_sure_network_do_not_tie(blobs, classes):
    images = blobs(24, 32, classes)
    trained = train(images, "small", size=32, epochs=1, batch_size=8)
    plain = trained.network.predict(
        np.stack(images.sources)[..., None].astype("float32"), verbose=0
    )
    expected = np.hstack([1 - plain, plain]) if classes == 2 else plain
    np.testing.assert_allclose(trained.predict_proba(images), expected, atol=1e-6)
    output = trained.network.layers[-1]
    kernel, bias = output.get_weights()
    output.set_weights([kernel, bias + 20 * np.eye(len(bias), dtype="float32")[-1]])
    sure = trained.predict_proba(images)
    assert len(np.unique(sure[:, -1])) > 20
    assert sure.sum(axis=1) == pytest.approx(1)


class ScriptedTask(FitTask):
    """A task whose validation predictions have a margin that depends on the epoch."""

    margins = ()

    def predict(self, network):
        epoch = min(self.calls, len(self.margins) - 1)
        object.__setattr__(self, "calls", self.calls + 1)
        positive = 0.5 + self.margins[epoch] * np.where(self.validation_labels, 1, -1)
        return np.column_stack([1 - positive, positive])

    calls = 0


RISE = (0.01, 0.02, 0.03, 0.04, 0.05)


@pytest.mark.parametrize(
    ("margins", "settings", "best", "trained"),
    [
        # AUC is 1 from the first epoch on, so that only the loss tells them apart.
        ((*RISE, 0.05, 0.04, 0.03, 0.02), {}, 5, 8),
        (tuple(np.linspace(0.01, 0.3, 9)), {}, 9, 9),
        ((0.05, -0.1, 0.04, -0.1, -0.1), {}, 1, 4),
        ((*RISE, 0.05, 0.05, 0.05, 0.05), {"monitor": "val_loss"}, 5, 8),
        # The best epoch may be one of the head's, but patience counts after it.
        ((0.3, *RISE, 0.04, 0.04, 0.04), {"head_epochs": 1, "backbone": None}, 1, 9),
        # The last epoch is kept, and patience counts from the best.
        ((0.05, 0.04, 0.03, 0.02, 0.01), {"keep": "last"}, 4, 4),
    ],
)
def test_patience_counts_from_the_epoch_that_is_kept(
    blobs, tmp_path, margins, settings, best, trained
):
    recipe = replace(
        get_baseline("staged"), epochs=9, size=(32, 32), batch_size=16, patience=3, head_epochs=0
    )
    recipe = replace(recipe, **settings)
    images = blobs(32)
    views = ImageViews(images, (32, 32), Augmentation.named("none"))
    data = TrainingData(images, views, np.arange(20), np.arange(20, 32), random_state=0)
    task = ScriptedTask(recipe, data, views.render)
    object.__setattr__(task, "margins", margins)
    result = fit_network(lambda: build_network(recipe, (32, 32), 2, None), task, tmp_path, None)
    assert (result.best_epoch, len(result.history["loss"])) == (best, trained)


def test_training_killed_after_its_last_epoch_does_not_train_again(blobs, monkeypatch, tmp_path):
    class StopAfterFirst(import_keras().callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    images, settings = blobs(48), {"size": 32, "epochs": 5, "batch_size": 16, "out": tmp_path}
    model = import_keras().Model
    fit = model.fit

    def stop_and_die(self, *arguments, **keywords):
        keywords["callbacks"].insert(2, StopAfterFirst())
        fit(self, *arguments, **keywords)
        raise Interruption

    with monkeypatch.context() as patch:
        patch.setattr(model, "fit", stop_and_die)
        with pytest.raises(Interruption):
            train(images, "small", **settings)
    monkeypatch.setattr(model, "fit", no_training)
    assert len(train(images, "small", **settings).history["loss"]) == 1


def test_killed_process_resumes_and_ends_as_an_uninterrupted_one(tmp_path):
    make_phantoms(tmp_path / "images", patients=24, images_per_patient=(2, 2), size=64)
    name, settings = "kaushik-1", {"size": 32, "epochs": 8, "batch_size": 8}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    flags += ["--baseline", name, "--patients", r"(patient\d+)", "--quiet"]
    command = [sys.executable, "-m", "featx.cli", "train", str(tmp_path / "images")]
    process = subprocess.Popen(
        [*command, *flags, "--out", str(tmp_path / "killed")], stdout=subprocess.DEVNULL
    )
    log = tmp_path / "killed" / "log.csv"
    while not log.is_file() or len(log.read_text().splitlines()) < 4:
        assert process.poll() is None, "training ended before it could be killed"
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "network.keras").exists()

    images = ImageDataset.open(tmp_path / "images", r"(patient\d+)")
    ran = []
    with pytest.MonkeyPatch.context() as patch:
        note = import_keras().callbacks.LambdaCallback(on_epoch_begin=lambda n, _: ran.append(n))
        fit_with(patch, note)
        resumed = train(images, name, out=tmp_path / "killed", **settings)
    assert ran[0] >= 2
    assert_same(train(images, name, **settings), resumed)


@pytest.fixture(scope="module")
def trained_once(blobs, tmp_path_factory):
    images, folder = blobs(), tmp_path_factory.mktemp("trained")
    settings = {"size": 32, "epochs": 2, "batch_size": 16}
    return images, settings, folder, train(images, "small", out=folder, **settings)


@pytest.fixture
def trained(trained_once, tmp_path):
    images, settings, folder, result = trained_once
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return images, settings | {"out": tmp_path}, result


def test_finished_training_is_not_done_again(trained, monkeypatch, tmp_path):
    images, settings, first = trained
    monkeypatch.setattr(import_keras().Model, "fit", no_training)
    (tmp_path / "network.keras").unlink()
    again = train(images, "small", operating_point="sensitivity=0.95", **settings)
    np.testing.assert_array_equal(again.predict_proba(images), first.predict_proba(images))
    assert again.history == first.history
    assert again.best_epoch == first.best_epoch
    assert again.seconds > sum(first.history["seconds"])
    assert (tmp_path / "network.keras").is_file()


@pytest.mark.parametrize("change", ["images", "labels", "random_state", "epochs", "augmentation"])
def test_another_training_is_kept_unless_it_is_to_be_replaced(trained, monkeypatch, blobs, change):
    images, settings, _ = trained
    if change == "images":
        images = blobs(random_state=1)
    elif change == "labels":
        images = replace(images, labels=images.labels[::-1].copy())
    else:
        settings[change] = {"random_state": 1, "epochs": 3, "augmentation": "none"}[change]
    monkeypatch.setattr(import_keras().Model, "fit", no_training)
    with pytest.raises(UsageError, match="holds another training"):
        train(images, "small", **settings)
    with pytest.raises(AssertionError, match="fit ran"):
        train(images, "small", overwrite=True, **settings)


@pytest.mark.parametrize("damage", [lambda b: b[:3000], lambda b: b"", lambda b: b"x" * 500])
def test_damaged_state_is_left_aside_with_a_message(trained, monkeypatch, caplog, damage):
    images, settings, _ = trained
    path = settings["out"] / "checkpoints" / "best.weights.h5"
    path.write_bytes(damage(path.read_bytes()))
    monkeypatch.setattr(import_keras().Model, "fit", no_training)
    with pytest.raises(AssertionError, match="fit ran"):
        train(images, "small", **settings)
    assert "is damaged" in caplog.text


def test_damaged_backup_restarts_and_a_full_disk_keeps_the_last_one(
    blobs, monkeypatch, tmp_path, caplog
):
    images, settings = blobs(48), {"size": 32, "epochs": 2, "batch_size": 16, "out": tmp_path}

    class FullDisk(import_keras().callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        fit_with(patch, FullDisk())
        with pytest.raises(FeatxError, match="No space left"):
            train(images, "small", **settings)
    shutil.copytree(tmp_path, tmp_path / "damaged")

    def save_half(_, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(import_keras().Model, "save", save_half)
        with pytest.raises(FeatxError, match="the disk is full"):
            train(images, "small", **settings)
    assert not list(tmp_path.rglob(f"{TEMPORARY_PREFIX}*"))
    kept = train(images, "small", **settings)
    assert "continues after epoch 1" in caplog.text
    (weights,) = tmp_path.glob("damaged/checkpoints/stage-1/epoch-0001/*.h5")
    weights.write_bytes(weights.read_bytes()[:3000])
    restarted = train(images, "small", **settings | {"out": tmp_path / "damaged"})
    assert "is damaged" in caplog.text
    assert_same(restarted, kept)


@pytest.fixture
def make_task():
    """The report's own counts: 1,080 normal and 3,105 pneumonia of 4,185."""
    images = ImageDataset.from_arrays(
        np.zeros((4185, 2, 2), np.uint8), np.repeat(["normal", "pneumonia"], [1080, 3105])
    )
    views = ImageViews(images, (2, 2), Augmentation())
    data = TrainingData(images, views, np.arange(4185), np.arange(1), random_state=0)
    return lambda name: FitTask(get_baseline(name), data, views.render)


def test_steps_and_class_weights_of_the_report(make_task):
    task = make_task("ramirez-cnn")
    assert task.steps == 33
    assert task.class_weights == pytest.approx({0: 4185 / (2 * 1080), 1: 4185 / (2 * 3105)})
    order = task.order(0)
    assert order.shape == (33, 128)
    assert set(order.ravel().tolist()) == set(range(4185))
    assert not np.array_equal(order, task.order(1))


def test_fixed_steps_continue_through_the_images_across_epochs(make_task):
    task = make_task("ramirez-resnet")
    assert task.steps == 10
    stream = np.concatenate([task.order(epoch).ravel() for epoch in range(10)])
    assert len(stream) == 12_800
    # Three whole passes, each with every image once, and part of a fourth.
    for number in range(3):
        part = stream[number * 4185 : (number + 1) * 4185]
        assert set(part.tolist()) == set(range(4185))
    assert len(set(stream[3 * 4185 :].tolist())) == 12_800 - 3 * 4185
