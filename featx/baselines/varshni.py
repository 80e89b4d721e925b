"""The grid of Varshni et al. 2019: frozen networks and classifiers on their features, no CNN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["VARSHNI", "BenchmarkPreset"]


@dataclass(frozen=True)
class BenchmarkPreset:
    """What a benchmark shall compare.

    Parameters
    ----------
    name, title, source : str
        What it is called, what it is, and where it comes from.
    backbones, classifiers : tuple of str
        Names for the benchmark.
    rank_by : str
        Column by which the rows are ordered, best first.
    settings : dict
        Other settings of the benchmark.
    notes : str
        What the source leaves open, and how it is read here.
    """

    name: str
    title: str
    source: str
    backbones: tuple[str, ...]
    classifiers: tuple[str, ...]
    rank_by: str
    settings: dict[str, Any]
    notes: str


VARSHNI = BenchmarkPreset(
    name="varshni",
    title="six frozen networks, four classifiers",
    source="Varshni et al. 2019, ICECCT, doi 10.1109/ICECCT.2019.8869364",
    backbones=("xception", "vgg16", "vgg19", "resnet50", "densenet121", "densenet169"),
    classifiers=("random_forest", "knn", "naive_bayes", "svm"),
    rank_by="auc",
    settings={"augmentation": "none", "views": 1},
    notes="One view an image, average pooling and the tuning of every classifier (of the SVM: C "
    "and gamma) by patient-grouped cross-validation are our reading. The paper's images are NIH "
    "ChestX-ray14, of adults: its figures do not compare with those of other collections.",
)
