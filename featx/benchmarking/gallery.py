"""Gallery: thumbnails of the most confident right and wrong predictions of one model."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featx.classifiers.predictions import Predictions
from featx.datasets.dataset import ImageDataset
from featx.errors import UnreadableImageError
from featx.explanation.heatmaps import encode, gray_image
from featx.metrics.operating_point import Threshold, decide
from featx.reporting.records import BenchmarkRow
from featx.runtime.files import put_bytes
from featx.runtime.serialization import plain_json

_SIDE = 160
_MISSES, _HITS = 12, 6


def save_gallery(
    folder: Path,
    row: BenchmarkRow,
    predictions: Predictions,
    images: ImageDataset,
) -> None:
    """Write ``gallery/gallery.json`` and small gray JPEG files, replacing those of an earlier run.

    Heat maps are written next to them as ``<same name>.heat.jpg``.
    """
    target = folder / "gallery"
    for old in gallery_files(folder):
        old.unlink()
    place = {name: index for index, name in enumerate(images.names)}
    pictures = []
    for number, (index, predicted, kind) in enumerate(pick_pictures(predictions, row.threshold)):
        name = predictions.names[index]
        try:
            thumbnail = encode(gray_image(images.read(place[name]), _SIDE), "JPEG")
        except UnreadableImageError:
            continue
        file = f"{number:02d}-{kind}.jpg"
        put_bytes(target / file, thumbnail)
        pictures.append(
            {
                "file": file,
                "path": name.encode("utf-8", "replace").decode(),
                "kind": kind,
                "truth": images.class_names[predictions.labels[index]],
                "called": images.class_names[predicted],
                "probability": float(predictions.probabilities[index, predicted]),
            }
        )
    content = plain_json({"row": row.name, "pictures": pictures})
    put_bytes(target / "gallery.json", content.encode())


def gallery_files(folder: Path) -> list[Path]:
    """List the files that `save_gallery` wrote, and their heat maps."""
    own = re.compile(r"gallery\.json|\d+-(hit|miss)(\.heat)?\.jpg")
    return [path for path in folder.glob("gallery/*") if own.fullmatch(path.name)]


def pick_pictures(predictions: Predictions, threshold: Threshold) -> list[tuple[int, int, str]]:
    """Choose the most confident wrong predictions, and right ones of every class.

    A patient appears at most once among either.
    """
    probabilities = predictions.probabilities
    predicted = decide(probabilities, threshold)
    confidence = probabilities[np.arange(len(predicted)), predicted]
    known = predictions.patients is not None
    patients = np.asarray(predictions.patients if known else predictions.names)

    def most_confident(chosen: npt.NDArray[np.bool_], most: int) -> list[int]:
        order = np.argsort(-confidence, kind="stable")
        order = order[chosen[order]]
        _, first = np.unique(patients[order], return_index=True)
        return order[np.sort(first)][:most].tolist()

    right = predicted == predictions.labels
    picked = [(index, "miss") for index in most_confident(~right, _MISSES)]
    n_classes = probabilities.shape[1]
    for klass in range(n_classes):
        hits = most_confident(right & (predicted == klass), max(1, _HITS // n_classes))
        picked += [(index, "hit") for index in hits]
    return [(index, int(predicted[index]), kind) for index, kind in picked]
