from __future__ import annotations

import json

import pytest
from PIL import Image

import featx
from featx.benchmarking.table import BenchmarkTable
from featx.cli import main
from tests.conftest import smooth_image

PATIENTS = r"(p\d+)_"


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command with the benchmark itself left out; return its arguments and the output."""

    def run(*arguments):
        seen = {}

        def benchmark(images, **settings):
            settings["config"].pop("cache")  # From the environment of the tests.
            seen.update(images=images, **settings)
            return BenchmarkTable([])

        monkeypatch.setattr(featx, "benchmark", benchmark)
        with pytest.raises(SystemExit) as stop:
            main(["benchmark", *(str(argument) for argument in arguments)])
        return seen, stop.value.code, capsys.readouterr()

    return run


@pytest.fixture
def elsewhere(tmp_path, generator):
    root = tmp_path / "other hospital"
    for number, label in enumerate(("NORMAL", "PNEUMONIA")):
        (root / label).mkdir(parents=True)
        Image.fromarray(smooth_image(generator)).save(root / label / f"p9{number}_0.png")
    return root


def test_only_given_options_reach_the_benchmark(call, image_folder, elsewhere, tmp_path):
    given, code, _ = call(
        *(image_folder, "--patients", PATIENTS, "--out", tmp_path / "out"),
        *("--external", f"other={elsewhere}", "--repeats", 3, "--calibration", "isotonic"),
        *("--no-learning-curve", "--published", "--leaks", "allow", "--baseline-epochs", 2),
    )
    assert code == 0
    assert given["images"] == image_folder
    assert given["externals"] == {"other": elsewhere}
    assert given["config"] == {
        "patients": PATIENTS,
        "repeats": 3,
        "calibration": "isotonic",
        "learning_curve": False,
        "published": True,
        "leaks": "allow",
        "baseline_settings": {"epochs": 2},
    }


def test_settings_of_a_file_are_replaced_by_given_options(call, image_folder, tmp_path):
    stored = {"views": 2, "classifiers": ["knn"], "seed": 3, "baseline_settings": {"epochs": 4}}
    (tmp_path / "run.json").write_text(json.dumps({"format": 1, "settings": stored}))
    words = [image_folder, "--config", tmp_path / "run.json", "--out", tmp_path / "out"]
    given, code, _ = call(*words, "--views", 1, "--baseline-size", 64)
    assert code == 0
    training = {"epochs": 4, "size": (64, 64)}
    assert given["config"] == {**stored, "views": 1, "baseline_settings": training}
    given, _, _ = call(image_folder, "--preset", "varshni", "--views", 1, "--out", tmp_path / "o")
    assert given["config"]["rank_by"] == "auc"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--external", "somewhere"], "'somewhere' is not NAME=FOLDER"),
        (["--external", "a=x", "--external", "a=y"], "'a' is given twice"),
        (["--calibration", "platt"], "isotonic"),
    ],
)
def test_wrong_words_end_with_2(call, image_folder, tmp_path, words, message):
    given, code, output = call(image_folder, "--out", tmp_path / "out", *words)
    assert code == 2
    assert given == {}
    assert message in output.err


def test_external_sets_that_do_not_fit_are_refused(image_folder, elsewhere, tmp_path, capsys):
    (elsewhere / "NORMAL").rename(elsewhere / "HEALTHY")
    for folder, message in (
        (elsewhere, "has images of class 'HEALTHY'; the classes here are NORMAL"),
        (tmp_path / "absent", "absent does not exist"),
    ):
        words = ["benchmark", image_folder, "--out", tmp_path / "o", "--external", f"o={folder}"]
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err


def test_a_leak_ends_with_2_before_anything_is_trained(image_folder, tmp_path, capsys):
    for split, (label, numbers) in {
        "train": ("PNEUMONIA", range(6, 10)),
        "test": ("PNEUMONIA", range(8, 12)),
    }.items():
        for name, chosen in ((label, numbers), ("NORMAL", [n - 6 for n in numbers])):
            (tmp_path / "x" / split / name).mkdir(parents=True)
            for number in chosen:
                file = image_folder / name / f"p{number:02d}_0.png"
                (tmp_path / "x" / split / name / file.name).write_bytes(file.read_bytes())
    words = ["benchmark", tmp_path / "x", "--patients", PATIENTS, "--out", tmp_path / "out"]
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert stop.value.code == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "4 pairs of pixel-identical images are in both training and test" in error
    assert "train/NORMAL/p02_0.png = test/NORMAL/p02_0.png" in error
    assert "4 patients have images in both training and test" in error
    assert "--leaks drop" in error
    assert not (tmp_path / "out").exists()
