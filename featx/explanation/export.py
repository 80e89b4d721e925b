"""Explanations of several images, and their files: overlays, a contact sheet, the numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.audit.findings import Finding
from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.inference import audited, log_findings, training_views
from featx.classifiers.model_file import load_model
from featx.datasets.conversion import as_images
from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UsageError
from featx.explanation.evidence import ACTIVATION, METHODS, Explainer, Explanation
from featx.explanation.heatmaps import contact_sheet, encode, overlay, picture, shared_scale
from featx.metrics.operating_point import Threshold
from featx.runtime.files import check_output, put_bytes
from featx.runtime.progress import progress
from featx.runtime.serialization import plain_json

FORMAT = 1
SHEET = "contact_sheet.png"
NUMBERS = "explanations.json"

# Pixels of the gallery's thumbnails.
_GALLERY_SIDE = 160

_MAX_TILES = 48


@dataclass(frozen=True, eq=False, repr=False)
class Explanations(Sequence[Explanation]):
    """Hold explanations of several images that `explain` returns, one per readable image.

    Images that could not be read are named with the reason; `findings` say which of the images and
    patients the model was trained on.
    """

    explanations: tuple[Explanation, ...]
    unreadable: tuple[tuple[str, str], ...]
    # "class activation map" (exact) or "occlusion".
    method: str
    class_names: tuple[str, ...]
    threshold: Threshold
    images: ImageDataset
    # Places of the explained images in `images`.
    indices: tuple[int, ...]
    # For titles.
    model: str = ""
    findings: tuple[Finding, ...] = ()
    # Number of views that the probabilities are averaged over.
    views: int = 1
    typicality: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.explanations)

    def __getitem__(self, index: Any) -> Any:
        return self.explanations[index]

    def __repr__(self) -> str:
        left_out = f", {len(self.unreadable):,} unreadable" if self.unreadable else ""
        return f"Explanations({len(self):,} images by {self.method}{left_out})"

    @property
    def scale(self) -> float:
        """Value drawn in full color, the same for all images."""
        return shared_scale([each.map for each in self])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as ``explanations.json`` holds them."""
        return {
            "format": FORMAT,
            "model": self.model,
            "method": self.method,
            "about": f"{METHODS[self.method]} Probabilities are those of `featx predict`, of "
            f"scores averaged over {self.views} views; a map and its decision value are of the "
            "original view.",
            "threshold": self.threshold,
            "toward": sorted({each.toward for each in self}),
            "full_color_at": self.scale,
            "contact_sheet": SHEET,
            "images": [
                {
                    "path": each.name,
                    "file": _file_name(number, each.name),
                    "label": each.label,
                    "probabilities": dict(
                        zip(self.class_names, each.probabilities.tolist(), strict=True)
                    ),
                    "typicality": None if self.typicality is None else self.typicality[number - 1],
                    "method": self.method,
                    "toward": each.toward,
                    "decision_value": each.decision,
                    "bias": each.bias,
                    "map_mean_plus_bias": each.total,
                    "map": each.map.tolist(),
                }
                for number, each in enumerate(self, 1)
            ],
            "findings": [finding.to_dict() for finding in self.findings],
            "unreadable": [{"path": path, "reason": why} for path, why in self.unreadable],
        }

    def save(self, out: str | Path) -> None:
        """Write one overlay per image, a contact sheet and ``explanations.json`` into a folder."""
        out, scale = Path(out), self.scale
        for old in _read_numbers(out).get("images", []):
            # Only the file's own name: nothing outside this folder is removed.
            (out / Path(str(old["file"])).name).unlink(missing_ok=True)
        tiles, captions = [], []
        for number, (index, each) in enumerate(zip(self.indices, self, strict=True), 1):
            pixels = self.images.read(index)
            lines = (each.name, *self._caption(number - 1, each))
            image = picture(pixels, each.map, scale, each.toward, lines)
            put_bytes(out / _file_name(number, each.name), encode(image))
            if number <= _MAX_TILES:
                tiles.append(overlay(pixels, each.map, scale))
                captions.append(lines)
        sheet = contact_sheet(
            tiles,
            captions,
            self[0].toward if len(self.class_names) == 2 else None,
            scale,
            f"Decisions of {self.model or 'the model'}: {self.method}",
        )
        put_bytes(out / SHEET, encode(sheet))
        content = plain_json(self.to_dict())
        put_bytes(out / NUMBERS, content.encode("utf-8", "surrogateescape"))

    def _caption(self, place: int, each: Explanation) -> tuple[str, str, str]:
        """Write the predicted class with its probability, the reason, and the decision value."""
        probability = dict(zip(self.class_names, each.probabilities, strict=True))
        reason = f"the most probable of {len(self.class_names)} classes"
        if isinstance(self.threshold, tuple):
            cutoff = dict(zip(self.class_names, self.threshold, strict=True))[each.label]
            reason = f"{probability[each.label] / cutoff:.2f} times its cutoff {cutoff:.3f}"
        elif self.threshold is not None:
            last = probability[self.class_names[-1]]
            sign = ">=" if last >= self.threshold else "<"
            reason = f"{self.class_names[-1]} {last:.3f} {sign} threshold {self.threshold:.3f}"
        parts = "" if each.bias is None else f" (map {each.map.mean():+.2f}, bias {each.bias:+.2f})"
        known = self.typicality
        typicality = "" if known is None else f", typicality {known[place]:.3f}"
        return (
            f"{each.label}, probability {probability[each.label]:.3f}{typicality}",
            reason,
            f"decision {each.decision:+.2f}{parts}",
        )


