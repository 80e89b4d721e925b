"""The benchmark quantizes on its training images and tests what a precision costs."""

import numpy as np
import pytest

from featx.backbones.registry import split_precision
from featx.benchmarking import embedding
from featx.benchmarking.benchmark import benchmark
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.data import DataSplits, TrainTestData
from featx.benchmarking.tuned_rows import TunedData
from featx.errors import UsageError


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_int8_is_quantized_on_training_images_only(images, monkeypatch, precision):
    calls = []

    def extract(given, config, quantization, client):
        calls.append((given, config.precision, quantization))

    monkeypatch.setattr(embedding, "extract", extract)
    other, number = images.select(np.arange(16, 24)), np.arange(len(images))
    splits = DataSplits(images, (number >= 8) & (number < 16), number < 8, 0.2, 0)
    config = BenchmarkConfig().with_settings(precision=precision)
    features = TrainTestData(splits.train, splits.test, {"other": other})
    tuned = TunedData(features, ("efficientnet_lite0",))
    embedding.Embedder(config).embed_sets(config.row_backbones[0], tuned)
    expected = splits.train if precision == "int8" else None
    assert calls == [(each, precision, expected) for each in (splits.train, splits.test, other)]


def test_a_precision_that_no_engine_computes_in_is_refused_early(images):
    with pytest.raises(UsageError, match="keras engine does not compute in int8"):
        benchmark(images, precision="int8", engine="keras")


def test_joined_backbones_compute_in_one_precision():
    with pytest.raises(UsageError, match="end each name with the same precision"):
        split_precision("vgg16@int8+resnet50")


def test_one_table_holds_both_precisions(images, tmp_path):
    table = benchmark(
        images,
        ["efficientnet_lite0", "efficientnet_lite0@float16"],
        "logistic",
        views=1,
        controls=False,
        learning_curve=False,
        cache=tmp_path,
        out=tmp_path / "out",
    )
    plain, short = table
    assert [row.recipes[0].get("precision") for row in table] == [None, "float16"]
    assert short.name == "efficientnet_lite0@float16-logistic"
    assert short.float32.other == plain.name
    assert abs(short.float32.differences["auc"].value) < 0.1
