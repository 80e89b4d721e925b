import csv
import json

import numpy as np
import pytest
from PIL import Image

import featx
from featx.baselines.registry import list_baselines
from featx.errors import UsageError


@pytest.fixture
def folder(tmp_path, blobs):
    images = blobs(64, 32)
    root = tmp_path / "xrays"
    for index, (pixels, label) in enumerate(zip(images.sources, images.labels, strict=True)):
        side = "test" if index >= 56 else "train"
        place = root / side / ("NORMAL", "PNEUMONIA")[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"p{index // 2:02d}_{label}.png")
    return root


def test_baselines_are_listed(run_featx):
    code, out, _ = run_featx("baselines", "--json")
    assert code == 0
    rows = json.loads(out)
    assert [row["name"] for row in rows] == [recipe.name for recipe in list_baselines()]
    assert all(row["source"] and row["title"] for row in rows)
    code, out, _ = run_featx("baselines")
    assert code == 0
    assert all(row["name"] in out and row["source"] in out for row in rows)


def test_train_writes_network_log_and_record(run_featx, folder, tmp_path):
    out = tmp_path / "cnn"
    flags = ["--size", 32, "--epochs", 2, "--batch-size", 8, "--quiet", "--json"]
    flags += ["--patients", r"(p\d+)_", "--validation-size", 0.25, "--operating-point", 0.5]
    arguments = ["train", folder, "--baseline", "ramirez-cnn-corrected", "--out", out, *flags]
    code, text, _ = run_featx(*arguments)
    assert code == 0
    summary = json.loads(text)
    # Images of the split 'test' never train.
    assert summary["training_images"] + summary["validation_images"] == 56
    assert summary["validation_images"] == 14
    assert summary["threshold"] == 0.5
    assert summary["epochs"] == 2
    rows = list(csv.DictReader((out / "log.csv").read_text().splitlines()))
    assert float(rows[summary["best_epoch"] - 1]["val_auc"]) == pytest.approx(
        summary["val_auc"], abs=1e-4
    )
    record = json.loads((out / "training.json").read_text())
    assert record["parameters"] == summary["parameters"]
    assert not [name for name in record["training_images"] if name.startswith("test")]
    validation = list(csv.DictReader((out / "validation.csv").read_text().splitlines()))
    assert [row["path"] for row in validation] == record["validation_images"]
    values = np.array([float(row["probability_PNEUMONIA"]) for row in validation])
    assert ((values >= 0) & (values <= 1)).all()
    # The same command does not train again.
    log = (out / "log.csv").stat().st_mtime_ns
    code, text, _ = run_featx(*arguments)
    assert code == 0
    assert json.loads(text)["val_auc"] == summary["val_auc"]
    assert (out / "log.csv").stat().st_mtime_ns == log
    record = json.loads((out / "training.json").read_text())
    # Another training is refused until it may replace the first.
    for change in (["--seed", 1], ["--epochs", 1], ["--labels", r"_(\d)\.png"]):
        code, _, error = run_featx(*arguments, *change)
        assert code == 2 and "holds another training" in error
        assert json.loads((out / "training.json").read_text()) == record
    code, text, error = run_featx(*arguments, "--epochs", 1, "--overwrite")
    assert code == 0, error
    assert json.loads(text)["epochs"] == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--baseline", "ramirez-cn"], "did you mean 'ramirez-cnn'"),
        (["--baseline", "ramirez-cnn"], "batches of 128"),
        (["--baseline", "ramirez-resnet", "--batch-size", 8, "--size", 16], "32 x 32 or more"),
        (["--baseline", "ramirez-cnn", "--validation-size", 2], "not in the range 0<x<1"),
    ],
)
def test_usage_errors_end_with_2(run_featx, folder, tmp_path, flags, message):
    words = ["train", folder, "--patients", r"(p\d+)_", "--out", tmp_path / "o"]
    code, _, err = run_featx(*words, *flags)
    assert code == 2
    assert message in err
    assert not (tmp_path / "o").exists()


def test_python_takes_a_path_and_leaves_its_test_split_out(folder):
    with pytest.raises(UsageError, match=r"batches of 128, but only \d+ of the 56 images"):
        featx.train(folder, "ramirez-cnn", patients=r"(p\d+)_")
