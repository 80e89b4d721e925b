"""How well scores part the classes: ROC, precision-recall, histograms of scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from featx.metrics.curves import Curve, precision_recall_curve, roc_curve
from featx.report.figures.drawing import Plot
from featx.report.figures.model import DrawnModel

__all__ = ["precision_recall_figure", "roc_figures", "score_histogram"]

_SHARES = [0, 0.2, 0.4, 0.6, 0.8, 1]

_SQUARE_ROOTS = [sign * share**0.5 for sign in (-1, 1) for share in (0.05, 0.25, 0.6, 1)]

# From this area on, curves cannot be told apart but in the corner.
_CROWDED = 0.96


def roc_figures(
    models: Mapping[int, DrawnModel], positive: str, n_bootstrap: int = 1000, random_state: int = 0
) -> list[Markup]:
    """Draw the ROC curves of several models, with bands; the corner too, if all crowd there."""
    curves = {
        place: roc_curve(
            model.positive,
            model.probability,
            model.patients,
            n_bootstrap=n_bootstrap,
            random_state=random_state,
        )
        for place, model in models.items()
    }
    areas = [_area(curves[place]) for place in models if models[place].shown]
    whole = _roc_plot(models, curves, positive, corner=1.0)
    if min(areas, default=0.0) < _CROWDED:
        return [whole]
    return [whole, _roc_plot(models, curves, positive, corner=0.2)]


def _roc_plot(
    models: Mapping[int, DrawnModel], curves: Mapping[int, Curve], positive: str, corner: float
) -> Markup:
    plot = Plot(
        f"ROC curves for {positive}" + (", upper left corner" if corner < 1 else ""),
        f"Sensitivity against 1 - specificity of {_named(models)}. "
        + " ".join(f"{model.label}: AUC {model.auc_text}." for model in models.values()),
        x=(0, corner),
        y=(1 - corner, 1),
    )
    ticks = [round(corner * share, 3) for share in _SHARES]
    plot.axes("1 - specificity", "Sensitivity", ticks, [round(1 - tick, 3) for tick in ticks])
    plot.line([0, 1], [0, 1], "chance")
    for place, model in models.items():
        curve = curves[place]
        plot.group(place, model.shown)
        plot.band(curve.grid, curve.low, curve.high, model.style)
        plot.line(curve.x, curve.y, model.style)
        if model.threshold is not None:
            called = model.probability >= model.threshold
            tip = f"{model.label}: operating point {model.threshold:.3f}"
            x, y = called[~model.positive].mean(), called[model.positive].mean()
            plot.point(float(x), float(y), model.style, model.shape, tip)
        plot.end_group()
    return plot.svg()


def precision_recall_figure(
    models: Mapping[int, DrawnModel], positive: str, n_bootstrap: int = 1000, random_state: int = 0
) -> Markup:
    """Draw the precision-recall curves of several models, with bands."""
    plot = Plot(
        f"Precision-recall curves for {positive}",
        f"Positive predictive value against sensitivity of {_named(models)}.",
        x=(0, 1),
        y=(0, 1),
    )
    plot.axes("Sensitivity (recall)", "Positive predictive value", _SHARES, _SHARES)
    share = float(np.mean([model.positive.mean() for model in models.values()]))
    plot.line([0, 1], [share, share], "chance")
    for place, model in models.items():
        curve = precision_recall_curve(
            model.positive,
            model.probability,
            model.patients,
            n_bootstrap=n_bootstrap,
            random_state=random_state,
        )
        plot.group(place, model.shown)
        plot.band(curve.grid, curve.low, curve.high, model.style)
        plot.steps(curve.x, curve.y, model.style)
        plot.end_group()
    return plot.svg()


def score_histogram(model: DrawnModel, positive: str) -> Markup:
    """Draw how scores of the two sides are spread, with the operating point."""
    edges = np.linspace(0, 1, 26)
    sides = [model.probability[~model.positive], model.probability[model.positive]]
    # Square roots, so that the few scores near the operating point can be seen.
    shares = [np.sqrt(np.histogram(side, edges)[0] / max(1, len(side))) for side in sides]
    top = max(float(share.max()) for share in shares) * 1.05
    told = "" if model.threshold is None else f" The operating point is {model.threshold:.3f}."
    plot = Plot(
        f"Scores of {model.label} by class",
        f"Upwards, the {len(sides[1]):,} images of {positive}, whose mean score is "
        f"{_mean(sides[1])}; downwards, the {len(sides[0]):,} others, whose mean is "
        f"{_mean(sides[0])}.{told}",
        x=(0, 1),
        y=(-top, top),
        size=(400, 240),
    )
    ticks = [tick for tick in _SQUARE_ROOTS if abs(tick) <= top]
    form = ("{:g}".format, lambda root: f"{100 * root**2:.0f} %")
    plot.axes(f"Probability of {positive}", "Share of the class", _SHARES, ticks, form)
    for left, right, up, down in zip(edges[:-1], edges[1:], shares[1], shares[0], strict=True):
        plot.bar((left + 0.003, right - 0.003), (0, up), "upper")
        plot.bar((left + 0.003, right - 0.003), (-down, 0), "lower")
    plot.line([0, 1], [0, 0], "zero")
    if model.threshold is not None and 0 <= model.threshold <= 1:
        plot.line([model.threshold] * 2, [-top, top], "threshold")
    return plot.svg()


def _area(curve: Curve) -> float:
    return float(np.diff(curve.x) @ (curve.y[1:] + curve.y[:-1])) / 2


def _named(models: Mapping[int, DrawnModel]) -> str:
    return ", ".join(model.label for model in models.values())


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():.2f}" if len(values) else "unknown"
