import json

import numpy as np
import pytest
from PIL import Image

import featx
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


@pytest.mark.usefixtures("quick")
def test_adapt_writes_a_model_of_two_classes_of_images_only(run_featx, tmp_path):
    generator = np.random.default_rng(0)
    for number in range(120):
        # The same two classes in another light.
        place, light = ("there", 60) if number % 2 else ("here", 0)
        low = number % 4 < 2
        level = generator.normal(90 if low else 140, 8) + light
        pixels = np.clip(generator.normal(level, 20, (32, 32)), 0, 255).astype(np.uint8)
        folder = tmp_path / place / ("NORMAL" if low else "PNEUMONIA")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    features = featx.extract(tmp_path / "here", views=1, out=tmp_path / "here.h5")
    save_model(fit(features, "logistic", cv=2, n_jobs=1), tmp_path / "my.skops")
    out = tmp_path / "adapted.skops"
    words = ["adapt", tmp_path / "my.skops", tmp_path / "there", "--out", out, "--json"]
    for more, refitted in (([], False), (["--train", tmp_path / "here.h5"], True)):
        code, text, message = run_featx(*words, *more)
        assert code == 0, message
        summary = json.loads(text)
        assert (code, summary["images"], summary["refitted"]) == (0, 60, refitted)
        found = featx.predict(out, tmp_path / "there")
        assert "adapted-to" in [finding.kind for finding in found.findings]
        assert found.threshold == summary["threshold"] != summary["threshold_before"]
        if not refitted:
            moved = featx.predict(tmp_path / "my.skops", tmp_path / "there", adapt=True)
            assert moved.threshold == found.threshold
    out.unlink()
    words[2] = tmp_path / "there" / "NORMAL"
    code, _, message = run_featx(*words)
    assert code == 2 and "too few" in message and not out.exists()
