"""Small matrices with a signal, several views an image and several images a patient."""

from __future__ import annotations

import numpy as np

from featx.features.matrix import FeatureMatrix

RECIPE = {
    "backbone": "resnet50",
    "weights": "abc",
    "size": [224, 224],
    "augmentation": {"rotation": 7.0},
    "seed": 0,
    "colour": "grey",
    "pooling": "average",
}


def make_matrix(
    n_images=90, views=2, features=24, classes=2, strength=1.2, random_state=0, **changes
) -> FeatureMatrix:
    generator = np.random.default_rng(random_state)
    patients = np.array([f"patient{i // 2:03d}" for i in range(n_images)])
    labels = (np.arange(n_images) // 2) % classes
    centers = strength * generator.normal(size=(classes, features))
    X = centers[labels] + 1.5 * generator.normal(size=(n_images, features))
    rows = np.repeat(X, views, axis=0) + 0.7 * generator.normal(size=(n_images * views, features))
    values = {
        "X": rows.astype(np.float32),
        "image": np.repeat(np.arange(n_images), views),
        "view": np.tile(np.arange(views), n_images),
        "names": tuple(f"image{i}.png" for i in range(n_images)),
        "digests": tuple(f"{i:064x}" for i in range(n_images)),
        "labels": labels,
        "patients": patients,
        "splits": np.full(n_images, "train"),
        "class_names": ("BACTERIA", "NORMAL", "VIRUS")[:classes],
        "recipes": (RECIPE,),
    }
    return FeatureMatrix(**{**values, **changes})
