"""Published figures on Kermany's X-rays: listed separately, never ranked with measured rows."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from featx.datasets.dataset import ImageDataset

__all__ = ["PUBLISHED", "PublishedFigure", "is_kermany", "published_figures", "to_markdown"]


@dataclass(frozen=True)
class PublishedFigure:
    """Published accuracy and AUC of one system."""

    system: str
    source: str
    population: str
    protocol: str
    accuracy: float | None
    auc: float | None
    note: str = ""


_CHILDREN = "Kermany 2018: children aged 1 to 5, Guangzhou"
_OFFICIAL = "the public test folder (624 images)"
_UNKNOWN = "split not checked"
_SEED = "the report that started featx (2022)"
_SEED_PROTOCOL = f"train and val pooled and split by image; {_OFFICIAL}"
_COLLAPSED = "calls every image pneumonia: a collapse, not a result"
_MEDMNIST = "MedMNIST v2 (PneumoniaMNIST)"
_MEDMNIST_PLUS = "MedMNIST+ benchmark, Scientific Reports 2025"
_VALIDATED = f"4,708 images to train, 524 to validate; {_OFFICIAL}"


def _kermany(
    system: str,
    source: str,
    protocol: str,
    accuracy: float,
    auc: float | None = None,
    note: str = "",
) -> PublishedFigure:
    return PublishedFigure(system, source, _CHILDREN, protocol, accuracy, auc, note)


PUBLISHED: tuple[PublishedFigure, ...] = (
    _kermany("CNN, five convolutions", _SEED, _SEED_PROTOCOL, 0.625, None, _COLLAPSED),
    _kermany("InceptionV3, fine-tuned", _SEED, _SEED_PROTOCOL, 0.868),
    _kermany("ResNet50, fine-tuned", _SEED, _SEED_PROTOCOL, 0.625, None, _COLLAPSED),
    _kermany(
        "DenseNet169 + MobileNetV2 + Vision Transformer, fine-tuned",
        "Mabrouk et al. 2022, doi 10.3390/app12136448",
        _UNKNOWN,
        0.9391,
    ),
    _kermany("small CNN", "Mathur 2020, Kaggle", _UNKNOWN, 0.926),
    _kermany("VGG, transfer", "Shekhar 2020, Kaggle", _UNKNOWN, 0.91),
    _kermany("InceptionV3, transfer", "Shekhar 2020, Kaggle", _UNKNOWN, 0.90),
    _kermany("ResNet-18, 28 px", _MEDMNIST, _VALIDATED, 0.854, 0.944),
    _kermany("ResNet-18, 224 px", _MEDMNIST, _VALIDATED, 0.864, 0.956),
    _kermany("ResNet-50, 224 px", _MEDMNIST, _VALIDATED, 0.884, 0.962),
    _kermany("auto-sklearn", _MEDMNIST, _VALIDATED, 0.855, 0.942),
    _kermany("AutoKeras", _MEDMNIST, _VALIDATED, 0.878, 0.947),
    _kermany("Google AutoML Vision", _MEDMNIST, _VALIDATED, 0.946, 0.991),
    _kermany("VGG16, frozen, linear", _MEDMNIST_PLUS, _VALIDATED, 0.8622, 0.9675),
    _kermany("ResNet-18, frozen, linear", _MEDMNIST_PLUS, _VALIDATED, 0.8317, 0.9691),
    _kermany("DenseNet-121, frozen, linear", _MEDMNIST_PLUS, _VALIDATED, 0.8659, 0.9734),
    _kermany("EfficientNet-B4, frozen, linear", _MEDMNIST_PLUS, _VALIDATED, 0.8707, 0.9721),
    _kermany("CLIP ViT-B/16, frozen, linear", _MEDMNIST_PLUS, _VALIDATED, 0.8499, 0.9717),
    _kermany("DINO ViT-B/16, frozen, linear", _MEDMNIST_PLUS, _VALIDATED, 0.9156, 0.9892),
    _kermany("VGG16, fine-tuned", _MEDMNIST_PLUS, _VALIDATED, 0.8739, 0.9847),
    _kermany("ResNet-18, fine-tuned", _MEDMNIST_PLUS, _VALIDATED, 0.9113, 0.9804),
    _kermany("DenseNet-121, fine-tuned", _MEDMNIST_PLUS, _VALIDATED, 0.8894, 0.9741),
)
"""Grouped by source; accuracies on 624 test images are uncertain by 2 to 3 points."""


def is_kermany(images: ImageDataset) -> bool:
    """Return whether images have the class and file names of Kermany et al. 2018.

    Examples
    --------
    >>> import numpy as np
    >>> is_kermany(ImageDataset.from_arrays(np.zeros((2, 4, 4), np.uint8), ["NORMAL", "PNEUMONIA"]))
    False
    """
    if images.class_names != ("NORMAL", "PNEUMONIA"):
        return False
    pattern = re.compile(r"(person\d+_(bacteria|virus)|IM-\d{4})[_-]")
    return 2 * sum(bool(pattern.search(name)) for name in images.names) > len(images)


def published_figures() -> list[dict[str, Any]]:
    """Plain values for ``run.json``."""
    return [asdict(figure) for figure in PUBLISHED]


def to_markdown(figures: list[dict[str, Any]]) -> str:
    """Return published figures as a Markdown section."""
    lines = [
        "### Published elsewhere, not measured here",
        "",
        "Figures as their authors give them, on other splits and protocols: not comparable row by "
        "row with the table above. 624 test images leave an accuracy uncertain by 2 to 3 points.",
        "",
        "| System | Source | Population | Protocol | Accuracy | AUC | Note |",
        "|---|---|---|---|---:|---:|---|",
    ]
    for figure in figures:
        cells = [figure[name] for name in ("system", "source", "population", "protocol")]
        cells += ["-" if figure[n] is None else f"{figure[n]:.3f}" for n in ("accuracy", "auc")]
        lines.append(f"| {' | '.join([*cells, figure['note'] or '-'])} |")
    return "\n".join(lines)
