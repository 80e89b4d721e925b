"""Every recipe, from images to probabilities: tiny images, one epoch."""

import numpy as np
import pytest

from featx.baselines.registry import list_baselines
from featx.baselines.train import train

# Ensembles and the ResNets of test_collapse.py have their own; fine-tuned backbones are alike.
TESTED_ELSEWHERE = ("ramirez-resnet", "ramirez-resnet-corrected")
NAMES = [
    recipe.name
    for recipe in list_baselines()
    if not recipe.pieces
    and not recipe.name.startswith("finetuned:")
    and recipe.name not in TESTED_ELSEWHERE
]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_recipe_trains_on_a_small_slice(blobs, name):
    images, size = blobs(32), 80 if "inception" in name else 32
    trained = train(images, name, size=size, epochs=1, batch_size=8, weights="random")
    values = trained.predict_proba(images)
    assert values.shape == (32, 2)
    assert np.isfinite(values).all()
    assert np.ptp(values[:, 1]) > 0
    assert [len(column) for column in trained.history.values()] == [1] * len(trained.history)
    assert trained.parameters == trained.network.count_params() > 0
