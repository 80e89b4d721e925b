"""Precision: one quantized network for all images that are compared."""

import importlib.util
import json

import numpy as np
import pytest

from featx.backbones import quantization
from featx.errors import FeatxError, UsageError
from featx.features.extraction import extract
from featx.features.pipeline import ENGINES
from featx.features.reextraction import extract_by_recipes
from tests.features.worker import QuickEngine

BACKBONE = "efficientnet_lite0"


class Quantizer:
    """Replaces NNCF: its network is the views that it was given."""

    def __init__(self):
        self.calls = 0

    def __call__(self, base, backbone, views, pooling):
        self.calls += 1
        self.views = views
        return views.tobytes()


class QuickQuantizedEngine(QuickEngine):
    """Features that depend on the network and on the pixels."""

    def __init__(self, network, backbone, _pooling):
        super().__init__(backbone.features)
        self.offset = float(np.frombuffer(network, dtype=np.float32).mean())

    def embed(self, pixels):
        return super().embed(pixels) + self.offset


@pytest.fixture
def quantizer(monkeypatch):
    fake = Quantizer()
    monkeypatch.setattr(quantization, "check_quantizer", lambda: None)
    monkeypatch.setattr(quantization, "quantize", fake)
    monkeypatch.setattr(quantization, "make_quantized_engine", QuickQuantizedEngine)
    monkeypatch.setattr("featx.backbones.weights.load_base", lambda *_: None)
    return fake


def int8(images, cache, **options):
    return extract(images, BACKBONE, "none", 1, cache=cache, precision="int8", **options)


def test_one_network_serves_training_and_test_images(images, tmp_path, quantizer):
    training, others = images.select(np.arange(16)), images.select(np.arange(16, 24))
    first = int8(training, tmp_path)
    assert quantizer.views.shape == (16, 224, 224)
    by_images = int8(others, tmp_path, quantization=training)
    by_matrix = int8(others, tmp_path, quantization=first)
    by_model = extract_by_recipes(others, first.recipes, 1, cache=tmp_path)
    assert quantizer.calls == 1
    assert first.recipes == by_images.recipes == by_matrix.recipes == by_model.recipes
    np.testing.assert_array_equal(by_images.X, by_matrix.X)
    np.testing.assert_array_equal(by_images.X, by_model.X)

    # Neither order nor copies matter; other images give another network, and other rows.
    assert int8(training.select(np.arange(16)[::-1]), tmp_path).recipes == first.recipes
    assert quantizer.calls == 1
    own = int8(others, tmp_path)
    assert quantizer.calls == 2
    assert own.recipes != first.recipes
    assert not np.array_equal(own.X, by_images.X)


def test_no_test_image_is_quantized_on(images, tmp_path, quantizer):
    splits = np.where(np.arange(len(images)) < 10, "train", "test")
    int8(images.with_splits(splits), tmp_path)
    assert len(quantizer.views) == 10
    with pytest.raises(UsageError, match=r"these are all test images\. Give quantization="):
        int8(images.with_splits(["test"] * len(images)), tmp_path)


def test_many_images_are_sampled_and_an_unreadable_one_is_passed_over(
    image_folder, images, tmp_path, quantizer, monkeypatch
):
    monkeypatch.setattr("featx.features.quantized.QUANTIZATION_IMAGES", 7)
    int8(images, tmp_path)
    assert len(quantizer.views) == 7
    for path in image_folder.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(FeatxError, match="none of the images to quantize on can be read"):
        int8(images, tmp_path)


def test_a_network_that_is_gone_or_damaged_is_never_replaced_by_another(
    images, tmp_path, quantizer, caplog
):
    here = tmp_path / "here"
    matrix = int8(images, here)
    network = next((here / "quantized").glob("*.int8.zip"))
    note = json.loads(next((here / "quantized").glob("*.json")).read_text())
    assert note["network"] == matrix.recipes[0]["network"]
    assert note["network"] in network.name

    elsewhere = tmp_path / "elsewhere"
    message = rf"is not in {elsewhere}.* Copy {network.name} from the folder quantized"
    ENGINES.clear()
    with pytest.raises(FeatxError, match=message):
        extract_by_recipes(images, matrix.recipes, 1, cache=elsewhere)
    again = extract_by_recipes(
        images, matrix.recipes, 1, cache=elsewhere, weights_dir=network.parent
    )
    np.testing.assert_array_equal(again.X, matrix.X)
    # What is computed already needs no network.
    network.write_bytes(b"damaged")
    extract_by_recipes(images, matrix.recipes, 1, cache=here)
    third = tmp_path / "third"
    ENGINES.clear()
    with pytest.raises(FeatxError, match=rf"is not in {third}"):
        extract_by_recipes(images, matrix.recipes, 1, cache=third, weights_dir=network.parent)
    assert f"{network} is damaged" in caplog.text
    assert quantizer.calls == 1


def test_quantization_is_for_int8_and_by_an_int8_matrix(images, tmp_path, quick):
    plain = extract(images, BACKBONE, "none", 1, cache=tmp_path)
    with pytest.raises(UsageError, match="quantization is for int8 only"):
        extract(images, BACKBONE, "none", 1, cache=tmp_path, quantization=images)
    with pytest.raises(UsageError, match=r"is not an int8 matrix of 1 backbone\(s\)"):
        int8(images, tmp_path, quantization=plain)


def test_the_engine_gets_the_precision(images, tmp_path, monkeypatch, networks_loaded_anew):
    asked = []

    def make_engine(backbone, *_, precision, **__):
        asked.append(precision)
        return QuickEngine(backbone.features)

    monkeypatch.setattr("featx.backbones.engines.make_engine", make_engine)
    for precision in ("float32", "float16"):
        settings = {"cache": tmp_path, "weights": "random", "precision": precision}
        matrix = extract(images, BACKBONE, "none", 1, **settings)
        assert matrix.recipes[0].get("precision", "float32") == precision
    assert asked == ["float32", "float16"]


@pytest.mark.slow
@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("nncf", "openvino")),
    reason="NNCF or OpenVINO is not installed",
)
def test_real_int8_is_near_float32(images, tmp_path):
    name = "efficientnet_lite0@64"
    settings = {"augmentation": "none", "views": 1, "cache": tmp_path, "engine": "openvino"}
    expected = extract(images, name, **settings)
    found = extract(images, name, precision="int8", **settings)
    assert 0.95 < np.corrcoef(found.X.ravel(), expected.X.ravel())[0, 1] < 1
