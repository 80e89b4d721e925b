"""What the program around featx has set changes no training."""

from __future__ import annotations

import numpy as np

from featx.backbones._keras import import_keras
from featx.baselines.train import train
from tests.process_states import NETWORK_STATES, all_together

SETTINGS = {"size": 32, "epochs": 2, "batch_size": 16, "augmentation": "none"}


def test_a_network_is_trained_the_same_in_every_state(blobs):
    fresh = blobs(9, random_state=1)
    expected = train(blobs(), "ramirez-cnn-corrected", **SETTINGS)
    probabilities = expected.predict_proba(fresh)
    with all_together(NETWORK_STATES):
        trained = train(blobs(), "ramirez-cnn-corrected", **SETTINGS)
        found = trained.predict_proba(fresh)
        kept = expected.predict_proba(fresh)
    np.testing.assert_array_equal(kept, probabilities)
    # Threads share sums, whose rounding training amplifies.
    np.testing.assert_allclose(found, probabilities, atol=1e-3)
    assert len(trained.history["loss"]) == 2
    layers = [layer for layer in trained.network.layers if layer.weights]
    assert {layer.compute_dtype for layer in layers} == {"float32"}
    assert {layer.data_format for layer in layers if hasattr(layer, "data_format")} == {
        "channels_last"
    }
    assert trained.network.name == expected.network.name
    assert import_keras().config.dtype_policy().name == "float32"
