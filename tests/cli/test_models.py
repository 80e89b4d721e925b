from __future__ import annotations

import json

import pytest

from featx.backbones import feature_maps
from featx.classifiers.fitting import fit
from featx.classifiers.model_file import save_model
from featx.cli import main
from featx.features.extraction import extract
from tests.features.worker import QuickMaps


@pytest.fixture
def run(monkeypatch, capsys, images, tmp_path, quick):
    """Run `featx explain` with a logistic model and no network; return code, output and errors."""
    monkeypatch.setattr(
        feature_maps, "make_maps", lambda backbone, weights: QuickMaps(backbone.features)
    )
    save_model(fit(extract(images, views=1), "logistic", cv=2), tmp_path / "my.skops")

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(["explain", *map(str, arguments)])
        output = capsys.readouterr()
        return stop.value.code, output.out, output.err

    return call


def test_it_says_how_the_maps_were_made_and_where_they_are(run, image_folder, tmp_path):
    out = tmp_path / "out"
    code, said, _ = run(tmp_path / "my.skops", image_folder, "--out", out, "--limit", 3)
    assert code == 0 and "3 of 24 images" in said and "exact" in said
    assert str(out / "contact_sheet.png") in said and (out / "contact_sheet.png").is_file()
    assert len(list(out.glob("00*.png"))) == 3


def test_json_is_what_the_folder_holds(run, image_folder, tmp_path):
    out = tmp_path / "out"
    code, said, _ = run(tmp_path / "my.skops", image_folder, "--out", out, "--limit", 0, "--json")
    content = json.loads(said)
    assert code == 0 and content.pop("out") == str(out)
    assert content == json.loads((out / "explanations.json").read_text())
    assert content["model"] == "my" and len(content["images"]) == 24


def test_a_negative_limit_is_misuse(run, image_folder, tmp_path):
    code, _, said = run(tmp_path / "my.skops", image_folder, "--out", tmp_path, "--limit", -1)
    assert code == 2 and "-1" in said
