"""Every recipe, from image files to probabilities: tiny images, one epoch."""

import tarfile

import numpy as np
import pytest

from featx.baselines.registry import list_baselines
from featx.baselines.train import train
from featx.datasets.dataset import ImageDataset
from featx.datasets.synthetic import make_phantoms
from tests.conftest import SHARED

# Ensembles and the ResNets of test_collapse.py have their own; fine-tuned backbones are alike.
TESTED_ELSEWHERE = ("ramirez-resnet", "ramirez-resnet-corrected")
NAMES = [
    recipe.name
    for recipe in list_baselines()
    if not recipe.pieces
    and not recipe.name.startswith("finetuned:")
    and recipe.name not in TESTED_ELSEWHERE
]


@pytest.fixture(scope="module")
def few_images(tmp_path_factory):
    """Real X-rays if they are available, else synthetic ones."""
    folder = tmp_path_factory.mktemp("images")
    archive = SHARED / "data" / "kermany_fullsize_60.tar"
    if archive.is_file():
        with tarfile.open(archive) as file:
            file.extractall(folder, filter="data")
        images = ImageDataset.open(next(folder.rglob("NORMAL")).parent, "kermany")
        kept = np.sort(np.concatenate([np.flatnonzero(images.labels == c)[:16] for c in (0, 1)]))
        return images.select(kept)
    make_phantoms(folder, patients=16, images_per_patient=(2, 2), size=96, prevalence=0.5)
    return ImageDataset.open(folder, r"(patient\d+)")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_recipe_trains_on_a_small_slice(few_images, name):
    size = 80 if "inception" in name else 32
    trained = train(few_images, name, size=size, epochs=1, batch_size=8, weights="random")
    values = trained.predict_proba(few_images)
    assert values.shape == (32, 2)
    assert np.isfinite(values).all()
    assert np.ptp(values[:, 1]) > 0
    assert [len(column) for column in trained.history.values()] == [1] * len(trained.history)
    assert trained.parameters == trained.network.count_params() > 0
