"""Figures of the page: discrimination, calibration, decisions, learning curve, costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from featx.metrics.curves import Curve, precision_recall_curve, roc_curve
from featx.metrics.decision import net_benefit, net_benefit_of_treating_all
from featx.metrics.intervals import Interval, proportion_interval
from featx.reporting.records import BenchmarkRow
from featx.reporting.svg import Plot, log_ticks, nice_ticks

__all__ = [
    "SHAPES",
    "DrawnModel",
    "calibration_figure",
    "cost_figure",
    "decision_figure",
    "epochs_figure",
    "learning_figure",
    "precision_recall_figure",
    "reliability_bins",
    "roc_figures",
    "score_histogram",
]

SHAPES = {"baseline": "square", "control": "triangle"}
"""Marks of kinds of rows; all others are circles."""

_UNIT_TICKS = [0, 0.2, 0.4, 0.6, 0.8, 1]
_ROOT_TICKS = [sign * share**0.5 for sign in (-1, 1) for share in (0.05, 0.25, 0.6, 1)]

# From this AUC on, curves overlap except in the corner.
_CROWDED = 0.96

# From this ratio of extremes on, losses are drawn on a logarithmic scale.
_LOG_RATIO = 30.0


@dataclass(frozen=True, eq=False)
class DrawnModel:
    """Scores of one model for one class against the rest, and its style.

    Parameters
    ----------
    positive : ndarray of bool, shape (n_images,)
        Which images are of the class.
    probability : ndarray of float64, shape (n_images,)
        Probability of the class.
    patients : ndarray of str, shape (n_images,), or None
        Patient of each image; None where unknown.
    """

    label: str
    style: str
    shape: str
    positive: npt.NDArray[np.bool_]
    probability: npt.NDArray[np.float64]
    patients: npt.NDArray[np.str_] | None
    threshold: float | None
    auc_text: str
    shown: bool


Models = Mapping[int, DrawnModel]


def roc_figures(
    models: Models, positive: str, n_bootstrap: int = 1000, random_state: int = 0
) -> list[Markup]:
    """Draw ROC curves with bands; the upper left corner too if all shown models crowd there."""
    settings = {"n_bootstrap": n_bootstrap, "random_state": random_state}
    curves = {
        place: roc_curve(model.positive, model.probability, model.patients, **settings)
        for place, model in models.items()
    }
    areas = [_area(curves[place]) for place in models if models[place].shown]
    corners = [1.0] if min(areas, default=0.0) < _CROWDED else [1.0, 0.2]
    return [_roc_plot(models, curves, positive, corner) for corner in corners]


def _roc_plot(models: Models, curves: Mapping[int, Curve], positive: str, corner: float) -> Markup:
    plot = Plot(
        f"ROC curves for {positive}" + (", upper left corner" if corner < 1 else ""),
        f"Sensitivity against 1 - specificity of {_names(models)}. "
        + " ".join(f"{model.label}: AUC {model.auc_text}." for model in models.values()),
        x=(0, corner),
        y=(1 - corner, 1),
    )
    ticks = [round(corner * tick, 3) for tick in _UNIT_TICKS]
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
    models: Models, positive: str, n_bootstrap: int = 1000, random_state: int = 0
) -> Markup:
    """Draw precision-recall curves with bands."""
    plot = Plot(
        f"Precision-recall curves for {positive}",
        f"Positive predictive value against sensitivity of {_names(models)}.",
        x=(0, 1),
        y=(0, 1),
    )
    plot.axes("Sensitivity (recall)", "Positive predictive value", _UNIT_TICKS, _UNIT_TICKS)
    prevalence = float(np.mean([model.positive.mean() for model in models.values()]))
    plot.line([0, 1], [prevalence, prevalence], "chance")
    settings = {"n_bootstrap": n_bootstrap, "random_state": random_state}
    for place, model in models.items():
        curve = precision_recall_curve(
            model.positive, model.probability, model.patients, **settings
        )
        plot.group(place, model.shown)
        plot.band(curve.grid, curve.low, curve.high, model.style)
        plot.steps(curve.x, curve.y, model.style)
        plot.end_group()
    return plot.svg()


def score_histogram(model: DrawnModel, positive: str) -> Markup:
    """Draw the distribution of scores in both classes, with the operating point."""
    edges = np.linspace(0, 1, 26)
    sides = [model.probability[~model.positive], model.probability[model.positive]]
    # Square roots keep the few scores near the operating point visible.
    heights = [np.sqrt(np.histogram(side, edges)[0] / max(1, len(side))) for side in sides]
    top = max(float(height.max()) for height in heights) * 1.05
    means = [f"{side.mean():.2f}" if len(side) else "unknown" for side in sides]
    cut = "" if model.threshold is None else f" The operating point is {model.threshold:.3f}."
    plot = Plot(
        f"Scores of {model.label} by class",
        f"Upwards, the {len(sides[1]):,} images of {positive}, whose mean score is {means[1]}; "
        f"downwards, the {len(sides[0]):,} others, whose mean is {means[0]}.{cut}",
        x=(0, 1),
        y=(-top, top),
        size=(400, 240),
    )
    ticks = [tick for tick in _ROOT_TICKS if abs(tick) <= top]
    formats = ("{:g}".format, lambda root: f"{100 * root**2:.0f} %")
    labels = (f"Probability of {positive}", "Proportion of the class")
    plot.axes(*labels, _UNIT_TICKS, ticks, formats)
    for left, right, up, down in zip(edges[:-1], edges[1:], heights[1], heights[0], strict=True):
        plot.bar((left + 0.003, right - 0.003), (0, up), "upper")
        plot.bar((left + 0.003, right - 0.003), (-down, 0), "lower")
    plot.line([0, 1], [0, 0], "zero")
    if model.threshold is not None and 0 <= model.threshold <= 1:
        plot.line([model.threshold] * 2, [-top, top], "threshold")
    return plot.svg()


def reliability_bins(model: DrawnModel, n_bins: int = 10) -> list[tuple[float, Interval, int]]:
    """Return mean probability, proportion of positives and images of bins of equal width."""
    bins = np.minimum((model.probability * n_bins).astype(np.int64), n_bins - 1)
    found = []
    for number in np.unique(bins).tolist():
        inside = bins == number
        patients = None if model.patients is None else model.patients[inside]
        proportion = proportion_interval(model.positive[inside], patients)
        found.append((float(model.probability[inside].mean()), proportion, int(inside.sum())))
    return found


def calibration_figure(models: Models, positive: str) -> Markup:
    """Draw proportions of positives against probabilities, with Wilson's intervals."""
    plot = Plot(
        f"Calibration for {positive}",
        "Proportion of positive images against their mean predicted probability, in ten bins; on "
        "the diagonal both are equal.",
        x=(0, 1),
        y=(0, 1),
    )
    labels = (f"Mean probability of {positive}", "Proportion of positives")
    plot.axes(*labels, _UNIT_TICKS, _UNIT_TICKS)
    plot.line([0, 1], [0, 1], "chance")
    for place, model in models.items():
        bins = reliability_bins(model)
        plot.group(place, model.shown)
        plot.line([x for x, _, _ in bins], [found.value for _, found, _ in bins], model.style)
        for x, found, n in bins:
            plot.whisker(x, found.low, found.high, model.style)
            tip = f"{model.label}: {n:,} images, mean probability {x:.2f}, positive {found}"
            plot.point(x, found.value, model.style, model.shape, tip)
        plot.end_group()
    return plot.svg()


