"""Settings of a benchmark under a name, or in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featx.errors import UsageError, find_name


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
    notes : str, default=""
        What the source leaves open, and the choice made here.
    """

    name: str
    title: str
    source: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""

    def settings(self) -> dict[str, Any]:
        """Return the settings for `featx.benchmark`, by name.

        Examples
        --------
        >>> get_preset("fast").settings()["backbones"]
        ('efficientnet_lite0',)
        """
        return dict(self.changes)


_VARSHNI = ("xception", "vgg16", "vgg19", "resnet50", "densenet121", "densenet169")
_ROBUST: dict[str, Any] = {
    "classifiers": ("logistic",),
    "pooling": "multi_depth",
    "views": 4,
    "leaks": "drop",
}
_MEASURED = "scripts/bench/generalization.py"

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "fast",
            "maps of many depths of one small network, one classifier",
            _MEASURED,
            {"backbones": ("efficientnet_lite0",), **_ROBUST},
        ),
        Preset(
            "accurate",
            "the same network tuned, frozen, and both fused; each also adapted to the test images",
            _MEASURED,
            {
                "backbones": ("tuned:efficientnet_lite0@160", "efficientnet_lite0"),
                **_ROBUST,
                "test_views": 8,
                "adapt": True,
                "fuse": True,
                "baseline_settings": {"epochs": 8},
            },
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


def read_config(path: str | Path) -> dict[str, Any]:
    """Read flat settings from a YAML or JSON file, or from the ``run.json`` of any run."""
    import yaml

    try:
        # JSON is YAML, too.
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"the settings in {path} cannot be read: {error}") from error
    if isinstance(content, Mapping) and "format" in content and "settings" in content:
        content = content["settings"]
    if not isinstance(content, Mapping):
        raise UsageError(f"{path} holds no settings; write one `name: value` per line")
    return {str(name): value for name, value in content.items()}
