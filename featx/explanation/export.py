"""Explanations as files: an overlay an image, a contact sheet, and the numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UnreadableImageError
from featx.explanation.heatmaps import contact_sheet, encode, overlay, picture, shared_scale
from featx.runtime.files import put_bytes
from featx.runtime.progress import progress
from featx.runtime.serialization import plain_json

if TYPE_CHECKING:
    from PIL import Image

    from featx.classifiers.classifier import FeatureClassifier
    from featx.explanation.evidence import Explainer, Explanation

__all__ = ["SHEET", "add_heat_maps", "explain_all", "write_explanations"]

FORMAT = 1
SHEET = "contact_sheet.png"
NUMBERS = "explanations.json"

# More tiles than this are no longer taken in at a glance.
_MOST_TILES = 48


@dataclass(frozen=True)
class Explained:
    """Explanations of some images, and which could not be had."""

    explanations: list[tuple[int, Explanation]]
    unreadable: list[tuple[str, str]]


def explain_all(explainer: Explainer, images: ImageDataset, indices: Sequence[int]) -> Explained:
    """Explain images, going on past those that cannot be read."""
    explained = Explained([], [])
    with progress("Explaining", len(indices), "images") as advance:
        for index in indices:
            try:
                explained.explanations.append((index, explainer.explain(images, index)))
            except UnreadableImageError as error:
                explained.unreadable.append((images.names[index], str(error)))
            advance()
    return explained


def write_explanations(
    explainer: Explainer, images: ImageDataset, out: Path, *, limit: int = 24, model: str = ""
) -> dict[str, Any]:
    """Write overlays, a contact sheet and ``explanations.json``."""
    from featx.explanation.evidence import METHODS

    explained = explain_all(explainer, images, _evenly(len(images), limit))
    found = explained.explanations
    if not found:
        name, reason = (*explained.unreadable, ("none", "there is no image"))[0]
        raise FeatxError(f"no image could be read; {name} for one: {reason}")
    scale = shared_scale([each.map for _, each in found])
    entries, tiles, captions = [], [], []
    for number, (index, each) in enumerate(found, 1):
        file = _file_name(number, each.name)
        pixels = images.read(index)
        lines = (each.name, *_told(each, explainer.model))
        put_bytes(out / file, encode(picture(pixels, each.map, scale, each.toward, lines)))
        entries.append(_entry(file, each, explainer.method, explainer.model))
        if number <= _MOST_TILES:
            tiles.append(overlay(pixels, each.map, scale))
            captions.append(lines)
    toward = {each.toward for _, each in found}
    sheet = contact_sheet(
        tiles,
        captions,
        found[0][1].toward if len(explainer.model.classes_) == 2 else None,
        scale,
        f"Where {model or 'the model'} looked: {explainer.method}",
    )
    put_bytes(out / SHEET, encode(sheet))
    content = {
        "format": FORMAT,
        "model": model,
        "method": explainer.method,
        "about": METHODS[explainer.method],
        "toward": sorted(toward),
        "full_color_at": scale,
        "contact_sheet": SHEET,
        "images": entries,
        "unreadable": [{"path": path, "reason": why} for path, why in explained.unreadable],
    }
    put_bytes(out / NUMBERS, plain_json(content).encode("utf-8", "surrogateescape"))
    return content


def add_heat_maps(
    folder: Path, model: FeatureClassifier, images: ImageDataset, **settings: Any
) -> int:
    """Lay heat maps beside the pictures of a benchmark's gallery, where they are exact."""
    from featx.explanation.evidence import ACTIVATION, Explainer

    explainer = Explainer(model, **settings)
    if explainer.method != ACTIVATION:
        return 0
    gallery = folder / "gallery"
    content = json.loads((gallery / "gallery.json").read_text(encoding="utf-8"))
    place = {name.encode("utf-8", "replace").decode(): i for i, name in enumerate(images.names)}
    files = {place[shown["path"]]: shown["file"] for shown in content["pictures"]}
    found = explain_all(explainer, images, list(files)).explanations
    scale = shared_scale([each.map for _, each in found]) if found else 1.0
    for index, each in found:
        laid: Image.Image = overlay(images.read(index), each.map, scale, _GALLERY_SIDE)
        put_bytes(gallery / f"{Path(files[index]).stem}.heat.jpg", encode(laid, "JPEG"))
    return len(found)


# As long as the gallery's thumbnails.
_GALLERY_SIDE = 160


def _evenly(n: int, limit: int) -> list[int]:
    if not 0 < limit < n:
        return list(range(n))
    return np.linspace(0, n - 1, limit).round().astype(int).tolist()


def _file_name(number: int, name: str) -> str:
    """Name a file after an image: its number keeps it apart, no letter leads elsewhere."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", PurePosixPath(name).stem)
    return f"{number:04d}-{stem[:60]}.png"


def _told(each: Explanation, model: FeatureClassifier) -> tuple[str, str]:
    place = [str(name) for name in model.classes_].index(each.toward)
    return (
        f"called {each.label}; {each.toward} {each.probabilities[place]:.3f}",
        f"decision {each.decision:+.2f}"
        + ("" if each.bias is None else f" (map {each.map.mean():+.2f}, bias {each.bias:+.2f})"),
    )


def _entry(file: str, each: Explanation, method: str, model: FeatureClassifier) -> dict[str, Any]:
    classes = [str(name) for name in model.classes_]
    return {
        "path": each.name,
        "file": file,
        "label": each.label,
        "probabilities": dict(zip(classes, each.probabilities.tolist(), strict=True)),
        "method": method,
        "toward": each.toward,
        "decision_value": each.decision,
        "bias": each.bias,
        "map_mean_plus_bias": each.total,
        "map": each.map.tolist(),
    }
