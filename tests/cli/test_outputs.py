"""What is already at --out: the same is replaced, other work is not."""

from __future__ import annotations

import json

import pytest

import featx
from featx.cli.options import OutputPath
from tests.conftest import PATIENT_RULE
from tests.features.worker import QuickMaps

OPEN = ("--patients", PATIENT_RULE, "--views", "1")


@pytest.fixture
def matrix(image_folder, tmp_path, quick, run_featx):
    assert run_featx("extract", image_folder, *OPEN, "--out", tmp_path / "m.h5")[0] == 0
    return tmp_path / "m.h5"


def test_extract_replaces_matrices_and_nothing_else(matrix, image_folder, tmp_path, run_featx):
    words = ("extract", image_folder / "NORMAL", "--views", 1, "--out")
    table = tmp_path / "list.csv"
    table.write_text("path,label\n")
    code, _, error = run_featx(*words, table)
    assert code == 2 and "no such file of featx" in error
    assert table.read_text() == "path,label\n"
    assert run_featx(*words, matrix)[0] == 0
    assert featx.FeatureMatrix.load(matrix).n_images == 12


@pytest.mark.parametrize("example", ["predictions.csv", "explore.html", "features.h5"])
def test_an_empty_file_may_be_replaced(tmp_path, example):
    (tmp_path / "x").touch()
    assert OutputPath("file", example).convert(tmp_path / "x", None, None) == tmp_path / "x"


def test_fit_replaces_the_same_model_only(matrix, tmp_path, run_featx):
    words = ("fit", matrix, "--classifier", "naive_bayes", "--out", tmp_path / "models")
    for _ in range(2):
        assert run_featx(*words)[0] == 0
    for change, named in (
        (("--calibration", "none"), "calibration"),
        (("--seed", 1), "random_state"),
        (("--cv", 3), "cv"),
    ):
        code, _, error = run_featx(*words, *change)
        assert code == 2 and f"another model ({named} differ)" in " ".join(error.split())
    other = featx.FeatureMatrix.load(matrix)
    other.select_images(range(2, 24)).save(matrix)
    code, _, error = run_featx(*words)
    assert code == 2 and "(training images or features differ)" in " ".join(error.split())
    assert run_featx(*words, "--overwrite")[0] == 0
    (tmp_path / "models" / "naive_bayes.skops").write_text("mine")
    code, _, error = run_featx(*words)
    assert code == 2 and "is not a model" in error


def test_explain_replaces_the_same_explanations_only(
    matrix, image_folder, tmp_path, run_featx, monkeypatch
):
    monkeypatch.setattr(
        "featx.backbones.feature_maps.make_maps",
        lambda backbone, *_: QuickMaps(backbone.features),
    )
    models = tmp_path / "models"
    assert run_featx("fit", matrix, "--classifier", "logistic,knn", "--out", models)[0] == 0
    out = tmp_path / "out"
    words = ("explain", models / "logistic.skops", image_folder, "--out", out, "--limit", 4)
    for _ in range(2):
        assert run_featx(*words)[0] == 0
    before = sorted(path.name for path in out.iterdir())
    for other, named in (
        (("explain", models / "knn.skops", *words[2:]), "other model"),
        ((*words[:2], image_folder / "NORMAL", *words[3:]), "other images"),
        ((*words[:-1], 3), "other images"),
    ):
        code, _, error = run_featx(*other)
        assert code == 2 and named in error
        assert sorted(path.name for path in out.iterdir()) == before
    (out / "mine.png").write_text("mine")
    assert run_featx(*words[:-1], 2, "--overwrite")[0] == 0
    shown = {
        entry["file"] for entry in json.loads((out / "explanations.json").read_text())["images"]
    }
    assert {path.name for path in out.glob("*.png")} == shown | {"contact_sheet.png", "mine.png"}
