import dataclasses
import inspect

import numpy as np
import pytest

from featx.backbones._keras import import_keras
from featx.backbones.networks import build_base
from featx.backbones.registry import BACKBONES, get_backbone, list_backbones, split_precision
from featx.errors import UsageError
from tests.backbones.conftest import check_record, keras_preprocessing

KERAS_NAMES = [name for name in BACKBONES if not name.startswith("efficientnet")]


def test_the_thirteen_backbones_of_the_design():
    assert list(BACKBONES) == [
        *("inceptionv3", "resnet50", "resnet101", "densenet121", "densenet169", "densenet201"),
        *("xception", "vgg16", "vgg19", "mobilenetv2"),
        *("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"),
    ]
    assert [backbone.name for backbone in list_backbones()] == list(BACKBONES)


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_preprocessing_is_that_of_keras(name):
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 5, 4, 3)).astype(np.float32)
    before = pixels.copy()
    expected = keras_preprocessing(name)(pixels.copy())
    np.testing.assert_allclose(BACKBONES[name].preprocessing(pixels), expected, atol=3e-5)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "efficientnet_lite0"])
def test_preprocessing_of_tensors_is_that_of_arrays(name):
    keras = import_keras()
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 5, 4, 3)).astype(np.float32)
    preprocessing = BACKBONES[name].preprocessing
    mapped = keras.ops.convert_to_numpy(preprocessing(keras.ops.convert_to_tensor(pixels)))
    np.testing.assert_allclose(mapped, preprocessing(pixels), atol=1e-5)
    assert preprocessing(pixels).dtype == mapped.dtype == np.float32


def test_lite_preprocessing_maps_127_to_zero_and_255_to_one(lite0):
    assert lite0.preprocessing(np.float32([[127, 255, -1]])).tolist() == [[0.0, 1.0, -1.0]]


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_published_file_and_hash_are_those_in_the_source_of_keras(name):
    source = inspect.getsource(inspect.getmodule(inspect.unwrap(keras_preprocessing(name))))
    file = BACKBONES[name].weight_file
    assert file.url.endswith(file.name)
    if name == "mobilenetv2":
        assert file.md5 is None
    else:
        assert f'"{file.md5}"' in source
        assert "https://storage.googleapis.com/tensorflow/" in source


@pytest.mark.parametrize("name", ["resnet101", "densenet169", "densenet201", "vgg19"])
def test_record_agrees_with_the_network(name):
    """Those of other networks are checked where their features are."""
    backbone = BACKBONES[name]
    base = build_base(backbone)
    check_record(backbone, base)
    assert base.input_shape == (None, *backbone.size, 3)


def test_unknown_name_is_answered_with_the_closest_one():
    with pytest.raises(UsageError, match=r"'densnet121'; did you mean 'densenet121'.*vgg19"):
        get_backbone("densnet121")
    with pytest.raises(UsageError, match=r"no backbone 'qqq' \(known: inceptionv3"):
        get_backbone("qqq")


@pytest.mark.parametrize("name", ["ResNet50", "RESNET50", "resnet50"])
def test_names_are_case_insensitive(name):
    assert get_backbone(name) is BACKBONES["resnet50"]
    assert get_backbone(f"{name}@64").size == (64, 64)
    assert split_precision(f"{name}@float16+EfficientNet-Lite0@float16") == (
        ["resnet50", "efficientnet_lite0"],
        "float16",
    )


def test_weight_names_hold_the_featx_name_the_keras_spelling_and_the_published_name():
    assert BACKBONES["inceptionv3"].weight_names == (
        "inceptionv3_notop.weights.h5",
        "inception_v3_notop.weights.h5",
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
    )
    assert len(BACKBONES["resnet50"].weight_names) == 2


@pytest.mark.parametrize("name", ["xception@", "xception@big", "xception@32", "xception@-224"])
def test_a_size_that_a_network_cannot_take_is_refused(name):
    with pytest.raises(UsageError, match="from 71 to 4,096"):
        get_backbone(name)


@pytest.mark.parametrize(
    ("name", "way_out"),
    [("xception@float16", "--precision float16"), ("xception@96@INT8", "featx quantize BACKBONE")],
)
def test_a_precision_in_a_name_points_to_its_option_or_command(name, way_out):
    with pytest.raises(UsageError, match=way_out):
        get_backbone(name)


def test_another_size_keeps_everything_else():
    plain, resized = get_backbone("resnet50"), get_backbone("resnet50@160")
    assert resized.size == (160, 160)
    assert dataclasses.replace(resized, size=plain.size) == plain
