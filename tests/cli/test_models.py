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


def draw_two_places(folder):
    """The same two classes in another light; returns a model of the first place."""
    generator = np.random.default_rng(0)
    for number in range(120):
        place, light = ("there", 60) if number % 2 else ("here", 0)
        low = number % 4 < 2
        level = generator.normal(90 if low else 140, 8) + light
        pixels = np.clip(generator.normal(level, 20, (32, 32)), 0, 255).astype(np.uint8)
        of_class = folder / place / ("NORMAL" if low else "PNEUMONIA")
        of_class.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(of_class / f"{number}.png")
    features = featx.extract(folder / "here", views=1, out=folder / "here.h5")
    save_model(fit(features, "logistic", cv=2, n_jobs=1), folder / "my.skops")


@pytest.mark.usefixtures("quick")
def test_adapt_writes_a_model_of_two_classes_of_images_only(run_featx, tmp_path):
    draw_two_places(tmp_path)
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


@pytest.mark.usefixtures("quick")
def test_accept_collects_evidence_from_few_labels(run_featx, tmp_path):
    draw_two_places(tmp_path)
    images = sorted((tmp_path / "there").glob("*/*.png"))
    rows = [f"{p.relative_to(tmp_path / 'there')},{p.parent.name},p{p.stem}" for p in images]
    few = tmp_path / "elsewhere" / "few.csv"
    few.parent.mkdir()
    few.write_text("\n".join(["path,label,patient", *rows]))
    words = ["accept", tmp_path / "my.skops", tmp_path / "there", "--labels", few]
    words += ["--min-sensitivity", "0.8", "--out", tmp_path / "acceptance.json"]
    code, text, message = run_featx(*words)
    assert code == 0, message
    assert "60 images of 60 patients (30 positive); AUC" in text
    assert "has sensitivity 0.8 or more with 95 % certainty, by patient" in text
    assert text.splitlines()[-1].endswith("Not a medical device.")
    code, text, message = run_featx(*words, "--json")
    content = json.loads(text)
    assert content == json.loads((tmp_path / "acceptance.json").read_text())
    found = featx.accept(tmp_path / "my.skops", tmp_path / "there", labels=few, min_sensitivity=0.8)
    assert content == json.loads(json.dumps(found.to_dict()))
    # Rules for a table are those of the labels; classes with other names are refused.
    few.write_text(few.read_text().replace("label", "finding").replace("NORMAL,", "healthy,"))
    code, _, message = run_featx(*words, "--columns", "label=finding")
    assert code == 2 and "--rename-labels healthy:CLASS" in message
    more = ["--columns", "label=finding", "--rename-labels", "healthy:NORMAL", "--json"]
    code, text, message = run_featx(*words, *more)
    renamed = json.loads(text)
    assert code == 0 and renamed["local"] == content["local"], message
    # Patients of IMAGES come from a rule, those of the table from its column.
    code, text, message = run_featx(*words[:3], "--labels", few, *more, "--patients", r"(\d)\.png")
    assert code == 0 and json.loads(text)["n_patients"] == 5, message
    assert json.loads(text)["local"]["n_patients"] == 60
    code, text, _ = run_featx(*words[:3])
    assert code == 0 and "Sensitivity here: unknown" in text
