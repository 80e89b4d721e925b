import numpy as np
import pytest

from featx.backbones import engines
from featx.backbones._keras import import_keras
from featx.backbones.engines import KerasEngine, make_engine
from featx.backbones.registry import get_backbone
from featx.backbones.weights import load_base
from tests.backbones.conftest import relative_error

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
