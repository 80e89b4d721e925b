import json

import pytest

import featx
from featx import ExtractionConfig
from featx.errors import UsageError
from featx.features.pipeline import embedders_of
from featx.images.augmentation import Augmentation


@pytest.mark.parametrize(
    "config",
    [
        ExtractionConfig(),
        ExtractionConfig("vgg16", Augmentation(rotation=5), 3, precision="float16", strict=True),
        ExtractionConfig(["vgg16", "vgg19@96"], "none", 1, random_state=7, normalization="clahe"),
    ],
)
def test_a_config_comes_back_from_json(config):
    assert ExtractionConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_no_path_is_written_and_a_weights_file_must_be_named_again(tmp_path):
    paths = {"weights": tmp_path / "w.h5", "cache": tmp_path, "weights_dir": tmp_path}
    config = ExtractionConfig("vgg16", **paths)
    values = config.to_dict()
    assert str(tmp_path) not in json.dumps(values)
    with pytest.raises(UsageError, match="give --weights"):
        ExtractionConfig.from_dict(values)
    again = ExtractionConfig.from_dict(values, weights=tmp_path / "w.h5")
    assert again.weights == config.weights


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbones": "resnet5"}, "resnet5"),
        ({"backbones": []}, "no backbone"),
        ({"backbones": ["vgg16", "vgg16@224"]}, "repeat"),
        ({"backbones": ["vgg16", "vgg19"], "weights": "some.h5"}, "cannot serve 2"),
        ({"views": 0}, "1, the image itself, to 10,000 are"),
        ({"views": 99_999_999}, "1, the image itself, to 10,000 are"),
        ({"augmentation": "none", "views": 2}, "draws no augmented views"),
        ({"augmentation": "strong"}, "no augmentation policy 'strong'"),
        ({"random_state": -1}, "random_state=-1"),
        ({"engine": "onnx"}, "no engine 'onnx'"),
        ({"color": "grey"}, "did you mean 'gray'"),
        ({"precision": "bfloat16", "engine": "openvino"}, "does not compute in bfloat16"),
        ({"precision": "int4"}, "no precision 'int4'"),
        ({"pooling": "mean"}, "no pooling 'mean'"),
        ({"normalization": "zscore"}, "there is no"),
        ({"backbone": "vgg16"}, "no extraction setting 'backbone'; did you mean 'backbones'"),
    ],
)
def test_wrong_settings_are_refused(images, settings, message):
    with pytest.raises(UsageError, match=message):
        featx.extract(images, **settings)


def test_recipes_and_configs_are_made_from_each_other():
    config = ExtractionConfig(["vgg16", "vgg19@96"], "ramirez", 2, weights="random", pooling="max")
    recipes = [embedder.recipe.to_dict() for embedder in embedders_of(config)]
    (again,) = ExtractionConfig.from_recipes(recipes, views=2)
    assert [embedder.recipe.to_dict() for embedder in embedders_of(again)] == recipes
