import json

import numpy as np
import pytest
from PIL import Image

import featx
from featx.benchmarking.benchmark import benchmark
from featx.classifiers.fitting import fit
from featx.classifiers.model_file import save_model
from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError
from featx.explanation.evidence import ACTIVATION
from featx.explanation.export import SHEET
from featx.features.extraction import extract
from tests.benchmarking.conftest import draw


@pytest.fixture
def model(quick):
    return fit(extract(draw(), views=3), "logistic", cv=2)


@pytest.fixture
def hostile(tmp_path, generator):
    """Equal names, names with special characters, and one file that is no image."""
    root = tmp_path / "images"
    for name in ("a/one.png", "b/one.png", "a/x..png", "a/-rf ; .png", "a/übel\n.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 255, (32, 24), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name, "PNG")
    (root / "a" / "two.png").write_bytes(b"no picture")
    return ImageDataset.open(root, labeled=False)


def test_every_image_has_a_file_of_its_own_inside_the_folder(model, hostile, tmp_path):
    out = tmp_path / "out" / "explained"
    explanations = featx.explain(model, hostile, out)
    content = json.loads((out / "explanations.json").read_text())
    assert content == explanations.to_dict()
    files = [entry["file"] for entry in content["images"]]
    assert len(set(files)) == len(files) == len(explanations) == len(hostile) - 1
    assert {path.name for path in out.iterdir()} == {*files, SHEET, "explanations.json"}
    assert list((tmp_path / "out").iterdir()) == [out]
    assert [entry["path"] for entry in content["unreadable"]] == ["a/two.png"]
    assert {entry["path"] for entry in content["images"]} == set(hostile.names) - {"a/two.png"}
    assert repr(explanations) == "Explanations(5 images by class activation map, 1 unreadable)"


def test_the_numbers_are_those_of_the_model(model, tmp_path):
    images = draw()
    save_model(model, tmp_path / "my.skops")
    explanations = featx.explain(tmp_path / "my.skops", images, limit=5)
    content = explanations.to_dict()
    assert (content["method"], content["toward"]) == (ACTIVATION, ["well"])
    assert (content["model"], content["threshold"]) == ("my", model.threshold_)
    assert explanations.indices[0] == 0 and explanations.indices[-1] == len(images) - 1
    assert [path.name for path in tmp_path.iterdir()] == ["my.skops"], "nothing else is written"
    expected = featx.predict(model, images.select(explanations.indices))
    assert explanations.views == 3
    rows = zip(
        content["images"],
        expected.probabilities,
        expected.predicted_names,
        explanations,
        strict=True,
    )
    for place, (entry, row, label, each) in enumerate(rows):
        assert entry["typicality"] == expected.typicality[place]
        assert list(entry["probabilities"].values()) == row.tolist()
        assert entry["label"] == label
        caption = " ".join(explanations._caption(place, each))
        named = entry["probabilities"][label]
        typical = expected.typicality[place]
        assert f"{label}, probability {named:.3f}, typicality {typical:.3f}" in caption
        sign = ">=" if label == "well" else "<"
        assert f"well {row[1]:.3f} {sign} threshold {model.threshold_:.3f}" in caption
        assert entry["map_mean_plus_bias"] == pytest.approx(entry["decision_value"], abs=1e-4)
        assert np.mean(entry["map"]) + entry["bias"] == pytest.approx(entry["map_mean_plus_bias"])


def test_arrays_are_images_too(model):
    (found,) = featx.explain(model, np.full((1, 32, 32), 90, np.uint8))
    assert found.label in ("ill", "well") and found.map.size > 1


def test_nothing_readable_is_an_error(model, hostile):
    with pytest.raises(FeatxError, match=r"two\.png"):
        featx.explain(model, hostile.select([hostile.names.index("a/two.png")]))


@pytest.fixture
def run(quick, tmp_path):
    """Run a benchmark of one classifier; return the page."""

    def run(classifier):
        fast = {"views": 1, "test_size": 0.3, "cv": 3, "controls": False, "learning_curve": False}
        benchmark(draw(signal=25), classifiers=[classifier], **fast, out=tmp_path)
        return (tmp_path / "report.html").read_text(encoding="utf-8")

    return run


@pytest.mark.parametrize("classifier", ["logistic", "naive_bayes"])
def test_a_benchmark_s_gallery_has_maps_where_they_are_exact(run, classifier, tmp_path):
    page = run(classifier)
    content = json.loads((tmp_path / "gallery" / "gallery.json").read_text())
    shown = [entry["file"].replace(".jpg", ".heat.jpg") for entry in content["pictures"]]
    exact = classifier == "logistic"
    maps = sorted(path.name for path in (tmp_path / "gallery").glob("*.heat.jpg"))
    assert maps == (sorted(shown) if exact else [])
    assert ("Heat map of the score" in page) == exact
    assert ("orange areas raise the score of well" in page) == exact


def test_a_benchmark_goes_on_where_maps_fail(run, monkeypatch, caplog):
    def fail(*_):
        raise OSError("weights are gone")

    monkeypatch.setattr("featx.explanation.evidence.find_model_weights", fail)
    assert "Gallery" in run("logistic")
    assert "weights are gone" in caplog.text
