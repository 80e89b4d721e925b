"""Internal shifts: an operating point between halves of the training images that differ.

Cross-validation says what an operating point costs on images like those of training. Here it is
chosen on the half whose images are smaller, wider, darker, ... than the median of their class, and
applied to the other half, in both directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.benchmarking.data import known_patients
from featx.benchmarking.learning_curve import Refit
from featx.classifiers.config import FitConfig
from featx.features.matrix import FeatureMatrix
from featx.metrics.operating_point import OperatingPoint
from featx.metrics.scores import evaluate
from featx.reporting.records import BenchmarkRow

# Of either class, on both sides.
_FEWEST_IMAGES = 20

Mask = npt.NDArray[np.bool_]


def image_halves(controls: Mapping[str, FeatureMatrix], train: FeatureMatrix) -> dict[str, Mask]:
    """Return the images above the median of their class, by each property that differs enough.

    `controls` are the features of the training images for the shortcut controls.
    """
    metadata, histogram = controls["metadata"], controls["histogram"]
    found = {name: row for row, name in enumerate(metadata.names)}
    rows = [found[name] for name in train.names]
    values = {
        "height": metadata.X[rows, 0],
        "width / height": metadata.X[rows, 2],
        "bytes per pixel": metadata.X[rows, 5],
        "brightness": histogram.X[rows] @ np.arange(histogram.X.shape[1]),
    }
    halves = {name: _above_median(each, train.labels) for name, each in values.items()}
    return {name: above for name, above in halves.items() if _enough(above, ~above, train.labels)}


def shifted_scores(
    row: BenchmarkRow, train: FeatureMatrix, chosen: Mask, config: FitConfig
) -> dict[str, Any] | None:
    """Fit a row's settings and operating point on some images, and score them on all others.

    Patients of the others are left out of training; None where too few images are left.
    """
    others = np.flatnonzero(~chosen)
    chosen = chosen & ~np.isin(train.patients, train.patients[others])
    if not _enough(chosen, ~chosen, train.labels):
        return None
    refit = Refit.of(row, train, np.flatnonzero(chosen), config)
    point = OperatingPoint.parse(config.operating_point)
    threshold = point.threshold(refit.labels == 1, refit.out_of_fold()[:, 1])
    shown = train.select_images(others)
    metrics = evaluate(
        shown.labels,
        refit.calibrated(refit.scores(shown)),
        threshold=threshold,
        class_names=shown.class_names,
        patients=known_patients(shown),
    ).metrics
    figures = {f: metrics[f].value for f in ("auc", "accuracy", "sensitivity", "specificity")}
    return {"n_train": len(refit.labels), "n": shown.n_images, **figures}


def _above_median(values: npt.NDArray, labels: npt.NDArray[np.int64]) -> Mask:
    above = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = labels == label
        above |= members & (values > np.median(values[members]))
    return above


def _enough(first: Mask, second: Mask, labels: npt.NDArray[np.int64]) -> bool:
    """Whether both sides have enough images of both classes."""
    counts = [np.bincount(labels[side], minlength=2) for side in (first, second)]
    return bool(np.min(counts) >= _FEWEST_IMAGES)
