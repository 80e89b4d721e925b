"""The benchmark quantises by its training images, whatever it embeds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from featx.benchmarking import run
from featx.benchmarking.grid import benchmark
from featx.errors import UsageError


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_the_training_side_alone_is_calibrated_on(images, monkeypatch, precision):
    calls = []

    def extract(given, backbones, **settings):
        calls.append((given, settings))

    monkeypatch.setattr(run, "extract", extract)
    train, test, other = (images.select(np.arange(start, start + 8)) for start in (0, 8, 16))
    material = SimpleNamespace(
        protocol=SimpleNamespace(train=train, test=test), externals={"other": other}
    )
    benchmark_run = SimpleNamespace(
        extraction={"precision": precision}, views=(4, 1), material=material
    )
    run.Run._embed(benchmark_run, ["efficientnet_lite0"])
    assert [given for given, _ in calls] == [train, test, other]
    expected = train if precision == "int8" else None
    assert all(settings.get("calibration") is expected for _, settings in calls)


def test_what_no_engine_computes_in_is_refused_at_once(images):
    with pytest.raises(UsageError, match="keras engine does not compute in int8"):
        benchmark(images, precision="int8", engine="keras")
