"""A model in a service: networks stay in memory, threads agree, a new process needs no Keras."""

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featx
from featx.features.pipeline import ENGINES, Embedder
from featx.runtime.versions import decisive_versions
from tests.benchmarking.conftest import draw
from tests.features.worker import quick_engine

BACKBONE = "efficientnet_lite0@64"

COLD = """
import json, sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
import featx
model = featx.load_model(sys.argv[1])
found = model.predict_files(sys.argv[2:3], cache=sys.argv[3])
(config,) = featx.ExtractionConfig.from_recipes(model.recipes_, 1, cache=sys.argv[3])
versions = featx.extract(sys.argv[2:3], config=config).versions
print(json.dumps([found.probabilities.tolist(), versions]))
unwanted = {"sklearn.ensemble", "skops.io", "xgboost", "dask"} & set(sys.modules)
assert not unwanted, unwanted
"""


@pytest.fixture
def loads(use_engine):
    """Backbones whose networks were loaded."""
    names = []

    def load(embedder):
        names.append(embedder.backbone.name)
        return Embedder.load_engine(embedder)

    use_engine(load)
    return names


def fit_model(cache, images):
    matrix = featx.extract(images, BACKBONE, views=1, augmentation="none", cache=cache)
    return featx.fit(matrix, "logistic", cv=2, n_jobs=1)


def new_images(folder, count):
    generator = np.random.default_rng(5)
    paths = [folder / f"new{number}.png" for number in range(count)]
    for path in paths:
        Image.fromarray(generator.integers(0, 255, (40, 40), np.uint8)).save(path)
    return paths


def test_networks_live_as_long_as_the_model(use_engine, tmp_path, monkeypatch):
    loaded = []
    use_engine(lambda embedder: loaded.append(1) or quick_engine(embedder))
    monkeypatch.setattr(ENGINES, "size", 1)
    images = draw(n=16, signal=30)
    model = fit_model(tmp_path, images)
    model.predict_files(new_images(tmp_path, 1), cache=tmp_path)
    assert len(loaded) == 1
    # Another network takes the only place of the pool; the model keeps its own.
    featx.extract(images, "efficientnet_lite0@96", views=1, augmentation="none", cache=tmp_path)
    assert len(loaded) == 2
    found = model.predict_files(np.zeros((2, 40, 40), np.uint8), cache=tmp_path)
    assert len(loaded) == 2 and len(found.names) == 2
    assert "_networks" not in pickle.loads(pickle.dumps(model)).__dict__
    model.save(tmp_path / "model.skops")
    assert "_networks" not in featx.load_model(tmp_path / "model.skops").__dict__


@pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None
    or os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="OpenVINO is not installed, or Keras not on TensorFlow",
)
def test_threads_and_a_process_without_tensorflow_give_the_same(loads, tmp_path):
    model = fit_model(tmp_path / "cache", draw(n=16, signal=30))
    model.save(tmp_path / "model.skops")
    paths = new_images(tmp_path, 8)
    alone = [model.predict_files([path], cache=tmp_path / "alone").probabilities for path in paths]
    with ThreadPoolExecutor(4) as pool:
        calls = [
            pool.submit(model.predict_files, [path], cache=tmp_path / "cache") for path in paths * 2
        ]
        together = [call.result().probabilities for call in calls]
    np.testing.assert_array_equal(together, alone * 2)
    assert len(loads) == 1

    last = paths[-1].rename(tmp_path / "last.png")
    arguments = [tmp_path / "model.skops", last, tmp_path / "cold"]
    networks = tmp_path / "cold" / "networks"
    networks.parent.mkdir()
    (tmp_path / "cache" / "networks").rename(networks)
    root = Path(featx.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", COLD, *arguments], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    probabilities, versions = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_array_equal(probabilities, alone[-1])
    assert {"keras", "tensorflow", "openvino"} <= versions.keys()
    assert versions == decisive_versions()