def explain(
    model: FeatureClassifier | str | Path,
    images: Any,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    limit: int = 24,
    weights: str | Path = "imagenet",
    weights_dir: str | Path | None = None,
    cache: str | Path | None = None,
    engine: str = "auto",
    **rules: Any,
) -> Explanations:
    """Map which places of images a model's decisions come from.

    Use it to check that a model does not decide by borders, letters or devices. Logistic
    regression and the linear support vector machine on average-pooled features have exact class
    activation maps; every other model is explained by occlusion, which takes about fifty times as
    long.

    Parameters
    ----------
    model : FeatureClassifier or path-like
        Model fitted on a feature matrix, or its file.
    images : path-like, sequence, data frame, array or ImageDataset
        Images in any form, labeled or not.
    out : path-like, optional
        Folder for overlays, contact sheet and numbers; by default nothing is written.
    overwrite : bool, default=False
        Whether to replace explanations of other images or another model in `out`, which are an
        error otherwise.
    limit : int, default=24
        Greatest number of images, chosen evenly from first to last; 0 for all.
    weights, weights_dir, cache, engine
        As in `featx.extract`; the weights must be those that the model was trained with.
    **rules
        Rules by which images are opened, such as ``columns`` and ``root``
        (`featx.datasets.rules.OpeningRules`).

    Returns
    -------
    Explanations

    Raises
    ------
    UsageError
        If the model was not fitted on features of networks in float32, or other weights are found
        than those it was trained with, or `out` holds other explanations.
    FeatxError
        If no image can be read.

    Examples
    --------
    >>> featx.explain("svm.skops", "new_images", out="explained")  # doctest: +SKIP
    Explanations(24 images by class activation map)
    """
    name = ""
    if out is not None:
        check_output(out, "folder")
    if not isinstance(model, FeatureClassifier):
        name, model = Path(model).stem, load_model(model)
    dataset = as_images(images, labeled=False, **rules)
    network: dict[str, Any] = {"weights": weights, "weights_dir": weights_dir}
    network |= {"cache": cache, "engine": engine}
    explainer = Explainer(model, **network)
    n = len(dataset)
    indices = np.linspace(0, n - 1, limit if 0 < limit < n else n).round().astype(int)
    if out is not None and not overwrite:
        names = [dataset.names[index] for index in indices]
        _check_folder(Path(out), name, explainer, names)
    predictions = audited(model, dataset.select(indices), **network)
    unreadable = dict(predictions.unreadable)
    kept = [index for index in indices.tolist() if dataset.names[index] not in unreadable]
    if not kept:
        path, reason = (*unreadable.items(), ("none", "there is no image"))[0]
        raise FeatxError(f"no image could be read, among them {path}: {reason}; give readable ones")
    labels = predictions.predicted_names.tolist()
    explanations = Explanations(
        explanations=_explain_all(explainer, dataset, kept, predictions.probabilities, labels),
        unreadable=tuple(predictions.unreadable),
        method=explainer.method,
        class_names=tuple(predictions.class_names),
        threshold=predictions.threshold,
        images=dataset,
        indices=tuple(kept),
        model=name,
        findings=tuple(predictions.findings),
        views=training_views(model),
        typicality=predictions.typicality,
    )
    log_findings(explanations.findings)
    if out is not None:
        explanations.save(out)
    return explanations