def decision_figure(models: Models, positive: str) -> Markup:
    """Draw net benefit against threshold probability, with acting on all and on none."""
    thresholds = np.linspace(0, 0.99, 100)
    labels = next(iter(models.values())).positive
    prevalence = float(labels.mean())
    low, high = -0.15 * prevalence, prevalence * 1.05
    plot = Plot(
        f"Decision curves for {positive}",
        f"Net benefit of acting on {positive} by each model, against the threshold probability, "
        "with acting on every image and on none.",
        x=(0, 1),
        y=(low, high),
    )
    formats = ("{:g}".format, "{:.2g}".format)
    y_ticks = nice_ticks(low, high)
    plot.axes("Threshold probability", "Net benefit", _UNIT_TICKS, y_ticks, formats)
    everyone = net_benefit_of_treating_all(labels, thresholds)
    visible = everyone >= low
    plot.line(thresholds[visible], everyone[visible], "chance")
    plot.line([0, 1], [0, 0], "zero")
    for place, model in models.items():
        benefit = net_benefit(model.positive, model.probability, thresholds)
        visible = benefit >= low
        plot.group(place, model.shown)
        plot.line(thresholds[visible], benefit[visible], model.style)
        plot.end_group()
    return plot.svg()


def learning_figure(points: Sequence[Mapping[str, Any]], style: str) -> Markup:
    """Draw AUC against the number of training patients, with its interval."""
    points = sorted(points, key=lambda point: point["n_patients"])
    patients = [point["n_patients"] for point in points]
    areas = [point["auc"] for point in points]
    lows, highs = (
        [point["auc"] if point[end] is None else point[end] for point in points]
        for end in ("auc_low", "auc_high")
    )
    low, high = _with_margin(min(lows), max(highs))
    plot = Plot(
        "Learning curve",
        "AUC on the test images against the number of training patients: "
        + "; ".join(f"{n:,} patients, {auc:.3f}" for n, auc in zip(patients, areas, strict=True)),
        x=(0, patients[-1] * 1.04),
        y=(low, high),
    )
    x_ticks, y_ticks = nice_ticks(0, patients[-1] * 1.04), nice_ticks(low, high)
    formats = ("{:,.0f}".format, "{:g}".format)
    plot.axes("Training patients", "AUC on test", x_ticks, y_ticks, formats)
    plot.band(patients, lows, highs, style)
    plot.line(patients, areas, style)
    for point in points:
        tip = f"{point['n_patients']:,} patients, {point['n_images']:,} images: {point['auc']:.3f}"
        plot.point(point["n_patients"], point["auc"], style, "circle", tip)
    return plot.svg()


