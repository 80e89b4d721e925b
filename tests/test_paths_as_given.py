"""Every output names an image by the path that the user gave, so that tables can be joined."""

from __future__ import annotations

import csv
import json
import os

import pandas as pd
import pytest

import featx
from featx.classifiers.predictions import Predictions
from tests.features.worker import QuickMaps


@pytest.fixture(params=["relative", "absolute"])
def table(image_folder, tmp_path, request):
    """A table in another folder than its images."""
    place = tmp_path / "lists"
    place.mkdir()
    rows = []
    for path in sorted(image_folder.rglob("*.png")):
        given = str(path) if request.param == "absolute" else os.path.relpath(path, place)
        rows.append({"path": given, "label": path.parent.name, "patient": path.name[:3]})
    pd.DataFrame(rows).to_csv(place / "images.csv", index=False)
    return place / "images.csv"


def test_outputs_are_joined_with_the_table_by_path(table, tmp_path, run_featx, quick, monkeypatch):
    monkeypatch.setattr(
        "featx.backbones.feature_maps.make_maps",
        lambda backbone, *_: QuickMaps(backbone.features),
    )
    matrix, models, results = tmp_path / "m.h5", tmp_path / "models", tmp_path / "results"
    model = models / "logistic.skops"
    for words in (
        ("extract", table, "--views", 1, "--out", matrix),
        ("fit", matrix, "--classifiers", "logistic", "--out", models),
        ("predict", model, table, "--out", tmp_path / "p.csv"),
        ("explain", model, table, "--limit", 0, "--out", tmp_path / "e"),
        ("benchmark", table, "--classifiers", "logistic", "--views", 1, "--test-size", 0.4,
         "--no-controls", "--no-learning-curve", "--out", results),
    ):  # fmt: skip
        code, _, error = run_featx(*words)
        assert code == 0, error
    given = pd.read_csv(table)
    scores = results / "scores" / "efficientnet_lite0-logistic.csv"
    gallery = json.loads((results / "gallery" / "gallery.json").read_text())["pictures"]
    explained = json.loads((tmp_path / "e" / "explanations.json").read_text())["images"]
    for name, paths, n in (
        ("matrix", featx.FeatureMatrix.load(matrix).names, 24),
        ("predict", pd.read_csv(tmp_path / "p.csv")["path"], 24),
        ("explain", [entry["path"] for entry in explained], 24),
        ("scores", pd.read_csv(scores)["path"], len(Predictions.from_csv(scores))),
        ("gallery", [entry["path"] for entry in gallery], len(gallery)),
        ("explore", featx.explore(matrix).names, 24),
    ):
        joined = given.merge(pd.DataFrame({"path": list(paths)}), on="path")
        assert len(joined) == n > 0, name
    joined = given.merge(pd.read_csv(scores), on="path", suffixes=("", "_saved"))
    assert (joined["label"] == joined["label_saved"]).all()
    assert (joined["patient"] == joined["patient_saved"]).all()


def test_a_list_of_paths_and_a_folder_are_named_as_given(image_folder, tmp_path, quick):
    model = featx.fit(featx.extract(image_folder, views=1), "naive_bayes", cv=2)
    paths = sorted(map(str, image_folder.rglob("*.png")))[::5]
    assert list(featx.predict(model, paths).names) == paths
    featx.predict(model, image_folder).to_csv(tmp_path / "p.csv")
    with (tmp_path / "p.csv").open(newline="") as file:
        below = [line["path"] for line in csv.DictReader(file)]
    assert all((image_folder / path).is_file() for path in below)
