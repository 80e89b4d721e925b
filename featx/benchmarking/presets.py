"""Presets: whole sets of choices for a benchmark, under a name."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featx.errors import FeatxError, unknown_name

__all__ = ["PRESETS", "Preset", "get_preset"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Preset:
    """What a benchmark shall compare, and how.

    Parameters
    ----------
    name, title, source : str
        What it is called, what it is, and where its choices come from.
    backbones : tuple of str
        Frozen networks.
    classifiers : tuple of str
        On the features of each of them; of all of them side by side if `joined`.
    joined : bool, default=False
        Whether the features of all backbones are set side by side. Those whose weights are not to
        be had are then left out, with a message; else that is an error.
    settings : dict
        Other arguments of `featx.benchmark`.
    notes : str, default=""
        What the source leaves open, and how it is read here.
    """

    name: str
    title: str
    source: str
    backbones: tuple[str, ...]
    classifiers: tuple[str, ...]
    joined: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    notes: str = ""

    def arguments(self, weights_dir: str | Path | None = None) -> dict[str, Any]:
        """Return what to call `featx.benchmark` with.

        Parameters
        ----------
        weights_dir : path-like, optional
            Where to look for weights besides the usual places.

        Returns
        -------
        dict
            Keyword arguments.

        Raises
        ------
        FeatxError
            If the weights of no backbone are to be had.

        Examples
        --------
        >>> get_preset("fast").arguments()["backbones"]
        ['efficientnet_lite0']
        """
        names = list(self.backbones)
        if self.joined:
            names = ["+".join(self._at_hand(weights_dir))]
        return {"backbones": names, "classifiers": list(self.classifiers), **self.settings}

    def _at_hand(self, weights_dir: str | Path | None) -> list[str]:
        from featx.backbones.registry import get_backbone
        from featx.backbones.weights import find_weights

        folder = None if weights_dir is None else Path(weights_dir)
        found: list[str] = []
        for name in self.backbones:
            try:
                find_weights(get_backbone(name), "imagenet", folder)
            except FeatxError as error:
                logger.warning(f"The preset {self.name} goes on without {name}: {error}")
                last = error
            else:
                found.append(name)
        if not found:
            raise last
        return found


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "fast",
            "one small network, one classifier",
            "scripts/bench/generalization.py",
            ("efficientnet_lite0",),
            ("logistic",),
            settings={"views": 4, "test_views": 8, "leaks": "drop"},
        ),
        Preset(
            "accurate",
            "four networks side by side, also adapted to the test images without their labels",
            "scripts/bench/generalization.py",
            ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "mobilenetv2"),
            ("logistic",),
            joined=True,
            settings={"views": 4, "test_views": 8, "leaks": "drop", "adapt": True},
        ),
        Preset(
            "varshni",
            "six frozen networks, four classifiers, ranked by AUC",
            "Varshni et al. 2019, ICECCT, doi 10.1109/ICECCT.2019.8869364",
            ("xception", "vgg16", "vgg19", "resnet50", "densenet121", "densenet169"),
            ("random_forest", "knn", "naive_bayes", "svm"),
            settings={"augmentation": "none", "views": 1, "rank_by": "auc"},
            notes="One view an image, average pooling and the tuning of every classifier (of the "
            "SVM: C and gamma) by patient-grouped cross-validation are our reading. The paper's "
            "images are NIH ChestX-ray14, of adults: its figures do not compare with those of "
            "other collections.",
        ),
    )
}


def get_preset(name: str) -> Preset:
    """Return a preset.

    Parameters
    ----------
    name : {"fast", "accurate", "varshni"}
        Which.

    Raises
    ------
    UsageError
        If there is none of that name.

    Examples
    --------
    >>> get_preset("varshni").classifiers
    ('random_forest', 'knn', 'naive_bayes', 'svm')
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]
