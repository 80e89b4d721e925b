"""Typed records of a benchmark: rows, scores, costs, comparisons and notes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from featx.metrics.intervals import Interval
from featx.metrics.paired_tests import ComparisonResult, verdict
from featx.metrics.scores import METRICS, Scores

__all__ = [
    "BenchmarkRow",
    "Comparison",
    "Costs",
    "Difference",
    "SetScores",
    "current_names",
    "read_estimates",
]

Estimates = Mapping[str, Interval]

# Attributes by what the names of their flat values end with.
_INTERVAL = {"": "value", "_low": "low", "_high": "high"}
_DIFFERENCE = {f"_difference{end}": name for end, name in _INTERVAL.items()} | {
    "_p_value": "p_value"
}


def current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that any version wrote by today's names."""
    renamed = {"seed": "random_state", "folds": "cv"}
    return {renamed.get(name, name): value for name, value in settings.items()}


@dataclass(frozen=True)
class SetScores:
    """Hold the figures of one model on one set of images.

    Parameters
    ----------
    estimates : mapping of str to Interval
        By name of figure, as in `featx.metrics.scores.METRICS`; nan where undefined.
    n_images : int
        Number of images.
    n_patients : int or None
        Number of patients; None in results of early versions.
    confusion : tuple of tuple of int
        Counts of images; a row is a true class, a column a predicted class.
    threshold : float or None
        Probability from which the last class is predicted; None with more than two classes.
    collapsed : bool
        Whether every image is predicted as the same class.
    collapse_reason : str
        What a collapsed model does, in words; otherwise empty.
    per_class : mapping of str to mapping of str to Interval
        With more than two classes the figures of each class against the rest.
    """

    estimates: Estimates
    n_images: int
    n_patients: int | None = None
    confusion: tuple[tuple[int, ...], ...] = ()
    threshold: float | None = None
    collapsed: bool = False
    collapse_reason: str = ""
    per_class: Mapping[str, Estimates] = field(default_factory=dict)

    @classmethod
    def from_scores(cls, scores: Scores) -> SetScores:
        """Take over what `featx.metrics.scores.evaluate` returned."""
        return cls(
            estimates=scores.metrics,
            n_images=scores.n,
            n_patients=scores.n_patients,
            confusion=tuple(tuple(int(n) for n in line) for line in scores.confusion),
            threshold=scores.threshold,
            collapsed=scores.collapsed,
            collapse_reason=scores.collapse_reason,
            per_class=scores.per_class,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return flat plain values: ``auc``, ``auc_low``, ``auc_high``, ..."""
        per_class = {name: _flat(figures) for name, figures in self.per_class.items()}
        return {
            "n_test": self.n_images,
            **_flat(self.estimates),
            **({"per_class": per_class} if per_class else {}),
            "threshold": self.threshold,
            "confusion": [list(line) for line in self.confusion],
            "n_patients_test": self.n_patients,
            "collapsed": self.collapsed,
            "collapse_reason": self.collapse_reason,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SetScores:
        """Read what `to_dict` returned."""
        return cls(
            estimates=read_estimates(values),
            n_images=values.get("n_test", 0),
            n_patients=values.get("n_patients_test"),
            confusion=tuple(tuple(line) for line in values.get("confusion") or ()),
            threshold=values.get("threshold"),
            collapsed=values.get("collapsed", False),
            collapse_reason=values.get("collapse_reason", ""),
            per_class={k: read_estimates(v) for k, v in values.get("per_class", {}).items()},
        )


@dataclass(frozen=True)
class Costs:
    """Hold what a model costs.

    Parameters
    ----------
    seconds_extract, seconds_fit : float or None
        Seconds to embed all views, and to choose and fit the model.
    n_features, parameters : int or None
        Number of feature columns, and of network parameters; None where there are none.
    images_per_second : float or None
        Views embedded per second.
    peak_memory : int or None
        Largest memory of the process, in bytes.
    """

    seconds_extract: float | None = None
    seconds_fit: float | None = None
    n_features: int | None = None
    parameters: int | None = None
    images_per_second: float | None = None
    peak_memory: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values by the names in ``results.json``."""
        values = dict(vars(self))
        values["images_a_second"] = values.pop("images_per_second")
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Costs:
        """Read what `to_dict` returned."""
        stored = {**values, "images_per_second": values.get("images_a_second")}
        return cls(**{name: stored.get(name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Difference:
    """Hold a tested difference of one figure between two models.

    Parameters
    ----------
    value, low, high : float
        The model's figure minus the other's, with its 95 % interval; nan where undefined.
    p_value : float
        Two-sided.
    verdict : str, default=""
        The difference in words.
    """

    value: float
    low: float
    high: float
    p_value: float
    verdict: str = ""

    @classmethod
    def from_test(cls, test: ComparisonResult, p_value: float | None = None) -> Difference:
        """Take over a test, with its corrected p-value and verdict if one is given."""
        if p_value is None:
            return cls(test.difference, test.low, test.high, test.p_value)
        words = verdict(test.difference, p_value)
        return cls(test.difference, test.low, test.high, p_value, words)


@dataclass(frozen=True)
class Comparison:
    """Hold the tested differences of a model from another, by figure.

    Parameters
    ----------
    other : str
        Name of the row compared with.
    differences : mapping of str to Difference
        By name of figure: ``auc``, ``accuracy``.
    """

    other: str
    differences: Mapping[str, Difference]


@dataclass(frozen=True)
class BenchmarkRow:
    """Hold everything that a benchmark measured of one model.

    A `BenchmarkTable` is a sequence of rows. Rows are frozen; `dataclasses.replace` makes changed
    ones. ``results.json`` holds the flat plain values of `to_dict`.

    Parameters
    ----------
    name : str
        Name of the row, and of its files.
    backbone : str
        Names of the frozen networks joined by ``+``, or the name of a baseline or control.
    classifier : str
        Name of the classifier, or ``"trained end to end"``.
    kind : {"frozen", "adapted", "control", "baseline"}
        Frozen features, the same adapted to the test images, a shortcut control, or a CNN trained
        end to end.
    scores : SetScores
        Figures on the test images.
    externals : mapping of str to SetScores
        Figures on external validation sets, by name.
    n_train : int
        Number of training images.
    views, test_views : int or None
        Views per training image and per test image.
    auc_out_of_fold : float or None
        AUC by cross-validation on training patients; None for baselines.
    validation_auc : float or None
        Of baselines, on their validation patients.
    costs : Costs
        Time, memory, size.
    recipes : tuple of mapping
        Recipes of the features, as stored.
    recipe_digests : tuple of str
        First 16 hexadecimal digits of the recipes' digests, which name the cache folders.
    settings : mapping
        Settings of the fit and the hyper-parameters chosen, or the baseline's recipe.
    auc_seeds : tuple of float
        AUC of repeated cross-validations, the first included; empty without repeats.
    comparison : Comparison or None
        Differences from the best baseline.
    float32 : Comparison or None
        Differences of another precision from float32.
    diagnosis : tuple of str
        Of baselines: what went wrong in training.

    Examples
    --------
    >>> scores = SetScores({"auc": Interval(0.9, 0.85, 0.94)}, n_images=80)
    >>> row = BenchmarkRow("vgg16-svm", "vgg16", "svm", "frozen", scores)
    >>> row.label, str(row.estimates["auc"]), row.to_dict()["auc_low"]
    ('vgg16, svm', '0.900 (0.850 to 0.940)', 0.85)
    >>> BenchmarkRow.from_dict(row.to_dict()) == row
    True
    """

    name: str
    backbone: str
    classifier: str
    kind: str
    scores: SetScores
    externals: Mapping[str, SetScores] = field(default_factory=dict)
    n_train: int = 0
    views: int | None = None
    test_views: int | None = None
    auc_out_of_fold: float | None = None
    validation_auc: float | None = None
    costs: Costs = field(default_factory=Costs)
    recipes: tuple[Mapping[str, Any], ...] = ()
    recipe_digests: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    auc_seeds: tuple[float, ...] = ()
    comparison: Comparison | None = None
    float32: Comparison | None = None
    diagnosis: tuple[str, ...] = ()

    @property
    def estimates(self) -> Estimates:
        """Figures on the test images with 95 % intervals, by name."""
        return self.scores.estimates

    @property
    def auc(self) -> float:
        """AUC on the test images; nan where undefined."""
        return self.estimates.get("auc", Interval.undefined()).value

    @property
    def threshold(self) -> float | None:
        """Probability from which the last class is predicted."""
        return self.scores.threshold

    @property
    def collapsed(self) -> bool:
        """Whether every test image is predicted as the same class."""
        return self.scores.collapsed

    @property
    def auc_seeds_sd(self) -> float | None:
        """Standard deviation of the AUC over repeated cross-validations."""
        return statistics.stdev(self.auc_seeds) if len(self.auc_seeds) > 1 else None

    @property
    def label(self) -> str:
        """Name in words."""
        if self.kind == "baseline":
            return f"{self.backbone} (baseline)"
        name = f"{self.backbone}, {self.classifier}"
        return name if self.kind == "frozen" else f"{name} ({self.kind})"

    def to_dict(self) -> dict[str, Any]:
        """Return the flat plain values of ``results.json``."""
        values: dict[str, Any] = {
            **{name: getattr(self, name) for name in ("name", "backbone", "classifier", "kind")},
            "n_train": self.n_train,
            **self.scores.to_dict(),
        }
        if self.externals:
            values["externals"] = {name: s.to_dict() for name, s in self.externals.items()}
        if self.kind == "baseline":
            values |= {"validation_auc": self.validation_auc, "diagnosis": list(self.diagnosis)}
        else:
            values["auc_out_of_fold"] = self.auc_out_of_fold
            values["recipe_digests"] = list(self.recipe_digests)
        values |= {"views": self.views, "test_views": self.test_views, **self.costs.to_dict()}
        values["recipes"] = [dict(recipe) for recipe in self.recipes]
        values["settings"] = dict(self.settings)
        if self.auc_seeds:
            values |= {"auc_seeds": list(self.auc_seeds), "auc_seeds_sd": self.auc_seeds_sd}
        if self.comparison is not None:
            values |= {"reference": self.comparison.other, **_differences(self.comparison)}
        if self.float32 is not None:
            values |= {"float32": self.float32.other, **_differences(self.float32, "float32_")}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BenchmarkRow:
        """Read a row of ``results.json``, of any version.

        Parameters
        ----------
        values : mapping
            Plain values; fields that early versions lack become None or empty.
        """
        numbers = ("n_train", "views", "test_views", "auc_out_of_fold", "validation_auc")
        lists = ("recipes", "recipe_digests", "auc_seeds", "diagnosis")
        plain: dict[str, Any] = {name: values[name] for name in numbers if name in values}
        plain |= {name: tuple(values[name]) for name in lists if name in values}
        return cls(
            name=values.get("name", f"{values['backbone']}-{values['classifier']}"),
            backbone=values["backbone"],
            classifier=values["classifier"],
            kind=values["kind"],
            scores=SetScores.from_dict(values),
            externals={
                name: SetScores.from_dict(found)
                for name, found in values.get("externals", {}).items()
            },
            costs=Costs.from_dict(values),
            settings=current_names(values.get("settings", {})),
            comparison=_comparison(values, "reference"),
            float32=_comparison(values, "float32", "float32_"),
            **plain,
        )


def read_estimates(values: Mapping[str, Any]) -> dict[str, Interval]:
    """Read flat values ``auc``, ``auc_low``, ``auc_high``, ...; nan where undefined."""
    return {name: Interval(**_read(values, name, _INTERVAL)) for name in METRICS if name in values}


def _flat(estimates: Estimates) -> dict[str, float | None]:
    flat: dict[str, float | None] = {}
    for name, interval in estimates.items():
        flat |= _write(interval, name, _INTERVAL)
    return flat


def _differences(comparison: Comparison, prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for figure, found in comparison.differences.items():
        flat |= _write(found, prefix + figure, _DIFFERENCE)
        if found.verdict:
            flat[f"{prefix}{figure}_verdict"] = found.verdict
    return flat


def _comparison(values: Mapping[str, Any], other: str, prefix: str = "") -> Comparison | None:
    if values.get(other) is None:
        return None
    differences = {
        figure: Difference(
            **_read(values, prefix + figure, _DIFFERENCE),
            verdict=values.get(f"{prefix}{figure}_verdict", ""),
        )
        for figure in ("auc", "accuracy")
        if f"{prefix}{figure}_difference" in values
    }
    return Comparison(values[other], differences)


def _write(found: Any, name: str, attributes: Mapping[str, str]) -> dict[str, float | None]:
    values = {name + end: getattr(found, attribute) for end, attribute in attributes.items()}
    return {key: value if math.isfinite(value) else None for key, value in values.items()}


def _read(values: Mapping[str, Any], name: str, attributes: Mapping[str, str]) -> dict[str, float]:
    stored = {attribute: values.get(name + end) for end, attribute in attributes.items()}
    return {key: math.nan if value is None else value for key, value in stored.items()}
