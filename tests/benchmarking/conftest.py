import csv
from types import SimpleNamespace

import numpy as np
import pytest

from featx.backbones import feature_maps
from featx.baselines.registry import get_baseline
from featx.datasets.dataset import ImageDataset

FAST = {"classifiers": ["naive_bayes"], "views": 1, "test_size": 0.3, "cv": 3}


class GridEngine:
    """Replacement of a network: brightness in a grid of 16 x 16, for any weights."""

    name = "grid"

    def __init__(self, n_features):
        self.n_features = n_features

    def versions(self):
        return {"grid": "1"}

    def embed(self, pixels):
        n, side = len(pixels), pixels.shape[1] // 16
        cells = pixels[:, : 16 * side, : 16 * side].reshape(n, 16, side, 16, side)
        features = np.zeros((n, self.n_features), np.float32)
        features[:, :256] = cells.mean(axis=(2, 4)).reshape(n, 256)
        return features


class GridMaps(GridEngine):
    """Maps of two places whose mean are the features of `GridEngine`."""

    def of(self, pixels):
        features = self.embed(pixels[None])[0]
        return [np.stack([0.5 * features, 1.5 * features])[None].astype(np.float64)]


@pytest.fixture
def quick(monkeypatch, use_engine):
    """Embed, and explain, without a network."""
    use_engine(lambda embedder: GridEngine(embedder.backbone.features))
    monkeypatch.setattr(feature_maps, "make_maps", lambda backbone, *_: GridMaps(backbone.features))


def draw(random_state=0, n=120, classes=("ill", "well"), signal=90, splits=None):
    """Noise, two images a patient; each class but the last is bright in a place of its own."""
    generator = np.random.default_rng(random_state)
    labels = np.arange(n) // 2 % len(classes)
    pixels = generator.normal(90, 40, (n, 32, 32))
    for label in range(len(classes) - 1):
        top = 4 + 12 * label
        pixels[labels == label, top : top + 8, 8:20] += signal
    return ImageDataset.from_arrays(
        np.clip(pixels, 0, 255).astype(np.uint8),
        labels,
        class_names=classes,
        patients=[f"s{random_state}p{number // 2:03d}" for number in range(n)],
        splits=splits,
    )


def read_scores(path, class_names):
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    labels = [class_names.index(line["label"]) for line in lines]
    shares = [[float(line[f"probability_{name}"]) for name in class_names] for line in lines]
    return lines, labels, shares


@pytest.fixture
def trained(monkeypatch):
    """Train no network, but take one that says what the test wants."""

    def set_up(predict, validation_auc=0.7, diagnosis=(), write=lambda images, out: None):
        def train(images, name, *, out, **settings):
            out.mkdir(parents=True)
            (out / "network.keras").write_bytes(b"a network")
            write(images, out)
            return SimpleNamespace(
                recipe=get_baseline(name),
                network=SimpleNamespace(count_params=lambda: 1234),
                predict_proba=predict,
                threshold=0.5,
                history={"val_auc": [0.5, validation_auc]},
                best_epoch=2,
                seconds=1.0,
                diagnosis=list(diagnosis),
            )

        monkeypatch.setattr("featx.baselines.train.train", train)

    return set_up
