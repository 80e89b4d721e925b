import json

import pytest

from featx.backbones import feature_maps
from featx.classifiers.fitting import fit
from featx.classifiers.model_file import save_model
from featx.features.extraction import extract
from tests.features.worker import QuickMaps


@pytest.fixture
def model(monkeypatch, images, tmp_path, quick):
    """A logistic model, and no network."""
    monkeypatch.setattr(
        feature_maps, "make_maps", lambda backbone, *_: QuickMaps(backbone.features)
    )
    save_model(fit(extract(images, views=1), "logistic", cv=2), tmp_path / "my.skops")
    return tmp_path / "my.skops"


def test_explain_says_how_the_maps_were_made_and_where_they_are(
    run_featx, model, image_folder, tmp_path
):
    words = ["explain", model, image_folder, "--out", tmp_path / "out"]
    code, text, _ = run_featx(*words, "--limit", 3)
    assert code == 0 and "3 of 24 images" in text and "exact" in text
    sheet = tmp_path / "out" / "contact_sheet.png"
    assert str(sheet) in text and sheet.is_file()
    assert len(list((tmp_path / "out").glob("00*.png"))) == 3
    code, text, _ = run_featx(*words, "--limit", 0, "--json")
    content = json.loads(text)
    assert code == 0 and content.pop("out") == str(tmp_path / "out")
    assert content == json.loads((tmp_path / "out" / "explanations.json").read_text())
    assert content["model"] == "my" and len(content["images"]) == 24
