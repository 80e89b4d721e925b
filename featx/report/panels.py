"""The figures of one class on one set of images, for all models that can be drawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from featx.classifiers.predictions import Predictions
from featx.report.figures.discrimination import (
    precision_recall_figure,
    roc_figures,
    score_histogram,
)
from featx.report.figures.model import DrawnModel, assign_styles
from featx.report.figures.reliability import calibration_figure, decision_figure
from featx.report.results import Results

__all__ = ["Figure", "OperatingCost", "Panel", "make_panels", "operating_cost"]

Row = dict[str, Any]

# Curves of all panels together: each costs a bootstrap and some kilobytes of the page.
_MOST_CURVES = 36

# Images times resamples of one band: some tenths of a second.
_MOST_WEIGHTS = 4_000_000


@dataclass(frozen=True)
class Figure:
    """A drawing with what is said below it."""

    title: str
    caption: str
    drawing: Markup


@dataclass(frozen=True)
class OperatingCost:
    """What the frozen threshold costs on a set, against the best that hindsight finds there."""

    threshold: float
    sensitivity: float
    specificity: float
    best_threshold: float
    best_sensitivity: float
    best_specificity: float

    @property
    def cost(self) -> float:
        """Youden index lost to not knowing these images."""
        best = self.best_sensitivity + self.best_specificity
        return best - self.sensitivity - self.specificity


@dataclass(frozen=True)
class Panel:
    """One class on one set of images."""

    title: str
    models: dict[int, DrawnModel]
    figures: list[Figure]
    histograms: dict[int, Markup]
    costs: dict[int, OperatingCost]
    left_out: int


def make_panels(
    results: Results, labels: Sequence[str], shown: Collection[int], random_state: int = 0
) -> list[Panel]:
    """Draw every set and class for which there are scores."""
    wanted = [(name, klass) for name in results.scores for klass in _classes(results.class_names)]
    most = max(len(shown), _MOST_CURVES // max(1, len(wanted)))
    panels = []
    for name, klass in wanted:
        scored = results.scores[name]
        models = _models(results, scored, labels, shown, name, klass)
        order = sorted(models, key=lambda place: (place not in shown, place))
        kept = {place: models[place] for place in sorted(order[:most])}
        if kept:
            title = results.class_names[klass] + (f" on {name}" if name else "")
            panels.append(
                _panel(title, kept, results.class_names[klass], len(models), random_state)
            )
    return panels


def _classes(class_names: Sequence[str]) -> list[int]:
    return [1] if len(class_names) == 2 else list(range(len(class_names)))


def _models(
    results: Results,
    scored: Mapping[str, Predictions],
    labels: Sequence[str],
    shown: Collection[int],
    name: str,
    klass: int,
) -> dict[int, DrawnModel]:
    found = {}
    styles = assign_styles(len(results.rows), shown)
    for place, row in enumerate(results.rows):
        if row["name"] not in scored:
            continue
        figures = row["externals"][name] if name else row
        if len(results.class_names) > 2:
            figures = figures.get("per_class", {}).get(results.class_names[klass], {})
        told = {"kind": row["kind"], "threshold": row["threshold"], "auc": figures.get("auc")}
        images = scored[row["name"]]
        model = DrawnModel.of(told, styles[place], labels[place], images, klass, place in shown)
        if model.has_both_sides:
            found[place] = model
    return found


def _resamples(n_images: int) -> int:
    """Take fewer resamples of many images, whose bands are narrow anyway."""
    return int(np.clip(_MOST_WEIGHTS // n_images, 200, 1000))


def _panel(
    title: str, models: dict[int, DrawnModel], positive: str, n_scored: int, random_state: int
) -> Panel:
    n_bootstrap = _resamples(max(len(model.positive) for model in models.values()))
    told = all(model.patients is not None for model in models.values())
    unit = "patients" if told else "images, whose patients are not told"
    band = (
        f"Bands: pointwise 95 %, from {n_bootstrap:,} resamples of {unit}. Marks: the operating "
        "point that training images chose."
    )
    rocs = roc_figures(models, positive, n_bootstrap, random_state)
    figures = [Figure("ROC", band, rocs[0])]
    figures += [Figure("ROC, upper left corner", "The same, enlarged.", roc) for roc in rocs[1:]]
    figures += [
        Figure(
            "Precision and recall",
            "Dotted: the share of positives among these images, which predictive values hang on.",
            precision_recall_figure(models, positive, n_bootstrap, random_state),
        ),
        Figure(
            "Calibration",
            "Ten bins of equal width, Wilson's 95 % intervals, a patient's images kept together. "
            "On the dotted diagonal a probability means what it says.",
            calibration_figure(models, positive),
        ),
        Figure(
            "Decision curves",
            "Net benefit (Vickers and Elkin 2006) at the share of positives of these images. "
            "Dotted: acting on every image; the zero line: on none.",
            decision_figure(models, positive),
        ),
    ]
    costs = {place: operating_cost(model) for place, model in models.items()}
    return Panel(
        title=title,
        models=models,
        figures=figures,
        histograms={place: score_histogram(model, positive) for place, model in models.items()},
        costs={place: cost for place, cost in costs.items() if cost is not None},
        left_out=n_scored - len(models),
    )


def operating_cost(model: DrawnModel) -> OperatingCost | None:
    """Compare a model's threshold with the best on these images, by Youden's index.

    Examples
    --------
    >>> positive = np.array([False, False, True, True])
    >>> probability = np.array([0.1, 0.2, 0.3, 0.9])
    >>> model = DrawnModel("a", "", "", positive, probability, None, 0.5, "", True)
    >>> cost = operating_cost(model)
    >>> cost.sensitivity, cost.best_threshold, cost.best_sensitivity, cost.cost
    (0.5, 0.3, 1.0, 0.5)
    """
    if model.threshold is None:
        return None
    cuts = np.unique(model.probability)
    ill = np.sort(model.probability[model.positive])
    well = np.sort(model.probability[~model.positive])
    sensitivity = 1 - np.searchsorted(ill, cuts) / len(ill)
    specificity = np.searchsorted(well, cuts) / len(well)
    best = int(np.argmax(sensitivity + specificity))
    return OperatingCost(
        threshold=model.threshold,
        sensitivity=float((ill >= model.threshold).mean()),
        specificity=float((well < model.threshold).mean()),
        best_threshold=float(cuts[best]),
        best_sensitivity=float(sensitivity[best]),
        best_specificity=float(specificity[best]),
    )