def _read_numbers(out: Path) -> dict[str, Any]:
    """Read the numbers of earlier explanations; empty where there are none."""
    try:
        return json.loads((out / NUMBERS).read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError):
        return {}


def _check_folder(out: Path, model: str, explainer: Explainer, names: Sequence[str]) -> None:
    """Refuse a folder that holds explanations of other images or another model."""
    old = _read_numbers(out)
    if not old:
        return
    now = {"model": model, "method": explainer.method, "threshold": explainer.model.threshold_}
    changed = [name for name, value in now.items() if old.get(name) != value]
    paths = {entry["path"] for name in ("images", "unreadable") for entry in old[name]}
    if not paths <= set(names):
        changed.append("images")
    if changed:
        raise UsageError(
            f"{out} holds other explanations ({', '.join(f'other {n}' for n in changed)}); give "
            "another --out, or --overwrite (overwrite=True) to replace them"
        )


def _explain_all(
    explainer: Explainer,
    images: ImageDataset,
    indices: Sequence[int],
    probabilities: Iterable[npt.NDArray[np.float64] | None],
    labels: Iterable[str | None],
) -> tuple[Explanation, ...]:
    """Explain decisions that are given; where they are None, those on the original view."""
    found = []
    with progress("Explaining", len(indices), "images") as advance:
        for index, row, label in zip(indices, probabilities, labels, strict=True):
            found.append(
                explainer.explain(images, index, row, None if label is None else str(label))
            )
            advance()
    return tuple(found)


def add_heat_maps(
    folder: Path, model: FeatureClassifier, images: ImageDataset, **settings: Any
) -> None:
    """Write exact heat maps of the pictures in a benchmark's gallery; none where inexact."""
    explainer = Explainer(model, **settings)
    if explainer.method != ACTIVATION:
        return
    gallery = folder / "gallery"
    content = json.loads((gallery / "gallery.json").read_text(encoding="utf-8"))
    place = {name.encode("utf-8", "replace").decode(): i for i, name in enumerate(images.names)}
    pictures = content["pictures"]
    indices = [place[shown["path"]] for shown in pictures]
    called = [shown["called"] for shown in pictures]
    found = _explain_all(explainer, images, indices, [None] * len(indices), called)
    scale = shared_scale([each.map for each in found])
    for index, shown, each in zip(indices, pictures, found, strict=True):
        image = overlay(images.read(index), each.map, scale, _GALLERY_SIDE)
        put_bytes((gallery / shown["file"]).with_suffix(".heat.jpg"), encode(image, "JPEG"))


def _file_name(number: int, name: str) -> str:
    """Name a file after an image; the number makes it unique, no letter can leave the folder."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", PurePosixPath(name).stem)
    return f"{number:04d}-{stem[:60]}.png"
