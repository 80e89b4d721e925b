"""Keras files: features against Keras' own, and files that are refused."""

import numpy as np
import pytest

from featx.backbones._keras import import_keras
from featx.backbones.engines import make_engine
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights
from featx.errors import UsageError
from tests.backbones.onnx_networks import CARD, write_card


def write_keras(path, build):
    """Save the model of a function of Keras and of an input of free size."""
    keras = import_keras()
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, build(keras, inputs))
    model.save(path)
    return model


def build_maps(keras, inputs):
    maps = keras.layers.Conv2D(6, 4, strides=4, activation="relu", name="maps")(inputs)
    return [keras.layers.GlobalAveragePooling2D(name="vector")(maps), maps]


def test_features_are_those_of_keras(tmp_path, generator):
    file = tmp_path / "own.keras"
    model = write_keras(file, build_maps)
    write_card(file, size=16, output="maps", mean=0.5, scale=0.25, color="bgr")
    pixels = generator.uniform(0, 255, (3, 16, 16, 3)).astype(np.float32)
    vector, maps = (np.asarray(each) for each in model((pixels[..., ::-1] / 255 - 0.5) / 0.25))
    backbone = get_backbone(f"keras:{file}")
    assert (backbone.features, backbone.parameters) == (6, 294)
    for engine in ("keras", "openvino"):
        for pooling, expected in (("average", vector), ("max", maps.max(axis=(1, 2)))):
            network = make_engine(
                backbone, find_weights(backbone), engine, pooling, networks=tmp_path / "kept"
            )
            assert network.name == engine
            np.testing.assert_allclose(network.embed(pixels), expected, rtol=1e-4, atol=1e-5)
    kept = {path.suffix for path in (tmp_path / "kept").iterdir()}
    assert kept == {".zip", ".json"}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda keras, inputs: keras.layers.Lambda(lambda x: x * 2)(inputs), "code of its own"),
        (build_maps, r"lacks license, output \(one of vector, maps\)"),
    ],
)
def test_code_and_open_questions_are_refused(tmp_path, build, message):
    file = tmp_path / "own.keras"
    write_keras(file, build)
    write_card(file, size=16, license=None)
    with pytest.raises(UsageError, match=message):
        get_backbone(f"keras:{file}")


def test_a_damaged_file_is_named(tmp_path):
    file = tmp_path / "own.keras"
    write_keras(file, build_maps)
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(UsageError, match=r"own\.keras cannot be read"):
        get_backbone(f"keras:{write_card(file, size=16, source=CARD['source'])}")
