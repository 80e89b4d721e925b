"""Decisions by patient or study: the images of a unit are combined into one decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.classifiers.calibration import Calibration, calibrate, log_odds, probabilities
from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.decision_scores import Scores, average_views, one_vs_rest_auc
from featx.classifiers.predictions import Predictions
from featx.datasets.dataset import ImageDataset
from featx.datasets.rules import PATIENT
from featx.errors import UsageError
from featx.metrics.operating_point import OperatingPoint, Threshold

COMBINATIONS = ("mean", "max")
"""How the log-odds of images are combined; the first of equally good ones is chosen."""


@dataclass(frozen=True)
class UnitRule:
    """Combine the log-odds of a unit's images, calibrate the result, and decide."""

    # "patient", or the column that names the units.
    unit: str
    # One of `COMBINATIONS`.
    combined: str
    calibration: Calibration
    threshold: Threshold

    @classmethod
    def choose(
        cls,
        unit: str,
        held_out: Predictions,
        units: Sequence[str],
        *,
        calibration: str,
        operating_point: str | float,
    ) -> tuple[UnitRule, dict[str, float]]:
        """Choose combination, calibration and threshold; return also the AUC by combination.

        Examples
        --------
        >>> positive = np.array([0.1, 0.1, 0.4, 0.1, 0.1, 0.9])
        >>> held_out = Predictions(list("abcdef"), ["no", "yes"],
        ...                        np.column_stack([1 - positive, positive]), [0, 0, 0, 1, 1, 1])
        >>> rule, areas = UnitRule.choose("patient", held_out, list("ppqrrr"),
        ...                               calibration="none", operating_point="youden")
        >>> rule.combined, areas, round(rule.threshold, 3)
        ('max', {'mean': 0.5, 'max': 1.0}, 0.65)
        """
        _, first, number = np.unique(units, return_index=True, return_inverse=True)
        labels, of_images = held_out.labels[first], log_odds(held_out.probabilities)
        scores = {how: _combine(of_images, number, how) for how in COMBINATIONS}
        areas = {how: one_vs_rest_auc(labels, each) for how, each in scores.items()}
        best = max(areas, key=lambda how: areas[how])
        fitted = calibrate(calibration, scores[best], labels)
        found = probabilities(fitted.logits(scores[best]))
        threshold = OperatingPoint.parse(operating_point).choose(labels, found)
        return cls(unit, best, fitted, threshold), areas

    def apply(self, predictions: Predictions, units: Sequence[str]) -> Predictions:
        """Return one prediction a unit, sorted by unit, with classes at the threshold.

        A unit is as typical of training images as its least typical image. Its label is unknown
        where its images have several.
        """
        names, first, number = np.unique(
            np.asarray(units, dtype=np.str_), return_index=True, return_inverse=True
        )
        scores = _combine(log_odds(predictions.probabilities), number, self.combined)
        labels, typicality = predictions.labels[first], predictions.typicality
        mixed = np.unique(number[predictions.labels != labels[number]])
        labels[mixed] = -1
        if typicality is not None:
            typicality = -_combine(-typicality, number, "max")
        return replace(
            predictions,
            names=tuple(names.tolist()),
            probabilities=probabilities(self.calibration.logits(scores)),
            labels=labels,
            patients=None if predictions.patients is None else predictions.patients[first],
            predicted=None,
            typicality=typicality,
            sets=None,
        ).decide(self.threshold)


def _combine(scores: Scores, number: npt.NDArray[np.int64], how: str) -> Scores:
    """Combine scores of images by the number of their unit."""
    n_units = int(number.max(initial=-1)) + 1
    if how == "mean":
        return average_views(scores, number, n_units)
    found = np.full((n_units, *scores.shape[1:]), -np.inf)
    np.maximum.at(found, number, scores)
    return found


def units_of(images: ImageDataset, unit: str, where: str = "the images") -> npt.NDArray[np.str_]:
    """Return the unit of each image.

    Units of a column are ``PATIENT/VALUE`` where patients are known: studies are often numbered
    within patients.

    Examples
    --------
    >>> images = ImageDataset.from_arrays(np.zeros((2, 8, 8), np.uint8), patients=["p", "q"],
    ...                                   columns={"study": [1, 1]})
    >>> units_of(images, "study").tolist()
    ['p/1', 'q/1']
    """
    if unit == PATIENT:
        if images.patients_known:
            return images.patients
        raise UsageError(
            f"{where}: patients are unknown, so no decision can be made by patient; give "
            "--patients, a table with a column `patient`, or --unit with another column"
        )
    if unit not in images.columns:
        raise UsageError(
            f"{where}: there is no column {unit!r} to decide by; list the images in a table that "
            f"has it (or name another by --columns {unit}=COLUMN), and keep it where you open them "
            f"yourself (keep_columns=[{unit!r}])"
        )
    cells = images.columns[unit]
    empty = np.flatnonzero(cells == "")
    if len(empty):
        raise UsageError(
            f"{where}: the column {unit!r} to decide by is empty for {len(empty):,} of "
            f"{len(images):,} images ({images.names[empty[0]]}); fill it in, or leave them out"
        )
    if not images.patients_known:
        return cells
    return np.char.add(np.char.add(images.patients, "/"), cells)


def check_units(images: ImageDataset, unit: str, where: str = "the images") -> None:
    """Refuse units whose images have several labels, naming one."""
    units = units_of(images, unit, where)
    _, first, number = np.unique(units, return_index=True, return_inverse=True)
    differ = np.flatnonzero(images.labels != images.labels[first][number])
    if not len(differ):
        return
    mixed = len(np.unique(number[differ]))
    place, others = differ[0], f" (and {mixed - 1:,} others)" if mixed > 1 else ""
    pairs = [(images.y[each], images.names[each]) for each in (first[number[place]], place)]
    remedy = (
        "decide by a column whose images have one label each, such as --unit study"
        if unit == PATIENT
        else f"correct the labels or the column {unit!r}, or leave --unit out"
    )
    what = " and ".join(f"{label or 'none'} ({name})" for label, name in pairs)
    raise UsageError(
        f"{where}: the images of {unit} {str(units[place])!r}{others} have different labels, "
        f"{what}, so that one decision has no true label; {remedy}"
    )


def rule_of(model: FeatureClassifier, unit: str) -> UnitRule:
    """Return the rule by which a model decides by a unit."""
    rule: Any = model.unit_
    if rule is None:
        raise UsageError(
            f"the model has no rule to decide by {unit}; give one that `featx benchmark --unit "
            f"{unit}` saved (results/models/NAME-by-{unit}.skops)"
        )
    if rule.unit != unit:
        other = "" if rule.unit == PATIENT else f" (--columns {rule.unit}=COLUMN names its column)"
        raise UsageError(
            f"the model decides by {rule.unit}, not by {unit}; give --unit {rule.unit}{other}"
        )
    if "adapted" in model.provenance_:
        raise UsageError(
            f"the model was adapted to other images, and its rule to decide by {unit} was not; "
            "give the model that was fitted to training images alone"
        )
    return rule
