from __future__ import annotations

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


def test_new_words_reach_the_benchmark(call, image_folder, elsewhere, tmp_path):
    given, code, _ = call(
        *(image_folder, "--patients", PATIENTS, "--out", tmp_path / "out"),
        *("--external", f"other={elsewhere}", "--repeats", 3, "--calibration", "isotonic"),
        *("--no-learning-curve", "--published", "--leaks", "allow"),
    )
    assert code == 0
    assert given["externals"]["other"].patients.tolist() == ["p90", "p91"]
    assert given["externals"]["other"].class_names == given["images"].class_names
    assert (given["repeats"], given["calibration"]) == (3, "isotonic")
    assert (given["learning_curve"], given["published"], given["leaks"]) == (False, True, "allow")
    given, _, _ = call(image_folder, "--patients", PATIENTS, "--out", tmp_path / "out")
    assert given["externals"] == {}
    assert (given["learning_curve"], given["published"], given["leaks"]) == (True, None, "error")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--external", "somewhere"], "'somewhere' is not NAME=FOLDER"),
        (["--external", "a=x", "--external", "a=y"], "'a' is given twice"),
        (["--external", "a=absent"], "absent does not exist"),
        (["--calibration", "platt"], "isotonic"),
    ],
)
def test_wrong_words_end_with_2(call, image_folder, tmp_path, words, message):
    given, code, output = call(image_folder, "--out", tmp_path / "out", *words)
    assert code == 2
    assert given == {}
    assert message in output.err


def test_external_sets_of_other_classes_are_refused(image_folder, elsewhere, tmp_path, capsys):
    (elsewhere / "NORMAL").rename(elsewhere / "HEALTHY")
    words = ["benchmark", image_folder, "--out", tmp_path / "out", "--external", f"o={elsewhere}"]
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert stop.value.code == 2
    assert "has images of class 'HEALTHY'; the classes here are NORMAL" in capsys.readouterr().err


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
