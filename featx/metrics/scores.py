"""All metrics of a classifier on images, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.errors import UsageError
from featx.metrics._one_vs_rest import (
    RESAMPLED,
    figures_of_class,
    mean_figures,
    resample_tasks,
)
from featx.metrics.intervals import (
    Floats,
    Integers,
    Interval,
    effective_patients,
    number_patients,
    proportion_interval,
)
from featx.metrics.labels import check_codes
from featx.metrics.one_class import OneClass
from featx.metrics.operating_point import Threshold, decide
from featx.metrics.paired_tests import ComparisonResult
from featx.metrics.resampled import TwoWayTask

__all__ = ["FEWEST_PATIENTS", "METRICS", "Scores", "Subgroup", "evaluate", "flatten"]

METRICS = (
    "auc",
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "f1",
    "lr_positive",
    "lr_negative",
    *RESAMPLED,
)
"""Names of all figures, in the order of a table."""

FEWEST_PATIENTS = 10
"""Effective patients of a class below which intervals cover 90 to 100 %, and nothing is tested."""


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """Hold the metrics of a classifier on one set of images.

    `evaluate` makes it; `to_row` flattens it for a table, `to_dict` for ``results.json``.

    Parameters
    ----------
    metrics : dict of str to Interval
        Estimate and interval by name, as in `METRICS`; nan where undefined.
    n : int
        Number of images.
    n_patients : int or None
        Number of patients; None where patients are unknown.
    confusion : ndarray of int64, shape (n_classes, n_classes)
        Counts of images; a row is a true class, a column a predicted class.
    class_names : tuple of str
        Names of rows and columns; empty where read from ``results.json``.
    threshold : float, tuple of float or None
        Probability from which the last class is predicted; with more than two classes their
        cutoffs, or None where the most probable class is predicted.
    collapsed : bool
        Whether one class is predicted for all images although they are of several classes, and
        they are not shown to be ranked better than by chance (lower bound of the AUC above 0.5).
    collapse_reason : str
        What a collapsed classifier predicts, in words; otherwise empty.
    per_class : dict of str to dict of str to Interval
        With more than two classes, one-vs-rest metrics by class name, without accuracy; otherwise
        empty.
    fewest_patients : float or None
        Effective number of patients of the class that has fewest
        (`featx.metrics.intervals.effective_patients`), or of images where patients are unknown;
        intervals need about 10. None in results of before.
    off_center : str
        What a classifier predicts, in words, that ranks better than by chance but predicts one
        class for all images, since its threshold does not fit them; otherwise empty.
    subgroups : tuple of Subgroup
        The same figures of groups of these images, column by column; empty where none were asked
        for.
    """

    metrics: dict[str, Interval]
    n: int
    n_patients: int | None = None
    confusion: Integers = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    class_names: tuple[str, ...] = ()
    threshold: Threshold = None
    collapsed: bool = False
    collapse_reason: str = ""
    per_class: dict[str, dict[str, Interval]] = field(default_factory=dict)
    fewest_patients: float | None = None
    off_center: str = ""
    subgroups: tuple[Subgroup, ...] = ()

    def __repr__(self) -> str:
        names = [name for name in ("auc", "accuracy") if name in self.metrics]
        shown = ", ".join(f"{name} {self.metrics[name]}" for name in names)
        return f"Scores({self.n:,} images: {shown})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scores) and self.to_dict() == other.to_dict()

    def to_row(self) -> dict[str, float]:
        """Flatten the metrics into ``auc``, ``auc_low``, ``auc_high``, ``accuracy``, ...

        Returns
        -------
        dict of str to float
            In the order of `METRICS`.
        """
        return flatten(self.metrics)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain values of ``results.json``; undefined figures are None."""
        per_class = {name: _plain(figures) for name, figures in self.per_class.items()}
        return {
            "n_test": self.n,
            **_plain(self.metrics),
            **({"per_class": per_class} if per_class else {}),
            "threshold": self.threshold,
            "confusion": self.confusion.tolist(),
            "n_patients_test": self.n_patients,
            "fewest_patients": self.fewest_patients,
            "collapsed": self.collapsed,
            "collapse_reason": self.collapse_reason,
            "off_center": self.off_center,
            **({"subgroups": [s.to_dict() for s in self.subgroups]} if self.subgroups else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scores:
        """Read what `to_dict` of any version returned."""
        stored = values.get("threshold")
        return cls(
            metrics=_read(values),
            n=values.get("n_test", 0),
            n_patients=values.get("n_patients_test"),
            confusion=np.array(values.get("confusion") or np.zeros((0, 0)), dtype=np.int64),
            threshold=tuple(stored) if isinstance(stored, list) else stored,
            collapsed=values.get("collapsed", False),
            collapse_reason=values.get("collapse_reason", ""),
            off_center=values.get("off_center", ""),
            per_class={k: _read(v) for k, v in values.get("per_class", {}).items()},
            fewest_patients=values.get("fewest_patients"),
            subgroups=tuple(map(Subgroup.from_dict, values.get("subgroups", []))),
        )


@dataclass(frozen=True)
class Subgroup:
    """Hold the metrics of a classifier on one group of the images.

    `featx.metrics.subgroups.subgroup_scores` makes it.

    Parameters
    ----------
    column, group : str
        Column that divides the images, and the group's value or band in it.
    scores : Scores
        Figures on the images of the group.
    is_small : bool
        Whether a class has fewer than 10 effective patients (images where patients are unknown);
        such a group is not tested.
    reference : str
        Group that this one is compared with; empty where it is not tested.
    differences : mapping of str to ComparisonResult
        By name of figure: the group's figure minus that of `reference`, with p-values corrected
        over the groups and figures of the column.
    """

    column: str
    group: str
    scores: Scores
    is_small: bool = False
    reference: str = ""
    differences: Mapping[str, ComparisonResult] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Main figures in one line, with what was tested."""
        names = ("auc", "sensitivity", "specificity")
        parts = [f"{name} {self.scores.metrics[name]}" for name in names]
        parts += [
            f"{name} less that of {self.reference} {test.difference:+.3f} "
            f"({test.low:+.3f} to {test.high:+.3f}, p {test.p_value:.2g})"
            for name, test in self.differences.items()
        ]
        small = " (too small to test)" if self.is_small else ""
        return f"{self.column} {self.group}{small}: {self.scores.n:,} images; {'; '.join(parts)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values of ``results.json``: those of `Scores`, and of this class."""
        tests = {
            name: {n: v if math.isfinite(v) else None for n, v in vars(test).items()}
            for name, test in self.differences.items()
        }
        own = {"column": self.column, "group": self.group, "is_small": self.is_small}
        own |= {"reference": self.reference, "differences": tests}
        return own | self.scores.to_dict()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Subgroup:
        """Read what `to_dict` returned."""
        tests = {
            name: ComparisonResult(**{n: math.nan if v is None else v for n, v in test.items()})
            for name, test in values["differences"].items()
        }
        own = {name: values[name] for name in ("column", "group", "is_small", "reference")}
        return cls(**own, scores=Scores.from_dict(values), differences=tests)


def flatten(figures: Mapping[str, Interval]) -> dict[str, float]:
    """Return metrics as ``auc``, ``auc_low``, ``auc_high``, ...

    Examples
    --------
    >>> flatten({"auc": Interval(0.9, 0.85, 0.94)})
    {'auc': 0.9, 'auc_low': 0.85, 'auc_high': 0.94}
    """
    row = {}
    for name, interval in figures.items():
        row[name] = interval.value
        row[f"{name}_low"] = interval.low
        row[f"{name}_high"] = interval.high
    return row


def _plain(figures: Mapping[str, Interval]) -> dict[str, float | None]:
    return {k: v if math.isfinite(v) else None for k, v in flatten(figures).items()}


def _read(values: Mapping[str, Any]) -> dict[str, Interval]:
    figures = {}
    for name in METRICS:
        if name in values:
            stored = [values.get(name + end) for end in ("", "_low", "_high")]
            figures[name] = Interval(*(math.nan if x is None else x for x in stored))
    return figures


def evaluate(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    *,
    threshold: Threshold = 0.5,
    class_names: tuple[str, ...],
    patients: npt.ArrayLike | None = None,
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    random_state: int = 0,
) -> Scores:
    """Evaluate a classifier on images that it was not fitted to.

    With two classes the last is the positive one. With more, metrics are macro averages of
    one-vs-rest metrics, except accuracy; the balanced accuracy is the mean sensitivity. An average
    is undefined where that of any class is. Likelihood ratios (``lr_positive``: sensitivity over
    1 - specificity, ``lr_negative``: 1 - sensitivity over specificity) are of single classes only.
    Use `featx.evaluate` for a model and images.

    Intervals: `auc_interval` for the AUC; `proportion_interval` (Wilson) for accuracy,
    sensitivity, specificity, PPV, NPV and, by the Jaccard index, F1; `mean_interval` for the
    balanced accuracy and means over classes; `ratio_interval` for likelihood ratios; the bootstrap
    by patient (`featx.metrics.bootstrap`) for the others. All are clustered by patient; with one
    image per patient, proportions have Wilson's plain interval. With an effective number of under
    10 patients of a class (`Scores.fewest_patients`), coverage was not found to be near 95 %.

    Parameters
    ----------
    labels : array-like of int, shape (n_images,)
        Index of the true class of each image.
    probabilities : array-like of float, shape (n_images, n_classes)
        Probability of each class, 0 to 1.
    threshold : float, tuple of float or None, default=0.5
        Least probability at which the last of two classes is predicted; None is 0.5. With more
        classes, one cutoff per class; otherwise the most probable class is predicted.
    class_names : tuple of str
        Names of the classes, at least two.
    patients : array-like, shape (n_images,), optional
        Patient of each image; by default each image has its own.
    confidence : float, default=0.95
        Coverage of the intervals, between 0 and 1.
    n_bootstrap : int, default=1000
        Number of resamples.
    random_state : int, default=0
        Random seed of the resamples.

    Returns
    -------
    Scores

    Raises
    ------
    UsageError
        If the arrays do not fit together, a label is not the index of a class, a probability is
        not between 0 and 1, or a patient is missing.

    Examples
    --------
    >>> scores = evaluate(
    ...     labels=[0, 0, 0, 1, 1, 1, 1, 1],
    ...     probabilities=[[1 - p, p] for p in (0.1, 0.3, 0.6, 0.4, 0.7, 0.8, 0.9, 0.9)],
    ...     class_names=("NORMAL", "PNEUMONIA"),
    ... )
    >>> print(scores.metrics["sensitivity"])
    0.800 (0.376 to 0.964)
    >>> scores.confusion.tolist(), scores.collapsed
    ([[2, 1], [1, 4]], False)
    """
    labels, probabilities = _checked(labels, probabilities, len(class_names))
    numbers = number_patients(patients, len(labels))
    two_way = len(class_names) == 2
    if two_way:
        threshold = 0.5 if threshold is None else threshold
    elif not isinstance(threshold, tuple):
        threshold = None
    predicted = decide(probabilities, threshold)
    tasks = [
        TwoWayTask(labels == index, probabilities[:, index], predicted == index)
        for index in range(1 if two_way else 0, len(class_names))
    ]
    resampled = resample_tasks(tasks, numbers, n_bootstrap, random_state)
    classes = [
        figures_of_class(task, replicates, numbers, confidence)
        for task, replicates in zip(tasks, resampled, strict=True)
    ]
    metrics = (
        classes[0] if two_way else mean_figures(tasks, classes, resampled, numbers, confidence)
    )
    metrics = metrics | {"accuracy": proportion_interval(predicted == labels, numbers, confidence)}
    found = OneClass.find(labels, predicted, class_names, metrics["auc"])
    collapsed = found is not None and not found.off_center
    n = len(class_names)
    confusion = np.bincount(labels * n + predicted, minlength=n**2).reshape(n, n).astype(np.int64)
    return Scores(
        metrics={name: metrics[name] for name in METRICS if name in metrics},
        n=len(labels),
        n_patients=None if patients is None else int(numbers.max()) + 1,
        confusion=confusion,
        class_names=tuple(class_names),
        threshold=threshold,
        collapsed=collapsed,
        collapse_reason=found.text if found and collapsed else "",
        off_center=found.text if found and not collapsed else "",
        per_class={} if two_way else dict(zip(class_names, classes, strict=True)),
        fewest_patients=min(effective_patients(numbers[labels == each]) for each in set(labels)),
    )


def _checked(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, n_classes: int
) -> tuple[Integers, Floats]:
    truth = np.asarray(labels)
    table = np.asarray(probabilities, dtype=np.float64)
    if n_classes < 2:
        raise UsageError(f"{n_classes} class was named; an evaluation needs at least two")
    if len(truth) == 0 or table.shape != (len(truth), n_classes):
        raise UsageError(
            f"{len(truth)} labels and probabilities of shape {table.shape} do not fit together; "
            f"give one row an image and one column for each of the {n_classes} classes"
        )
    codes = check_codes(labels, n_classes)
    # Written so that nan fails, too; float32 rows may exceed 1 by rounding.
    if not (table.min() >= -1e-6 and table.max() <= 1 + 1e-6):
        raise UsageError(
            f"probabilities run from {table.min():g} to {table.max():g}; they must be 0 to 1"
        )
    return codes, np.clip(table, 0, 1)
