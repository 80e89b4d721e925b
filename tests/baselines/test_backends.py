"""The same recipes on Keras' other back ends, and in mixed precision."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from featx.backbones._keras import import_keras
from featx.baselines import training_data
from featx.baselines.train import train
from featx.errors import UsageError

# Trains, is interrupted, resumes, and prints the results, on the back end of the environment.
SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from featx.backbones._keras import import_keras
from featx.baselines.train import train
from featx.datasets.dataset import ImageDataset

pixels = np.load(sys.argv[1])
labels = np.arange(len(pixels)) % 2
patients = [f"{label}-{number // 6}" for number, label in enumerate(labels)]
images = ImageDataset.from_arrays(pixels, [f"class{c}" for c in labels], patients=patients)
settings = {"size": 32, "epochs": 3, "batch_size": 16, "augmentation": "none"}
whole = train(images, "ramirez-cnn-corrected", **settings)
keras = import_keras()
original = keras.Model.fit
class Die(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt
def fit(self, *arguments, **keywords):
    keywords["callbacks"].append(Die())
    return original(self, *arguments, **keywords)
keras.Model.fit = fit
out = Path(sys.argv[2])
try:
    train(images, "ramirez-cnn-corrected", out=out, **settings)
except KeyboardInterrupt:
    keras.Model.fit = original
resumed = train(images, "ramirez-cnn-corrected", out=out, **settings)
found = {
    "backend": import_keras().config.backend(),
    "loss": resumed.history["loss"],
    "auc": resumed.history["val_auc"],
    "difference": float(
        np.abs(resumed.predict_proba(images) - whole.predict_proba(images)).max()
    ),
}
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_recipe_trains_and_resumes_on_another_back_end(blobs, tmp_path, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    np.save(tmp_path / "pixels.npy", np.stack(blobs().sources))
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "pixels.npy"), str(tmp_path / "out")],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["backend"] == backend
    assert found["loss"][-1] < found["loss"][0]
    assert found["auc"][-1] > 0.8
    assert found["difference"] < 1e-3


def test_mixed_precision_without_a_gpu_raises(blobs, monkeypatch):
    monkeypatch.setattr(training_data, "has_gpu", lambda: False)
    with pytest.raises(UsageError, match="sees no GPU"):
        train(blobs(), "ramirez-cnn", batch_size=16, mixed_precision=True)


def test_mixed_precision_computes_in_float16_and_answers_in_float32(blobs, monkeypatch, tmp_path):
    monkeypatch.setattr(training_data, "has_gpu", lambda: True)
    config = import_keras().config
    before = config.dtype_policy().name
    # CPUs compute in float16 very slowly.
    images, settings = blobs(24), {"size": 32, "epochs": 1, "batch_size": 16}
    settings |= {"mixed_precision": True, "out": tmp_path}
    trained = train(images, "ramirez-cnn", **settings)
    assert config.dtype_policy().name == before
    layer = next(x for x in trained.network.layers if type(x).__name__ == "Conv2D")
    assert layer.compute_dtype == "float16"
    assert {str(weight.dtype) for weight in trained.network.weights} == {"float32"}
    assert trained.network.output.dtype == "float32"
    values = trained.predict_proba(blobs(9, random_state=1))
    assert np.isfinite(values).all()
    again = train(images, "ramirez-cnn", **settings)
    np.testing.assert_array_equal(values, again.predict_proba(blobs(9, random_state=1)))
