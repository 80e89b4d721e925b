import contextlib
import importlib.util
import io
import os
import subprocess
import sys

import numpy as np
import pytest

from featx.backbones import engines, quantization
from featx.backbones._keras import import_keras
from featx.backbones.engines import KerasEngine, make_engine
from featx.backbones.quantization import make_quantized_engine, quantize
from featx.backbones.registry import get_backbone
from featx.backbones.weights import load_base
from featx.errors import FeatxError, MissingExtraError, UsageError
from tests.backbones.conftest import relative_error

needs_nncf = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    or not all(importlib.util.find_spec(name) for name in ("nncf", "openvino")),
    reason="NNCF or OpenVINO is not installed, or Keras not on TensorFlow",
)

# Of the largest feature: half a unit in the last of 11 and of 8 bits is 5e-4 and 4e-3, and errors
# of some fifty layers add up; noise as pixels is the worst case, measured at a half of these.
TOLERANCES = {"float16": 0.03, "bfloat16": 0.25}


@pytest.fixture(scope="module")
def small_lite0(lite0_weights):
    """EfficientNet-Lite0 with its real weights for images of 64 pixels."""
    backbone = get_backbone("efficientnet_lite0@64")
    return backbone, lite0_weights, load_base(backbone, lite0_weights)


@pytest.mark.parametrize("precision", list(TOLERANCES))
def test_short_floats_are_near_float32(small_lite0, pixels_64, precision, monkeypatch, caplog):
    backbone, weights, base = small_lite0
    small = {"input_shape": (64, 64)}
    monkeypatch.setattr(
        engines, "load_base", lambda *a, **options: load_base(*a, **small, **options)
    )
    engine = make_engine(backbone, weights, precision=precision)
    assert engine.name == "keras"
    assert {layer.compute_dtype for layer in engine.base.layers} == {precision}
    assert {weight.dtype for weight in engine.base.weights} == {"float32"}
    assert import_keras().config.dtype_policy().name == "float32"
    assert f"{precision} is for GPUs" in " ".join(caplog.text.split())

    pixels_64 = pixels_64[:3]
    engine.batch_size = 3
    expected = KerasEngine(base, backbone, batch_size=3).embed(pixels_64)
    found = engine.embed(pixels_64)
    assert found.dtype == np.float32
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99
    assert 1e-5 < relative_error(found, expected) < TOLERANCES[precision]
    np.testing.assert_array_equal(engine.embed(pixels_64[[2, 0]]), found[[2, 0]])


def test_on_a_gpu_there_is_no_warning(small_mobilenet, monkeypatch, caplog):
    backbone, weights, base = small_mobilenet
    monkeypatch.setattr(engines, "load_base", lambda *a, **options: base)
    monkeypatch.setattr(engines, "_gpu_visible", lambda: True)
    assert make_engine(backbone, weights, precision="float16").batch_size == 32
    assert caplog.text == ""


def test_int8_without_its_extra(small_mobilenet, pixels_64, monkeypatch):
    backbone, _, base = small_mobilenet
    monkeypatch.setattr(quantization, "openvino_installed", lambda: False)
    with pytest.raises(MissingExtraError, match=r'pip install "featx\[int8\]"'):
        quantize(base, backbone, pixels_64)
    with pytest.raises(MissingExtraError, match=r'pip install "featx\[int8\]"'):
        make_quantized_engine(b"", backbone, "multi_depth")


# Embeds in a process that has nothing but the bytes of the network.
WITHOUT_KERAS = """
import sys
from pathlib import Path
import numpy as np
from featx.backbones.quantization import make_quantized_engine
from featx.backbones.registry import get_backbone
backbone = get_backbone("efficientnet_lite0@64")
engine = make_quantized_engine(Path(sys.argv[1]).read_bytes(), backbone, "multi_depth")
np.save(sys.argv[2], engine.embed(np.load(sys.argv[3])))
assert "keras" not in sys.modules and "tensorflow" not in sys.modules
assert "nncf" not in sys.modules
"""


@pytest.fixture(scope="module")
def network(small_lite0):
    backbone, _, base = small_lite0
    views = np.random.default_rng(1).uniform(0, 255, (6, 64, 64)).astype(np.float32)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        quantized = quantize(base, backbone, views, "multi_depth")
    assert printed.getvalue() == ""
    return quantized


@needs_nncf
class TestInt8:
    def test_it_comes_near_float32_and_its_numbers_take_a_quarter(
        self, network, small_lite0, pixels_64
    ):
        backbone, _, base = small_lite0
        expected = KerasEngine(base, backbone, pooling="multi_depth").embed(pixels_64)
        found = make_quantized_engine(network, backbone, "multi_depth").embed(pixels_64)
        assert (found.dtype, found.shape) == (np.float32, expected.shape)
        # Rounding to 255 steps is far from nothing, and far from another network.
        assert 1e-3 < relative_error(found, expected) < 0.5
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95
        assert len(network) < 0.4 * 4 * backbone.parameters

    def test_bits_of_a_row_depend_on_its_image_alone(self, network, small_lite0, pixels_64):
        engine = make_quantized_engine(network, small_lite0[0], "multi_depth")
        features = engine.embed(pixels_64)
        order = np.random.default_rng(1).permutation(11)
        np.testing.assert_array_equal(engine.embed(pixels_64[order]), features[order])
        np.testing.assert_array_equal(engine.embed(pixels_64[[5]]), features[[5]])
        assert engine.embed(pixels_64[:0]).shape == (0, 4048)
        assert list(engine.versions()) == ["openvino", "cpu"]

    def test_a_fresh_process_needs_its_bytes_alone(self, network, small_lite0, pixels_64, tmp_path):
        (tmp_path / "network").write_bytes(network)
        np.save(tmp_path / "pixels.npy", pixels_64)
        paths = [tmp_path / name for name in ("network", "features.npy", "pixels.npy")]
        process = subprocess.run(
            [sys.executable, "-c", WITHOUT_KERAS, *map(str, paths)],
            env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
        expected = make_quantized_engine(network, small_lite0[0], "multi_depth").embed(pixels_64)
        np.testing.assert_array_equal(np.load(tmp_path / "features.npy"), expected)
        assert not (tmp_path / "intel").exists()

    def test_wrong_use_is_answered_clearly(self, network, small_lite0, pixels_64):
        backbone, _, base = small_lite0
        engine = make_quantized_engine(network, backbone, "multi_depth")
        with pytest.raises(UsageError, match="calibrated in int8 on images of 1 channel"):
            engine.embed(np.zeros((1, 64, 64, 3), np.float32))
        with pytest.raises(UsageError, match="loaded for images of 64 x 64"):
            engine.embed(np.zeros((1, 32, 32), np.float32))
        with pytest.raises(UsageError, match="no image to calibrate"):
            quantize(base, backbone, pixels_64[:0])
        for damaged in (b"", network[:1000]):
            with pytest.raises(FeatxError, match="not a network kept by featx"):
                make_quantized_engine(damaged, backbone, "multi_depth")
