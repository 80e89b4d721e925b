"""Names of folders and files that no terminal and no file should be broken by."""

from __future__ import annotations

import json
import os

import pytest
from PIL import Image

from featx.datasets.dataset import ImageDataset
from featx.features.matrix import FeatureMatrix
from tests.conftest import smooth_image

ODD = os.fsdecode(b"\xff\x1b[31m")


@pytest.fixture
def odd(tmp_path, generator):
    root = tmp_path / "odd"
    for label, first in ((f"ill{ODD}", 0), ("well", 10)):
        (root / label).mkdir(parents=True)
        for number in range(first, first + 10):
            path = root / label / f"p{number}_{ODD}.png"
            Image.fromarray(smooth_image(generator)).save(path)
        (root / label / f"broken{ODD}.png").write_bytes(b"x")
        (root / label / f"text{ODD}.doc").write_bytes(b"x")
    return root


def plain(text):
    assert "\x1b" not in text
    return text.encode().decode()


def test_odd_names_are_shown_escaped_and_stored_as_they_are(odd, run_featx, tmp_path, quick):
    code, out, err = run_featx("extract", odd, "--views", "1", "--out", tmp_path / "m.h5")
    assert code == 0
    assert r"ill\xff\x1b[31m 11, well 11" in plain(err)
    assert r"left out: well/broken\xff\x1b[31m.png" in err
    plain(out)
    matrix = FeatureMatrix.load(tmp_path / "m.h5")
    assert f"well/p10_{ODD}.png" in matrix.names
    words = ["--patients", "(x)y", "--out", tmp_path / "m.h5"]
    code, out, err = run_featx("extract", odd, *words)
    assert code == 2
    plain(err)


def test_a_benchmark_of_odd_names_ends(odd, run_featx, tmp_path, quick):
    options = ["--views", "1", "--classifiers", "logistic", "--cv", "2", "--no-learning-curve"]
    code, out, err = run_featx(
        *("benchmark", odd, *options, "--no-controls", "--out", tmp_path / "results")
    )
    assert code == 0
    plain(out + err)
    run = json.loads((tmp_path / "results" / "run.json").read_text(encoding="utf-8"))
    examples = [name for each in run["audit"]["findings"] for name in each["examples"]]
    assert any(f"broken{ODD}" in name for name in examples)
    assert run["inventory"][""]["passed_over"][0]["count"] == 2


def test_patients_of_odd_names_can_be_hashed(odd):
    images = ImageDataset.open(odd, "([^/]+)$", hash_patients="a secret of some length")
    assert len(set(images.patients)) == 21
    assert all(patient.isalnum() for patient in images.patients)
