"""The network check: injected faults are found, healthy networks pass, and results are kept."""

import importlib.util
import json
import os
from dataclasses import replace

import numpy as np
import pytest

import featx
from featx.backbones.brought import Backbone
from featx.backbones.engines import make_engine
from featx.backbones.network_check import CheckedNetwork, check_network, examine_network
from featx.backbones.reference_images import reference_images
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights
from featx.errors import UsageError
from featx.features.pipeline import ENGINES, Embedder
from tests.backbones.network_faults import FAULTS, FaultyEngine, TrainingModeEngine
from tests.features.worker import QuickEngine

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None
    or os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="OpenVINO is not installed, or Keras not on TensorFlow",
)

# What is found where neither expected features nor featx' own preparation show a fault.
BY_RULES_ALONE = {
    "double rescale": {"double rescale"},
    "constant output": {"different images", "inversion", "rescaling", "colors"},
    "NaN": {"finite"},
    "batch norm in training mode": {"same image"},
}
# Faults of the network itself, not of its preparation of images.
INSIDE = ("wrong size", "constant output", "NaN")


@pytest.fixture(scope="module")
def lite0_96():
    backbone = get_backbone("efficientnet_lite0@96")
    return backbone, find_weights(backbone)


@pytest.fixture(scope="module", params=["keras", pytest.param("openvino", marks=needs_openvino)])
def engine(request, lite0_96):
    return make_engine(*lite0_96, request.param)


def failing(engine, checked):
    return {result.rule for result in examine_network(engine, checked) if not result.passed}


def test_healthy_networks_pass(engine, lite0_96):
    backbone, weights = lite0_96
    for color in ("gray", "rgb"):
        checked = CheckedNetwork(backbone, weights.digest, color)
        assert checked.expected is not None
        results = list(examine_network(engine, checked))
        assert all(result.passed for result in results), results
        assert results[-1].rule == "expected features"


@pytest.mark.parametrize("fault", FAULTS)
def test_injected_faults_are_found(engine, lite0_96, fault):
    backbone, weights = lite0_96
    known = CheckedNetwork(backbone, weights.digest, "rgb")
    unknown = replace(known, weights="of another network")
    alone = BY_RULES_ALONE.get(fault, set())
    assert failing(FaultyEngine(engine, fault), known) == alone | {"expected features"}
    assert failing(FaultyEngine(engine, fault), unknown) == alone
    if fault not in INSIDE:
        assert "input" in failing(FaultyEngine(engine, fault, in_record=True), unknown)


def test_batch_norm_in_training_mode_is_found(lite0_96):
    backbone, weights = lite0_96
    engine = TrainingModeEngine(backbone, weights)
    checked = CheckedNetwork(backbone, weights.digest)
    assert failing(engine, checked) == {"same image", "expected features"}
    assert failing(engine, replace(checked, weights="of another network")) == {"same image"}


def test_another_input_size_is_found(engine, lite0_96):
    checked = CheckedNetwork(get_backbone("efficientnet_lite0@128"), lite0_96[1].digest)
    (result,) = [r for r in examine_network(engine, checked) if not r.passed]
    assert result.rule == "size" and "128 x 128" in result.wanted and "96 x 96" in result.found


def test_reference_images_do_not_change():
    images = reference_images((40, 56))
    assert (images.min(axis=(1, 2)) == 0).all() and (images.max(axis=(1, 2)) == 255).all()
    # Expected features depend on every pixel.
    np.testing.assert_array_equal(images[:, 11, 17], [77, 255, 50, 96, 32, 102])
    assert reference_images((40, 56), "rgb").shape == (6, 40, 56, 3)


def test_a_failing_network_caches_nothing_and_a_passing_one_is_checked_once(
    images, tmp_path, use_engine, monkeypatch, run_featx
):
    checks = []

    class Counted(QuickEngine):
        def __init__(self, backbone):
            super().__init__(backbone.features)
            self.backbone = backbone

        def embed(self, pixels):
            checks.append(len(pixels))
            return super().embed(pixels)

    # Random weights have no expected features.
    settings = {"cache": tmp_path, "weights": "random", "views": 1}
    backbone = get_backbone("efficientnet_lite0@64")
    engine = FaultyEngine(Counted(backbone), "NaN")
    monkeypatch.setattr("featx.backbones.engines.make_engine", lambda *_, **__: engine)
    with ENGINES.using(Embedder.load_engine), pytest.raises(UsageError) as failure:
        featx.extract(images, "efficientnet_lite0@64", **settings)
    for part in ("on the quick engine fails the rule 'finite'", "not finite", "Nothing was cached"):
        assert part in str(failure.value)
    assert not list(tmp_path.glob("*/part-*"))
    shown = run_featx("backbones", "efficientnet_lite0@64", "--cache", tmp_path)[1]
    assert "fails: finite" in shown

    engine = Counted(backbone)
    checked = CheckedNetwork(backbone, "random-0")
    checks.clear()
    # What failed is examined again.
    for _ in range(2):
        check_network(engine, checked, tmp_path / "networks")
        assert checks == [6, 4, 3]
    words = ("backbones", "efficientnet_lite0@64", "--cache", tmp_path, "--json")
    (row,) = json.loads(run_featx(*words)[1])
    assert [each["passed"] for each in row["checks"]] == [True]
    # Other weights, colors and versions are examined.
    check_network(engine, replace(checked, weights="random-1"), tmp_path / "networks")
    assert checks == 2 * [6, 4, 3]


@pytest.mark.parametrize("engine", ["onnxruntime", "python"])
def test_a_brought_network_that_normalizes_images_itself_is_used_with_a_warning(
    engine, tmp_path, caplog
):
    def standardize(pixels):
        rows = np.asarray(pixels, dtype=np.float32)[:, ::4, ::4].reshape(len(pixels), -1)
        rows = rows - rows.mean(axis=1, keepdims=True)
        return rows / (rows.std(axis=1, keepdims=True) + 1e-6)

    settings = {"version": "1", "size": 32, "license": "MIT", "source": "this test"}
    backbone = Backbone.from_callable(standardize, name="standardizing", **settings)

    class OwnEngine:
        name = engine
        versions = staticmethod(dict)
        embed = staticmethod(standardize)

    check_network(OwnEngine(), CheckedNetwork(backbone, "1"), tmp_path)
    assert "rule 'rescaling'" in caplog.text
