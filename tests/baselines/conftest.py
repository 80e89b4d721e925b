from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from featx.backbones._keras import import_keras
from featx.baselines import registry
from featx.baselines.registry import get_baseline
from featx.datasets.dataset import ImageDataset


@pytest.fixture(scope="session")
def blobs() -> Callable[..., ImageDataset]:
    """Noise of which one class carries a bright blob and, of three, another a dark one."""

    def make(n: int = 96, size: int = 48, classes: int = 2, random_state: int = 0) -> ImageDataset:
        generator = np.random.default_rng(random_state)
        labels = np.arange(n) % classes
        pixels = generator.normal(110, 25, (n, size, size))
        rows, columns = np.mgrid[:size, :size]
        for image, label in zip(pixels, labels, strict=True):
            row, column = generator.uniform(0.35, 0.65, 2) * size
            distance = (rows - row) ** 2 + (columns - column) ** 2
            image += (0, 90, -90)[label] * np.exp(-distance / (2 * (size / 6) ** 2))
        return ImageDataset.from_arrays(
            np.clip(pixels, 0, 255).astype(np.uint8),
            [f"class{label}" for label in labels],
            patients=[f"{label}-{i // (3 * classes)}" for i, label in enumerate(labels)],
        )

    return make


def convolve(pixels):
    """Layers with batch normalization and dropout that are quick to trace."""
    layers = import_keras().layers
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(pixels)
    return layers.Dropout(0.2)(layers.BatchNormalization()(x))


def small(pixels, weights=None):
    layers = import_keras().layers
    x = layers.Flatten()(layers.MaxPooling2D(4)(convolve(pixels)))
    return layers.Dense(16, activation="relu")(x)


def on_a_base(pixels, weights=None):
    """A base that is frozen at first, as a backbone is."""
    keras = import_keras()
    gray = keras.Input(pixels.shape[1:])
    return keras.layers.GlobalAveragePooling2D()(keras.Model(gray, convolve(gray))(pixels))


@pytest.fixture(autouse=True, scope="session")
def small_recipes():
    """Recipes with small layers, since the mechanism is the point."""
    recipes = {
        "small": replace(get_baseline("ramirez-cnn"), name="small", body=small),
        "small-by-patient": replace(
            get_baseline("ramirez-cnn-corrected"), name="small-by-patient", body=small
        ),
        "staged": replace(
            get_baseline("finetuned:efficientnet_lite0"),
            name="staged",
            body=on_a_base,
            backbone=None,
        ),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, recipe in recipes.items():
            patch.setitem(registry._RECIPES, name, recipe)
        yield
