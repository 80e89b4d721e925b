"""Precision of networks: the engine computes in it, and int8 is refused with the way out."""

import pytest

import featx
from featx.errors import UsageError
from featx.features.config import ExtractionConfig
from featx.features.extraction import extract, extract_by_recipes
from tests.features.worker import QuickEngine

BACKBONE = "efficientnet_lite0"


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


def test_int8_of_earlier_versions_is_refused_with_the_way_out(images, tmp_path, quick):
    out = {"match": r"featx quantize BACKBONE IMAGES --out NET\.xml.*openvino:NET\.xml"}
    for settings in (
        {"precision": "int8"},
        {"quantization": images},
        {"networks": ["aa"]},
    ):
        with pytest.raises(UsageError, **out):
            extract(images, BACKBONE, "none", 1, cache=tmp_path, **settings)
    with pytest.raises(UsageError, **out):
        featx.BenchmarkConfig(f"{BACKBONE}@int8")
    matrix = extract(images, BACKBONE, "none", 1, cache=tmp_path)
    assert ExtractionConfig.from_dict({"networks": []}) == ExtractionConfig()
    old = {**matrix.recipes[0], "precision": "int8", "network": "ab" * 32}
    with pytest.raises(UsageError, **out):
        extract_by_recipes(images, [old], 1, cache=tmp_path)
    matrix.recipes[0].update(old)
    matrix.save(tmp_path / "old.h5")
    with pytest.raises(UsageError, **out):
        featx.FeatureMatrix.load(tmp_path / "old.h5")
