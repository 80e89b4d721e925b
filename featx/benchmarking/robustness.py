"""Robustness: a model's figures on the test images, degraded in ten ways and five grades."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from featx.benchmarking.data import known_patients
from featx.classifiers.classifier import FeatureClassifier
from featx.datasets.dataset import ImageDataset
from featx.features.matrix import FeatureMatrix
from featx.images.degradation import DEGRADATIONS, Degraded
from featx.metrics.scores import evaluate

FIGURES = ("auc", "accuracy", "sensitivity", "specificity")

# What is measured at every point, without and with each degradation.
GRADES: tuple[tuple[str, int], ...] = (
    ("none", 0),
    *(
        (name, grade)
        for name, amounts in DEGRADATIONS.items()
        for grade in range(1, len(amounts) + 1)
    ),
)


def degraded(images: ImageDataset, name: str, grade: int) -> ImageDataset:
    """Return images under a degradation; grade 0 is none.

    Examples
    --------
    >>> images = ImageDataset.from_arrays(np.full((1, 8, 8), 200, np.uint8))
    >>> degraded(images, "outer border", 1).read(0)[4].tolist()
    [0, 0, 0, 0, 0, 0, 0, 0]
    >>> degraded(images, "none", 0) is images
    True
    """
    if not grade:
        return images
    sources: Any = tuple(Degraded(each, name, grade) for each in images.sources)
    return replace(images, sources=sources)


def degraded_figures(
    model: Callable[[], FeatureClassifier],
    embed: Callable[[ImageDataset], FeatureMatrix],
    images: ImageDataset,
    name: str,
    grade: int,
) -> dict[str, Any]:
    """Score a model on degraded images, at its operating point."""
    features, fitted = embed(degraded(images, name, grade)), model()
    metrics = evaluate(
        features.labels,
        fitted.predict_images(features),
        threshold=fitted.threshold_,
        class_names=features.class_names,
        patients=known_patients(features),
        n_bootstrap=2,
    ).metrics
    figures = {name: metrics[name].value for name in FIGURES}
    figures |= {"auc_low": metrics["auc"].low, "auc_high": metrics["auc"].high}
    known = {name: value if np.isfinite(value) else None for name, value in figures.items()}
    return {"n": features.n_images, **known}
