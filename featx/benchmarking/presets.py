"""Presets: settings of a benchmark under a name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featx.errors import FeatxError, find_name

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Preset:
    """Hold settings of a benchmark under a name.

    ``featx.benchmark(images, config=get_preset("fast").settings())`` runs one.

    Parameters
    ----------
    name, title, source : str
        Name, description, and where the choices come from.
    changes : mapping
        Settings that differ from the defaults of `BenchmarkConfig`.
    joined : bool, default=False
        Whether the features of all backbones are joined. Backbones without weights are then left
        out with a message; otherwise missing weights are an error.
    notes : str, default=""
        What the source leaves open, and the choice made here.
    """

    name: str
    title: str
    source: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    joined: bool = False
    notes: str = ""

    def settings(self, weights_dir: str | Path | None = None) -> dict[str, Any]:
        """Return the settings for `featx.benchmark`, by name.

        Parameters
        ----------
        weights_dir : path-like, optional
            Folder of weights files, besides the usual places.

        Raises
        ------
        FeatxError
            If `joined` and no backbone has weights.

        Examples
        --------
        >>> get_preset("fast").settings()["backbones"]
        ('efficientnet_lite0',)
        """
        if not self.joined:
            return dict(self.changes)
        return {**self.changes, "backbones": ("+".join(self._with_weights(weights_dir)),)}

    def _with_weights(self, weights_dir: str | Path | None) -> list[str]:
        from featx.backbones.registry import get_backbone
        from featx.backbones.weights import find_weights

        folder = None if weights_dir is None else Path(weights_dir)
        found: list[str] = []
        for name in self.changes["backbones"]:
            try:
                find_weights(get_backbone(name), "imagenet", folder)
            except FeatxError as error:
                logger.warning(f"Preset {self.name} continues without {name}: {error}")
                last = error
            else:
                found.append(name)
        if not found:
            raise last
        return found


_LITE = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
_VARSHNI = ("xception", "vgg16", "vgg19", "resnet50", "densenet121", "densenet169")
_ROBUST = {"classifiers": ("logistic",), "views": 4, "test_views": 8, "leaks": "drop"}
_MEASURED = "scripts/bench/generalization.py"

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "fast",
            "maps of many depths of one small network, one classifier",
            _MEASURED,
            {"backbones": _LITE[:1], "pooling": "multi_depth", **_ROBUST},
        ),
        Preset(
            "accurate",
            "features of four networks joined, also adapted to the unlabeled test images",
            _MEASURED,
            {"backbones": (*_LITE, "mobilenetv2"), **_ROBUST, "adapt": True},
            joined=True,
        ),
        Preset(
            "varshni",
            "six frozen networks, four classifiers, ranked by AUC",
            "Varshni et al. 2019, ICECCT, doi 10.1109/ICECCT.2019.8869364",
            {
                "backbones": _VARSHNI,
                "classifiers": ("random_forest", "knn", "naive_bayes", "svm"),
                "augmentation": "none",
                "views": 1,
                "rank_by": "auc",
            },
            notes="One view per image, average pooling and the search for hyper-parameters (SVM: C "
            "and gamma) by cross-validation grouped by patient are choices made here. The paper's "
            "images are NIH ChestX-ray14, of adults, so its figures are not comparable with those "
            "of other collections.",
        ),
    )
}


def get_preset(name: str) -> Preset:
    """Return the preset of a name.

    Parameters
    ----------
    name : {"fast", "accurate", "varshni"}
        Name of the preset.

    Returns
    -------
    Preset

    Raises
    ------
    UsageError
        If there is no preset of that name.

    Examples
    --------
    >>> get_preset("varshni").changes["classifiers"]
    ('random_forest', 'knn', 'naive_bayes', 'svm')
    """
    return PRESETS[find_name("preset", name, PRESETS)]
