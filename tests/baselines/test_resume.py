import json
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from featx.baselines import lesson, loop
from featx.baselines.task import Task
from featx.baselines.training import train_baseline
from featx.datasets.dataset import ImageDataset
from featx.datasets.synthetic import make_phantoms
from featx.errors import FeatxError

LITE = "finetuned:efficientnet_lite0"

# What is promised: sums that threads share may round differently from run to run.
TOLERANCE = {"rtol": 1e-3, "atol": 1e-4}


class Interruption(BaseException):
    pass


def interrupt_in(monkeypatch, epoch):
    """Let training die in the middle of an epoch, counted from 0."""
    original = loop._run_epoch

    def die(network, trainer, task, number, history, advance):
        if number == epoch:
            order = Task.order(task, number)[:1]
            pixels = next(iter(task.source.batches(list(order), view=number + 1)))
            trainer.train_on_batch(pixels, task.targets[order[0]], task.image_weights[order[0]])
            raise Interruption
        return original(network, trainer, task, number, history, advance)

    monkeypatch.setattr(loop, "_run_epoch", die)


def assert_same(one, other):
    assert one.best_epoch == other.best_epoch
    for column in set(one.history) - {"seconds"}:
        np.testing.assert_allclose(
            one.history[column], other.history[column], **TOLERANCE, err_msg=column
        )
    for ours, theirs in zip(one.network.weights, other.network.weights, strict=True):
        np.testing.assert_allclose(np.array(ours), np.array(theirs), **TOLERANCE)


# Epoch 1 of the second begins a stage: the optimizer is a new one there.
@pytest.mark.parametrize(
    ("name", "deaths"),
    [("ramirez-cnn", (1, 3)), pytest.param(LITE, (1,), marks=pytest.mark.slow)],
)
def test_interrupted_training_ends_as_if_it_had_not_been(
    blobs, monkeypatch, tmp_path, name, deaths
):
    images, settings = blobs(), {"size": 32, "epochs": max(deaths) + 1, "batch_size": 16}
    whole = train_baseline(images, name, out=tmp_path / "whole", **settings)
    for epoch in deaths:
        with monkeypatch.context() as patch:
            interrupt_in(patch, epoch)
            with pytest.raises(Interruption):
                train_baseline(images, name, out=tmp_path / "cut", **settings)
        with h5py.File(tmp_path / "cut" / "state.h5") as file:
            assert len(json.loads(file.attrs["history"])["loss"]) == epoch
        assert len((tmp_path / "cut" / "log.csv").read_text().splitlines()) == 1 + epoch
    went_on = train_baseline(images, name, out=tmp_path / "cut", **settings)
    assert_same(whole, went_on)
    fresh = blobs(9, random_state=5)
    np.testing.assert_allclose(
        whole.predict_proba(fresh), went_on.predict_proba(fresh), **TOLERANCE
    )


def test_killed_process_goes_on_and_ends_as_if_it_had_not_been(tmp_path):
    make_phantoms(tmp_path / "images", patients=24, images_per_patient=(2, 2), size=64)
    settings = {"size": 32, "epochs": 12, "batch_size": 8}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    flags += ["--baseline", "ramirez-cnn-corrected", "--patients", r"(patient\d+)", "--quiet"]
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
    name = "ramirez-cnn-corrected"
    ran = []
    with pytest.MonkeyPatch.context() as patch:
        original = loop._run_epoch
        patch.setattr(loop, "_run_epoch", lambda *a: (ran.append(a[3]), original(*a))[1])
        went_on = train_baseline(images, name, out=tmp_path / "killed", **settings)
    assert ran
    assert ran[0] >= 3
    assert_same(train_baseline(images, name, **settings), went_on)


@pytest.fixture(scope="module")
def trained_once(blobs, tmp_path_factory):
    images, folder = blobs(), tmp_path_factory.mktemp("trained")
    settings = {"size": 32, "epochs": 2, "batch_size": 16}
    return images, settings, folder, train_baseline(images, "ramirez-cnn", out=folder, **settings)


@pytest.fixture
def trained(trained_once, tmp_path):
    images, settings, folder, result = trained_once
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return images, settings | {"out": tmp_path}, result


def no_training(*arguments):
    raise AssertionError("an epoch ran")


def test_finished_training_is_not_done_again(trained, monkeypatch, tmp_path):
    images, settings, first = trained
    monkeypatch.setattr(loop, "_run_epoch", no_training)
    (tmp_path / "network.keras").unlink()
    again = train_baseline(images, "ramirez-cnn", operating_point="sensitivity=0.95", **settings)
    np.testing.assert_array_equal(again.predict_proba(images), first.predict_proba(images))
    assert again.history == first.history
    assert again.best_epoch == first.best_epoch
    assert again.seconds > sum(first.history["seconds"])
    assert (tmp_path / "network.keras").is_file()


@pytest.mark.parametrize("change", ["images", "labels", "random_state", "epochs", "augmentation"])
def test_state_of_another_training_is_left_aside_with_a_message(
    trained, monkeypatch, blobs, caplog, change
):
    images, settings, _ = trained
    if change == "images":
        images = blobs(random_state=1)
    elif change == "labels":
        images = ImageDataset.from_arrays(
            np.stack(images.sources),
            [f"class{label}" for label in images.labels[::-1]],
            patients=images.patients,
        )
    else:
        settings |= {"random_state": 1} if change == "random_state" else {}
        settings |= {"epochs": 3} if change == "epochs" else {}
        settings |= {"augmentation": "none"} if change == "augmentation" else {}
    monkeypatch.setattr(loop, "_run_epoch", no_training)
    with pytest.raises(AssertionError, match="an epoch ran"):
        train_baseline(images, "ramirez-cnn", **settings)
    assert "other settings, images or versions" in caplog.text.replace("\n", " ")


@pytest.mark.parametrize("damage", [lambda b: b[:3000], lambda b: b"", lambda b: b"x" * 500])
def test_damaged_state_is_left_aside_with_a_message(trained, monkeypatch, caplog, damage):
    images, settings, _ = trained
    path = settings["out"] / "state.h5"
    path.write_bytes(damage(path.read_bytes()))
    monkeypatch.setattr(loop, "_run_epoch", no_training)
    with pytest.raises(AssertionError, match="an epoch ran"):
        train_baseline(images, "ramirez-cnn", **settings)
    assert "is damaged" in caplog.text


def test_full_disk_is_told_and_the_last_state_stands(blobs, monkeypatch, tmp_path):
    images, settings = blobs(48), {"size": 32, "epochs": 2, "batch_size": 16}
    original, calls = loop.Keeper.save, []

    def fill_up(self, state):
        calls.append(state.epochs)
        if state.epochs == 2:
            raise FeatxError("the disk is full")
        original(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(lesson.Keeper, "save", fill_up)
        with pytest.raises(FeatxError, match="full"):
            train_baseline(images, "ramirez-cnn", out=tmp_path, **settings)
    assert calls == [1, 2]
    went_on = train_baseline(images, "ramirez-cnn", out=tmp_path, **settings)
    assert len(went_on.history["loss"]) == 2
