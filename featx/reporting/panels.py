"""Models that are drawn of each class and set of images, and what their threshold costs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from featx.metrics.intervals import Interval
from featx.metrics.operating_point import OperatingPoint
from featx.reporting.figures import SHAPES, DrawnModel
from featx.reporting.results_folder import Results

COLORS = 6
"""Colors of the style sheet; the seventh model has the first again, dashed."""

_DASHES = 4

# Curves of all panels together: each costs a bootstrap and some kilobytes of the page.
_MAX_CURVES = 36

# Images times resamples of one band: some tenths of a second.
_MAX_WEIGHTS = 4_000_000


# What an operating point loses by its criterion; a fixed threshold has no better one.
LOSSES = {
    "youden": "Youden index lost",
    "f1": "F1 lost",
    "cost": "Cost added per image",
    "sensitivity": "Sensitivity missing",
    "specificity": "Specificity missing",
}


class OperatingCost(NamedTuple):
    """Operating point on these images, the best one in hindsight, and what it is better by."""

    threshold: float
    sensitivity: float
    specificity: float
    best_threshold: float
    best_sensitivity: float
    best_specificity: float
    lost: float


@dataclass(frozen=True)
class Panel:
    """One class on one set of images, and its models by place in the table."""

    title: str
    positive: str
    models: dict[int, DrawnModel]
    n_hidden: int
    random_state: int

    @property
    def bootstrap(self) -> dict[str, int]:
        """Settings of bands; those of many images are narrow with fewer resamples, too."""
        n_images = max(len(model.positive) for model in self.models.values())
        n_bootstrap = int(np.clip(_MAX_WEIGHTS // n_images, 200, 1000))
        return {"n_bootstrap": n_bootstrap, "random_state": self.random_state}

    @property
    def unit(self) -> str:
        """What bands resample."""
        known = all(model.patients is not None for model in self.models.values())
        return "patients" if known else "images, since patients are unknown"


def assign_styles(n_rows: int, first: Collection[int] = ()) -> list[str]:
    """Give each row its color and its dashes, those drawn first before the others.

    Examples
    --------
    >>> assign_styles(3, first=[2])
    ['c1 d0', 'c2 d0', 'c0 d0']
    """
    order = sorted(range(n_rows), key=lambda place: (place not in first, place))
    styles = [""] * n_rows
    for number, place in enumerate(order):
        styles[place] = f"c{number % COLORS} d{number // COLORS % _DASHES}"
    return styles


def make_panels(results: Results, styles: Sequence[str], shown: Collection[int]) -> list[Panel]:
    """Choose what is drawn of every set and class for which there are predictions."""
    names = results.class_names
    classes = [1] if len(names) == 2 else list(range(len(names)))
    wanted = [(external, klass) for external in results.predictions for klass in classes]
    most = max(len(shown), _MAX_CURVES // max(1, len(wanted)))
    panels = []
    for external, klass in wanted:
        models = _models(results, styles, shown, external, klass)
        first = sorted(models, key=lambda place: (place not in shown, place))[:most]
        kept = {place: models[place] for place in sorted(first)}
        title = names[klass] + (f" on {external}" if external else "")
        n_hidden = len(models) - len(kept)
        panels.append(Panel(title, names[klass], kept, n_hidden, results.random_state))
    return [panel for panel in panels if panel.models]


def _models(
    results: Results, styles: Sequence[str], shown: Collection[int], external: str, klass: int
) -> dict[int, DrawnModel]:
    found = {}
    two = len(results.class_names) == 2
    name = results.class_names[klass]
    for place, row in enumerate(results.rows):
        predictions = results.predictions[external].get(row.name)
        # Every curve needs images of the class and of others.
        if predictions is None or len(np.unique(predictions.labels == klass)) < 2:
            continue
        scores = row.externals[external] if external else row.scores
        estimates = scores.metrics if two else scores.per_class.get(name, {})
        found[place] = DrawnModel(
            label=row.label,
            style=styles[place],
            shape=SHAPES.get(row.kind, "circle"),
            positive=predictions.labels == klass,
            probability=predictions.probabilities[:, klass],
            patients=predictions.patients,
            threshold=row.threshold if isinstance(row.threshold, float) else None,
            auc=estimates.get("auc", Interval.undefined()).value,
            shown=place in shown,
        )
    return found


def operating_cost(model: DrawnModel, threshold: float, point: OperatingPoint) -> OperatingCost:
    """Compare a threshold with the one that its criterion would choose on a model's images."""
    best = point.threshold(model.positive, model.probability)
    figures = []
    for cut in (threshold, best):
        sensitivity, false_alarms = model.rates(cut)
        figures.append((cut, sensitivity, 1 - false_alarms))
    prevalence = float(model.positive.mean())
    here, there = (_merit(point, found, spared, prevalence) for _, found, spared in figures)
    return OperatingCost(*figures[0], *figures[1], there - here)


def _merit(
    point: OperatingPoint, sensitivity: float, specificity: float, prevalence: float
) -> float:
    """Return what a criterion maximizes; of one to be reached, what is missing, below 0."""
    if point.criterion in ("sensitivity", "specificity"):
        reached = sensitivity if point.criterion == "sensitivity" else specificity
        return min(reached - point.value, 0.0)
    fn, fp = (1 - sensitivity) * prevalence, (1 - specificity) * (1 - prevalence)
    if point.criterion == "cost":
        return -(point.value * fn + fp)
    if point.criterion == "f1":
        tp = sensitivity * prevalence
        return 2 * tp / (2 * tp + fp + fn)
    return sensitivity + specificity - 1
