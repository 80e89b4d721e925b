from __future__ import annotations

import importlib
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featx.backbones._keras import import_keras
from featx.backbones.registry import BACKBONES, get_backbone
from featx.backbones.spec import BackboneSpec
from featx.backbones.weights import Weights, find_weights, load_base


def relative_error(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def keras_preprocessing(name):
    """The preprocessing that Keras publishes with a network."""
    import_keras()
    folder = "resnet" if name.startswith("resnet") else BACKBONES[name].keras_name
    folder = "densenet" if name.startswith("densenet") else folder
    return importlib.import_module(f"keras.applications.{folder}").preprocess_input


def check_record(backbone, base):
    """Check what the registry says of a network."""
    assert base.count_params() == backbone.parameters
    assert base.output_shape[-1] == backbone.features
    ends = [base.get_layer(stage.layer).output for stage in backbone.stages]
    assert ends[-1] is base.output
    # InceptionV3 alone does not pad, which makes its maps smaller.
    unpadded = 3 if backbone.name == "inceptionv3" else 0
    for stage, (_, *places, channels) in zip(backbone.stages, (e.shape for e in ends), strict=True):
        assert channels == stage.channels
        expected = math.ceil(base.input_shape[1] / stage.stride)
        assert all(expected - unpadded <= count <= expected for count in places)


# Portrait, landscape, small; gray and colored.
SHAPES = (
    ("gray.png", (97, 151), "L"),
    ("wide.jpg", (190, 77), "RGB"),
    ("small.png", (21, 17), "RGB"),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    generator = np.random.default_rng(0)
    for name, size, mode in SHAPES:
        noise = generator.integers(0, 256, (9, 7, 3), dtype=np.uint8)
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode).save(
            folder / name
        )
    return [folder / name for name, _, _ in SHAPES]


@pytest.fixture(autouse=True)
def no_weights_but_our_own(tmp_path, monkeypatch):
    """What lies in the developer's own cache must not decide a test."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("FEATX_WEIGHTS_DIR", raising=False)


@pytest.fixture(scope="session")
def lite0() -> BackboneSpec:
    return get_backbone("efficientnet_lite0")


@pytest.fixture(scope="session")
def lite0_weights(lite0) -> Weights:
    return find_weights(lite0)


@pytest.fixture(scope="session")
def lite0_base(lite0, lite0_weights):
    return load_base(lite0, lite0_weights)


@pytest.fixture(scope="session")
def small_mobilenet():
    """MobileNetV2 with random weights for images of 64 pixels, as its weights and its base."""
    backbone = get_backbone("mobilenetv2@64")
    weights = find_weights(backbone, "random", random_state=3)
    return backbone, weights, load_base(backbone, weights)


@pytest.fixture
def pixels_64() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (11, 64, 64)).astype(np.float32)