def epochs_figure(log: Mapping[str, Sequence[float]], figure: str, name: str) -> Markup | None:
    """Draw a figure of training and validation by epoch; None if the log lacks it."""
    columns = {"training": figure, "validation": f"val_{figure}"}
    curves = {label: log[column] for label, column in columns.items() if column in log}
    values = [v for curve in curves.values() for v in curve if np.isfinite(v)]
    if not values:
        return None
    low, high = min(values), max(values)
    logarithmic = figure == "loss" and low > 0 and high / low > _LOG_RATIO
    if logarithmic:
        low, high = low / 1.2, high * 1.2
    else:
        low, high = _with_margin(low, high, highest=np.inf if figure == "loss" else 1.0)
    title = "AUC" if figure == "auc" else figure.capitalize()
    last = max(len(curve) for curve in curves.values()) + 0.5
    plot = Plot(
        f"{title} of {name} by epoch",
        "; ".join(f"{label}: from {c[0]:.3f} to {c[-1]:.3f}" for label, c in curves.items()),
        x=(0.5, last),
        y=(low, high),
        size=(400, 240),
        log_y=logarithmic,
    )
    y_label = f"{title} (logarithmic)" if logarithmic else title
    x_ticks = [tick for tick in nice_ticks(0.5, last, 8) if tick == round(tick)]
    y_ticks = log_ticks(low, high) if logarithmic else nice_ticks(low, high)
    plot.axes("Epoch", y_label, x_ticks, y_ticks, ("{:g}".format, "{:.3g}".format))
    for label, curve in curves.items():
        color, dashes = ("c0", "d0") if label == "validation" else ("c1", "d1")
        plot.line(range(1, len(curve) + 1), curve, f"{color} {dashes}")
        for epoch, value in enumerate(curve, 1):
            if np.isfinite(value):
                plot.point(epoch, value, color, "circle", f"{label}, epoch {epoch}: {value:.4f}")
    return plot.svg()


def cost_figure(rows: Sequence[BenchmarkRow], styles: Sequence[str]) -> Markup | None:
    """Draw AUC against the seconds of extraction and fit, without controls."""
    known = {
        place: (max(1.0, (row.costs.seconds_extract or 0) + row.costs.seconds_fit), row)
        for place, row in enumerate(rows)
        if row.kind != "control" and np.isfinite(row.auc) and row.costs.seconds_fit is not None
    }
    if len(known) < 2:
        return None
    bounds = [_bounds(row.estimates["auc"]) for _, row in known.values()]
    low, high = _with_margin(min(b for b, _ in bounds), max(t for _, t in bounds))
    seconds = [cost for cost, _ in known.values()]
    start, end = min(seconds) / 2.5, max(seconds) * 2.5
    plot = Plot(
        "Cost against AUC",
        "; ".join(
            f"{place + 1}, {row.label}: {cost:,.0f} s, AUC {row.auc:.3f}"
            for place, (cost, row) in known.items()
        ),
        x=(start, end),
        y=(low, high),
        log_x=True,
    )
    x_label = "Seconds to extract and fit (logarithmic)"
    x_ticks = [tick for tick in log_ticks(start, end) if tick >= 1]
    formats = ("{:,.0f}".format, "{:g}".format)
    plot.axes(x_label, "AUC on test", x_ticks, nice_ticks(low, high), formats)
    for (place, (cost, row)), (bottom, top) in zip(known.items(), bounds, strict=True):
        plot.whisker(cost, bottom, top, styles[place])
        tip = f"{row.label}: {cost:,.0f} s, {row.auc:.3f}"
        plot.point(cost, row.auc, styles[place], SHAPES.get(row.kind, "circle"), tip)
        x, y = float(plot.horizontal(cost)), float(plot.vertical(row.auc))
        plot.text(x + 7, y + 4, str(place + 1), "mark")
    return plot.svg()


def _area(curve: Curve) -> float:
    return float(np.diff(curve.x) @ (curve.y[1:] + curve.y[:-1])) / 2


def _names(models: Models) -> str:
    return ", ".join(model.label for model in models.values())


def _bounds(interval: Interval) -> tuple[float, float]:
    low = interval.low if np.isfinite(interval.low) else interval.value
    return low, interval.high if np.isfinite(interval.high) else interval.value


def _with_margin(low: float, high: float, highest: float = 1.0) -> tuple[float, float]:
    """Widen a range by a margin, from 0 to the highest possible value."""
    margin = max(0.05 * (high - low), 0.002)
    return max(0.0, low - margin), min(highest, high + margin)
