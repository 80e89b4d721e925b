"""The report of 2022's collapse, made to happen and mended, on weights made on the spot.

A network with random kernels whose batch norm holds the statistics of the images stands for a
pretrained one: as there, activations are well scaled until weights move under statistics that do
not follow.
"""

import numpy as np
import pytest

from featx.backbones._keras import import_keras
from featx.backbones.networks import build_base, fill_randomly
from featx.backbones.registry import get_backbone
from featx.baselines.train import train

SIZE = 32


@pytest.fixture(scope="module")
def images(blobs):
    return blobs(128, SIZE)


@pytest.fixture(scope="module")
def fitting_weights(images, tmp_path_factory):
    keras = import_keras()
    backbone = get_backbone("resnet50")
    base = build_base(backbone, (SIZE, SIZE))
    fill_randomly(base, random_state=0)
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    gray = np.stack(images.sources)[..., np.newaxis].astype(np.float32)
    base(backbone.preprocessing(np.repeat(gray, 3, axis=3)), training=True)
    path = tmp_path_factory.mktemp("weights") / "resnet50_notop.weights.h5"
    base.save_weights(path)
    return path


@pytest.mark.slow
def test_seed_resnet_collapses_and_is_told_why(images, fitting_weights):
    trained = train(
        images, "ramirez-resnet", size=SIZE, batch_size=16, epochs=2, weights=fitting_weights
    )
    # As in the report: training goes well, validation calls everything one class.
    assert trained.history["accuracy"][-1] > 0.85
    assert trained.history["val_majority"][-1] == 1
    collapse, explosion = trained.diagnosis
    assert collapse.startswith("Collapsed: all 26 validation images are called class")
    assert "right for the 50 % that are" in collapse
    assert collapse.endswith("The first epoch to do so is 1 of 2.")
    assert explosion.startswith("Validation loss exploded in epoch 1: ")


@pytest.mark.slow
def test_seed_resnet_corrected_does_not(images, fitting_weights):
    trained = train(
        images,
        "ramirez-resnet-corrected",
        size=SIZE,
        batch_size=16,
        epochs=8,
        weights=fitting_weights,
    )
    # An epoch whose loss explodes depends on the machine's rounding, and is not kept.
    assert not any(finding.startswith("Collapsed") for finding in trained.diagnosis)
    assert trained.history["val_auc"][trained.best_epoch - 1] > 0.9
    assert trained.history["val_majority"][trained.best_epoch - 1] < 1
