"""Figures of one class on one set of images, for the models that are drawn."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from featx.reporting.figures import (
    SHAPES,
    DrawnModel,
    calibration_figure,
    decision_figure,
    precision_recall_figure,
    roc_figures,
    score_histogram,
)
from featx.reporting.results import Results

__all__ = ["COLORS", "Figure", "OperatingCost", "Panel", "assign_styles", "make_panels"]

COLORS = 6
"""Colors of the style sheet; the seventh model has the first again, dashed."""

_DASHES = 4

# Curves of all panels together: each costs a bootstrap and some kilobytes of the page.
_MAX_CURVES = 36

# Images times resamples of one band: some tenths of a second.
_MAX_WEIGHTS = 4_000_000


@dataclass(frozen=True)
class Figure:
    """A drawing with its title and caption."""

    title: str
    caption: str
    drawing: Markup


@dataclass(frozen=True)
class OperatingCost:
    """Sensitivity and specificity at the threshold, and at the best one in hindsight."""

    threshold: float
    sensitivity: float
    specificity: float
    best_threshold: float
    best_sensitivity: float
    best_specificity: float

    @property
    def cost(self) -> float:
        """Youden index lost because the threshold was chosen on other images."""
        best = self.best_sensitivity + self.best_specificity
        return best - self.sensitivity - self.specificity


@dataclass(frozen=True)
class Panel:
    """One class on one set of images; models, histograms and costs by place in the table."""

    title: str
    models: dict[int, DrawnModel]
    figures: list[Figure]
    histograms: dict[int, Markup]
    costs: dict[int, OperatingCost]
    n_hidden: int


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
    """Draw every set and class for which there are predictions."""
    names = results.class_names
    classes = [1] if len(names) == 2 else list(range(len(names)))
    wanted = [(external, klass) for external in results.predictions for klass in classes]
    most = max(len(shown), _MAX_CURVES // max(1, len(wanted)))
    panels = []
    for external, klass in wanted:
        models = _models(results, styles, shown, external, klass)
        order = sorted(models, key=lambda place: (place not in shown, place))
        kept = {place: models[place] for place in sorted(order[:most])}
        if kept:
            title = names[klass] + (f" on {external}" if external else "")
            n_hidden = len(models) - len(kept)
            panels.append(_panel(title, kept, names[klass], n_hidden, results.random_state))
    return panels


def _models(
    results: Results, styles: Sequence[str], shown: Collection[int], external: str, klass: int
) -> dict[int, DrawnModel]:
    found = {}
    two = len(results.class_names) == 2
    for place, row in enumerate(results.rows):
        predictions = results.predictions[external].get(row.name)
        if predictions is None:
            continue
        scores = row.externals[external] if external else row.scores
        name = results.class_names[klass]
        area = (scores.estimates if two else scores.per_class.get(name, {})).get("auc")
        positive = predictions.labels == klass
        # Every curve needs images of the class and of others.
        if positive.any() and not positive.all():
            found[place] = DrawnModel(
                label=row.label,
                style=styles[place],
                shape=SHAPES.get(row.kind, "circle"),
                positive=positive,
                probability=predictions.probabilities[:, klass],
                patients=predictions.patients,
                threshold=row.threshold if two else None,
                auc_text="unknown" if area is None else f"{area.value:.3f}",
                shown=place in shown,
            )
    return found


def _panel(
    title: str, models: dict[int, DrawnModel], positive: str, n_hidden: int, random_state: int
) -> Panel:
    n_images = max(len(model.positive) for model in models.values())
    # Bands of many images are narrow with fewer resamples, too.
    n_bootstrap = int(np.clip(_MAX_WEIGHTS // n_images, 200, 1000))
    known = all(model.patients is not None for model in models.values())
    unit = "patients" if known else "images, since patients are unknown"
    band = (
        f"Bands: pointwise 95 %, from {n_bootstrap:,} resamples of {unit}. Marks: the operating "
        "points, chosen on training images."
    )
    whole, *corner = roc_figures(models, positive, n_bootstrap, random_state)
    figures = [
        Figure("ROC", band, whole),
        *(Figure("ROC, upper left corner", "The same, enlarged.", drawing) for drawing in corner),
        Figure(
            "Precision and recall",
            "Dotted: the proportion of positives among these images, on which predictive values "
            "depend.",
            precision_recall_figure(models, positive, n_bootstrap, random_state),
        ),
        Figure(
            "Calibration",
            "Ten bins of equal width, Wilson's 95 % intervals clustered by patient. On the dotted "
            "diagonal, predicted probabilities equal observed proportions.",
            calibration_figure(models, positive),
        ),
        Figure(
            "Decision curves",
            "Net benefit (Vickers and Elkin 2006) at the proportion of positives of these images. "
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
        n_hidden=n_hidden,
    )


def operating_cost(model: DrawnModel) -> OperatingCost | None:
    """Compare a model's threshold with the best one on these images, by Youden's index."""
    if model.threshold is None:
        return None
    cuts = np.unique(model.probability)
    positive = np.sort(model.probability[model.positive])
    negative = np.sort(model.probability[~model.positive])
    sensitivity = 1 - np.searchsorted(positive, cuts) / len(positive)
    specificity = np.searchsorted(negative, cuts) / len(negative)
    best = int(np.argmax(sensitivity + specificity))
    return OperatingCost(
        threshold=model.threshold,
        sensitivity=float((positive >= model.threshold).mean()),
        specificity=float((negative < model.threshold).mean()),
        best_threshold=float(cuts[best]),
        best_sensitivity=float(sensitivity[best]),
        best_specificity=float(specificity[best]),
    )
