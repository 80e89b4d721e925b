"""Typed records of a benchmark: rows, costs and comparisons."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from featx.metrics.intervals import Interval
from featx.metrics.operating_point import Threshold
from featx.metrics.paired_tests import ComparisonResult, verdict
from featx.metrics.scores import Scores

# Kinds of rows whose classifier is fitted to features, and kept.
FITTED = ("frozen", "tuned")

# Kind of rows that average the log-odds of rows that are fitted.
FUSED = "fused"

# Kinds of rows whose model is kept: of images, of several such, and with columns of a table.
SAVED = (*FITTED, FUSED, "columns")

# Classifier of a baseline's row.
END_TO_END = "trained end to end"

# Comparisons of a row by attribute: field of the other row's name, prefix of its flat values.
_COMPARISONS = {
    "comparison": ("reference", ""),
    "float32": ("float32", "float32_"),
    "columns_alone": ("columns_alone", "columns_alone_"),
}

# Attributes by what the names of their flat values end with.
_DIFFERENCE = {
    "_difference": "value",
    "_difference_low": "low",
    "_difference_high": "high",
    "_p_value": "p_value",
}


def current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that any version wrote by today's names."""
    renamed = {"seed": "random_state", "folds": "cv"}
    return {renamed.get(name, name): value for name, value in settings.items()}


@dataclass(frozen=True)
class Costs:
    """Hold what a model costs: seconds, sizes, views embedded per second, bytes of the process.

    Seconds are those to embed all views, and to choose and fit the model, with the tuning of its
    network; None where there are none.
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
    """Hold a model's figure minus another's, with its 95 % interval and two-sided p-value.

    Numbers are nan where undefined; the verdict is the difference in words.
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
    """Hold the tested differences of a model from the row named `other`: ``auc``, ``accuracy``."""

    other: str
    differences: Mapping[str, Difference]


@dataclass(frozen=True)
class UnitDecision:
    """Hold how the images of a patient or study make one decision.

    `name` is ``"patient"`` or the column of the units, `combined` ``"mean"`` or ``"max"`` of the
    log-odds, `areas` the AUC by combination, out of fold or on the validation images of a baseline,
    `n_images` the number of test images, and `row` the row of the images.
    """

    name: str
    combined: str
    areas: Mapping[str, float]
    n_images: int
    row: str


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
        Names of the frozen networks joined by ``+``, or by ``&`` where models are fused; or the
        name of a baseline or control.
    classifier : str
        Name of the classifier, or ``"trained end to end"``.
    kind : {"frozen", "tuned", "fused", "columns", "unit", "adapted", "control", "baseline"}
        Features of a frozen network, or of one that some training patients tuned; the mean log-odds
        of several such models; columns of a
        table, beside such features or alone; decisions by patient or study; a model adapted to the
        test images; a shortcut control, or a CNN trained end to end.
    scores : Scores
        Figures on the test images, or on units of them.
    externals : mapping of str to Scores
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
    columns_alone : Comparison or None
        Of images and columns, the differences from the columns alone: what the images add.
    diagnosis : tuple of str
        Of baselines: what went wrong in training.
    robustness : tuple of mapping
        Figures on degraded test images, each with ``degradation`` and ``grade``; grade 0 is none.
    unit : UnitDecision or None
        Of decisions by patient or study, how the images of each are combined.

    Examples
    --------
    >>> scores = Scores({"auc": Interval(0.9, 0.85, 0.94)}, n=80)
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
    scores: Scores
    externals: Mapping[str, Scores] = field(default_factory=dict)
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
    columns_alone: Comparison | None = None
    diagnosis: tuple[str, ...] = ()
    robustness: tuple[Mapping[str, Any], ...] = ()
    unit: UnitDecision | None = None

    @property
    def estimates(self) -> Mapping[str, Interval]:
        """Figures on the test images with 95 % intervals, by name."""
        return self.scores.metrics

    @property
    def auc(self) -> float:
        """AUC on the test images; nan where undefined."""
        return self.estimates.get("auc", Interval.undefined()).value

    @property
    def threshold(self) -> Threshold:
        """Probability from which the last class is predicted, or cutoffs of more classes."""
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
        if self.unit is not None:
            return f"{self.backbone}, {self.classifier} (by {self.unit.name})"
        if self.kind == "baseline":
            return f"{self.backbone} (baseline)"
        name = f"{self.backbone}, {self.classifier}"
        plain = self.kind in SAVED and self.kind != FUSED
        return name if plain else f"{name} ({self.kind})"

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
        if self.unit is not None:
            values |= {"unit": dict(vars(self.unit)), "validation_auc": self.validation_auc}
        if self.robustness:
            values["robustness"] = [dict(point) for point in self.robustness]
        for attribute, (other, prefix) in _COMPARISONS.items():
            found: Comparison | None = getattr(self, attribute)
            if found is not None:
                values |= {other: found.other, **_differences(found, prefix)}
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
        lists = ("recipes", "recipe_digests", "auc_seeds", "diagnosis", "robustness")
        plain: dict[str, Any] = {name: values[name] for name in numbers if name in values}
        plain |= {name: tuple(values[name]) for name in lists if name in values}
        plain |= {name: _comparison(values, *keys) for name, keys in _COMPARISONS.items()}
        return cls(
            name=values.get("name", f"{values['backbone']}-{values['classifier']}"),
            backbone=values["backbone"],
            classifier=values["classifier"],
            kind=values["kind"],
            scores=Scores.from_dict(values),
            externals={
                name: Scores.from_dict(found) for name, found in values.get("externals", {}).items()
            },
            costs=Costs.from_dict(values),
            settings=current_names(values.get("settings", {})),
            unit=UnitDecision(**values["unit"]) if values.get("unit") else None,
            **plain,
        )


def _differences(comparison: Comparison, prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for figure, found in comparison.differences.items():
        for end, attribute in _DIFFERENCE.items():
            value = getattr(found, attribute)
            flat[f"{prefix}{figure}{end}"] = value if math.isfinite(value) else None
        if found.verdict:
            flat[f"{prefix}{figure}_verdict"] = found.verdict
    return flat


def _comparison(values: Mapping[str, Any], other: str, prefix: str) -> Comparison | None:
    if values.get(other) is None:
        return None
    differences = {}
    for figure in ("auc", "accuracy"):
        name = prefix + figure
        if f"{name}_difference" in values:
            stored = {each: values.get(name + end) for end, each in _DIFFERENCE.items()}
            numbers = {each: math.nan if x is None else x for each, x in stored.items()}
            differences[figure] = Difference(**numbers, verdict=values.get(f"{name}_verdict", ""))
    return Comparison(values[other], differences)
