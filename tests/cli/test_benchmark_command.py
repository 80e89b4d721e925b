import json
import shutil

import pytest
import yaml
from PIL import Image

import featx
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.table import BenchmarkTable
from tests.conftest import smooth_image

PATIENTS = r"(p\d+)_"


@pytest.fixture
def call(monkeypatch, run_featx):
    """Run the command without the benchmark itself; return its arguments and the output."""

    def run(*arguments):
        seen = {}

        def benchmark(images, **settings):
            seen.update(images=images, **settings)
            return BenchmarkTable([])

        monkeypatch.setattr(featx, "benchmark", benchmark)
        monkeypatch.delenv("FEATX_CACHE", raising=False)
        code, _, error = run_featx("benchmark", *arguments)
        return seen, code, error

    return run


@pytest.fixture
def elsewhere(tmp_path, generator):
    root = tmp_path / "other hospital"
    for number, label in enumerate(("NORMAL", "PNEUMONIA")):
        (root / label).mkdir(parents=True)
        Image.fromarray(smooth_image(generator)).save(root / label / f"p9{number}_0.png")
    return root


def test_options_become_a_config(call, image_folder, elsewhere, tmp_path):
    given, code, error = call(
        *(image_folder, "--patients", PATIENTS, "--out", tmp_path / "out"),
        *("--external", f"other={elsewhere}", "--repeats", 3, "--calibration", "isotonic"),
        *("--no-learning-curve", "--published", "--leaks", "allow", "--folds", 3, "--seed", 7),
        *("--backbone", "resnet50,vgg16", "--baseline-epochs", 2, "--augmentation", "none"),
    )
    assert code == 0, error
    assert given["externals"] == {"other": str(elsewhere)}
    config = given["config"]
    assert config == BenchmarkConfig().with_settings(
        backbones=["resnet50", "vgg16"],
        patients=PATIENTS,
        repeats=3,
        calibration="isotonic",
        learning_curve=False,
        published=True,
        leaks="allow",
        cv=3,
        random_state=7,
        augmentation="none",
        views=1,
        baseline_settings={"epochs": 2},
    )


def test_without_options_the_config_s_defaults_hold(call, image_folder, tmp_path):
    given, _, _ = call(image_folder, "--out", tmp_path / "out")
    assert given["config"] == BenchmarkConfig()


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump])
def test_options_win_over_a_file_and_a_file_over_a_preset(call, image_folder, tmp_path, write):
    file = tmp_path / "settings.txt"
    file.write_text(write({"views": 3, "classifiers": ["knn"], "repeats": 2}))
    words = ["--preset", "fast", "--config", file, "--repeats", 5, "--out", tmp_path / "out"]
    given, code, error = call(image_folder, *words)
    assert code == 0, error
    config = given["config"]
    assert (config.repeats, config.extraction.views, config.classifiers) == (5, 3, ("knn",))
    assert (config.leaks, config.extraction.pooling) == ("drop", "multi_depth")


def test_the_settings_of_a_run_are_a_file(call, image_folder, tmp_path):
    config = BenchmarkConfig(classifiers="knn", repeats=2).with_settings(views=2)
    run = {"format": 1, "settings": config.to_dict()}
    (tmp_path / "run.json").write_text(json.dumps(run))
    words = ["--config", tmp_path / "run.json", "--out", tmp_path / "out"]
    assert call(image_folder, *words)[0]["config"] == config


def test_a_name_given_twice_is_refused(call, image_folder, tmp_path):
    words = ("--external", "a=x", "--external", "a=y", "--out", tmp_path / "out")
    given, code, error = call(image_folder, *words)
    assert (given, code) == ({}, 2)
    assert "'a' is given twice" in error


def test_external_sets_of_other_classes_are_refused(image_folder, elsewhere, tmp_path, run_featx):
    (elsewhere / "NORMAL").rename(elsewhere / "HEALTHY")
    words = ["benchmark", image_folder, "--out", tmp_path / "out", "--external", f"o={elsewhere}"]
    code, _, error = run_featx(*words)
    assert code == 2 and "'HEALTHY'" in error


def test_a_leak_ends_with_2_before_anything_is_trained(image_folder, tmp_path, run_featx):
    for split, first in (("train", 0), ("test", 2)):
        for label, number in (("NORMAL", first), ("PNEUMONIA", 6 + first)):
            folder = tmp_path / "x" / split / label
            folder.mkdir(parents=True)
            for patient in range(number, number + 4):
                shutil.copy(image_folder / label / f"p{patient:02d}_0.png", folder)
    words = ["benchmark", tmp_path / "x", "--patients", PATIENTS, "--out", tmp_path / "out"]
    code, _, error = run_featx(*words)
    error = " ".join(error.split())
    assert code == 2
    assert "train/NORMAL/p02_0.png = test/NORMAL/p02_0.png" in error
    assert "--leaks drop" in error
    assert not (tmp_path / "out").exists()
