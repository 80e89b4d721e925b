"""Names are found whatever their capitals, hyphens and underscores."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import featx
from featx.backbones.registry import BACKBONES, get_backbone
from featx.baselines.registry import get_baseline
from featx.datasets.public import get_public_set
from featx.errors import UsageError, find_name


@pytest.mark.parametrize(
    ("find", "written", "stored"),
    [
        (get_backbone, "EfficientNet-Lite0", "efficientnet_lite0"),
        (get_backbone, "EfficientNetLite0", "efficientnet_lite0"),
        (get_backbone, "densenet_121@160", "densenet121"),
        (get_baseline, "Ramirez CNN", "ramirez-cnn"),
        (get_baseline, "FineTuned:ResNet-50", "finetuned:resnet50"),
        (featx.get_preset, "Fast", "fast"),
        (get_public_set, "Kermany", "kermany"),
    ],
)
def test_records_are_found_by_any_spelling(find, written, stored):
    assert find(written).name == stored


def test_configs_store_registered_names():
    spelled = featx.BenchmarkConfig().with_settings(
        backbones=["ResNet50+Dense-Net-121@160", "EfficientNet-Lite0@Float16"],
        classifiers=["SVM", "Random Forest"],
        baselines="FINETUNED:VGG-16",
        leaks="Drop",
        augmentation="Radiograph",
        normalization="CLAHE",
        pooling="GeM",
        engine="Auto",
        color="Gray",
        calibration="Isotonic",
    )
    assert spelled == featx.BenchmarkConfig().with_settings(
        backbones=["resnet50+densenet121@160", "efficientnet_lite0@float16"],
        classifiers=["svm", "random_forest"],
        baselines="finetuned:vgg16",
        leaks="drop",
        augmentation="radiograph",
        normalization="clahe",
        pooling="gem",
        engine="auto",
        color="gray",
        calibration="isotonic",
    )
    assert featx.FitConfig("Naive-Bayes").classifier == "naive_bayes"


def test_the_recipe_is_that_of_the_registered_name(quick):
    images = np.zeros((2, 40, 40), np.uint8)
    spelled = featx.extract(images, "EfficientNet-Lite0", views=1, pooling="Max")
    assert spelled.recipes == featx.extract(images, views=1, pooling="max").recipes
    extractor = featx.FeatureExtractor("EfficientNet-Lite0", pooling="Quadrants", views=1)
    assert extractor.n_features_out_ == len(extractor.get_feature_names_out()) == 4 * 1280


def test_names_that_differ_by_spelling_only_are_ambiguous(monkeypatch):
    monkeypatch.setitem(BACKBONES, "res_net50", BACKBONES["vgg16"])
    assert get_backbone("resnet50").name == "resnet50"
    with pytest.raises(UsageError, match="'ResNet50' is ambiguous; write one of: resnet50, res_"):
        get_backbone("ResNet50")


@pytest.mark.parametrize("name", ["", "-", "resnet500", 3, None])
def test_other_names_stay_unknown(name):
    with pytest.raises(UsageError, match="there is no thing"):
        find_name("thing", name, ["resnet50", "svm"])


def test_settings_of_a_benchmark_are_checked_without_scikit_learn():
    code = (
        "import sys, featx\n"
        "featx.BenchmarkConfig().with_settings(views=2)\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'xgboost', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
