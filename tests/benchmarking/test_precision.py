"""The benchmark tests what a precision costs."""

import pytest

from featx.backbones.registry import split_precision
from featx.benchmarking.benchmark import benchmark
from featx.errors import UsageError


def test_a_precision_that_no_engine_computes_in_is_refused_early(images):
    with pytest.raises(UsageError, match="openvino engine does not compute in float16"):
        benchmark(images, precision="float16", engine="openvino")


def test_joined_backbones_compute_in_one_precision():
    with pytest.raises(UsageError, match="end each name with the same precision"):
        split_precision("vgg16@float16+resnet50")


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
