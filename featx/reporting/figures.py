"""Figures of the page: discrimination, calibration, decisions, learning curve, costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from featx.metrics.curves import Curve, precision_recall_curve, roc_curve
from featx.metrics.decision import net_benefit, net_benefit_of_treating_all, risk_coverage
from featx.metrics.intervals import Interval, proportion_interval
from featx.metrics.scores import Scores
from featx.reporting.records import BenchmarkRow
from featx.reporting.svg import Axis, Plot, log_ticks, nice_ticks

SHAPES = {"baseline": "square", "control": "triangle"}
"""Marks of kinds of rows; all others are circles."""

_SMALL = (400, 240)

# Bins of the calibration figure.
_BINS = 10

# Proportions of fewer images are noise.
_FEWEST_DECIDED = 10

# From this AUC on, curves overlap except in the corner.
_CROWDED = 0.96

# From this ratio of extremes on, losses are drawn on a logarithmic scale.
_LOG_RATIO = 30.0


@dataclass(frozen=True, eq=False)
class DrawnModel:
    """Scores of one model for one class against the rest, and its style.

    `positive` says which images are of the class; `patients` is None, and `auc` nan, if unknown.
    """

    label: str
    style: str
    shape: str
    positive: npt.NDArray[np.bool_]
    probability: npt.NDArray[np.float64]
    patients: npt.NDArray[np.str_] | None
    threshold: float | None
    auc: float
    shown: bool

    def rates(self, threshold: float) -> tuple[float, float]:
        """Return sensitivity and false positive rate at a threshold."""
        called = self.probability >= threshold
        return float(called[self.positive].mean()), float(called[~self.positive].mean())

    @property
    def auc_text(self) -> str:
        """AUC as the legend shows it."""
        return "unknown" if math.isnan(self.auc) else f"{self.auc:.3f}"


Models = Mapping[int, DrawnModel]


def roc_figures(models: Models, positive: str, **bootstrap: int) -> list[Markup]:
    """Draw ROC curves with bands; the upper left corner too if all shown models crowd there."""
    curves = {
        place: roc_curve(model.positive, model.probability, model.patients, **bootstrap)
        for place, model in models.items()
    }
    areas = [model.auc for model in models.values() if model.shown]
    crowded = bool(areas) and all(area >= _CROWDED for area in areas)
    return [
        _roc_plot(models, curves, positive, corner) for corner in ([1, 0.2] if crowded else [1])
    ]


def _roc_plot(models: Models, curves: Mapping[int, Curve], positive: str, corner: float) -> Markup:
    ticks = [round(corner * tick, 3) for tick in nice_ticks(0, 1)]
    plot = Plot(
        f"ROC curves for {positive}" + (", upper left corner" if corner < 1 else ""),
        f"Sensitivity against 1 - specificity of {_names(models)}. "
        + " ".join(f"{model.label}: AUC {model.auc_text}." for model in models.values()),
        Axis("1 - specificity", high=corner, ticks=ticks),
        Axis("Sensitivity", 1 - corner, ticks=[round(1 - tick, 3) for tick in ticks]),
    )
    plot.line([0, 1], [0, 1], "chance")
    for place, model in _grouped(plot, models):
        curve = curves[place]
        plot.band(curve.grid, curve.low, curve.high, model.style)
        plot.line(curve.x, curve.y, model.style)
        if model.threshold is not None:
            tip = f"{model.label}: operating point {model.threshold:.3f}"
            y, x = model.rates(model.threshold)
            plot.point(x, y, model.style, model.shape, tip)
    return plot.svg()


def precision_recall_figure(models: Models, positive: str, **bootstrap: int) -> Markup:
    """Draw precision-recall curves with bands."""
    plot = Plot(
        f"Precision-recall curves for {positive}",
        f"Positive predictive value against sensitivity of {_names(models)}.",
        Axis("Sensitivity (recall)"),
        Axis("Positive predictive value"),
    )
    prevalence = float(np.mean([model.positive.mean() for model in models.values()]))
    plot.line([0, 1], [prevalence, prevalence], "chance")
    for _, model in _grouped(plot, models):
        curve = precision_recall_curve(
            model.positive, model.probability, model.patients, **bootstrap
        )
        plot.band(curve.grid, curve.low, curve.high, model.style)
        # Each precision holds from the previous recall to its own.
        plot.line(np.repeat(curve.x, 2)[:-1], np.repeat(curve.y, 2)[1:], model.style)
    return plot.svg()


def score_histogram(model: DrawnModel, positive: str) -> Markup:
    """Draw the distribution of scores in both classes, with the operating point."""
    edges = np.linspace(0, 1, 26)
    sides = [model.probability[~model.positive], model.probability[model.positive]]
    # Square roots keep the few scores near the operating point visible.
    others, own = (np.sqrt(np.histogram(side, edges)[0] / max(1, len(side))) for side in sides)
    top = float(max(others.max(), own.max())) * 1.05
    means = [f"{side.mean():.2f}" if len(side) else "unknown" for side in sides]
    cut = "" if model.threshold is None else f" The operating point is {model.threshold:.3f}."
    roots = [sign * proportion**0.5 for sign in (-1, 1) for proportion in (0.05, 0.25, 0.6, 1)]
    plot = Plot(
        f"Scores of {model.label} by class",
        f"Upwards, the {len(sides[1]):,} images of {positive}, whose mean score is {means[1]}; "
        f"downwards, the {len(sides[0]):,} others, whose mean is {means[0]}.{cut}",
        Axis(f"Probability of {positive}"),
        Axis(
            "Proportion of the class",
            -top,
            top,
            ticks=[root for root in roots if abs(root) <= top],
            form=lambda root: f"{100 * root**2:.0f} %",
        ),
        _SMALL,
    )
    for left, up, down in zip(edges[:-1], own, others, strict=True):
        x = (left + 0.003, left + 0.037)
        plot.bar(x, (0, up), "upper")
        plot.bar(x, (-down, 0), "lower")
    plot.line([0, 1], [0, 0], "zero")
    if model.threshold is not None and 0 <= model.threshold <= 1:
        plot.line([model.threshold] * 2, [-top, top], "threshold")
    return plot.svg()


def reliability_bins(model: DrawnModel) -> list[tuple[float, Interval, int]]:
    """Return mean probability, proportion of positives and images of bins of equal width."""
    bins = np.minimum((model.probability * _BINS).astype(np.int64), _BINS - 1)
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
        Axis(f"Mean probability of {positive}"),
        Axis("Proportion of positives"),
    )
    plot.line([0, 1], [0, 1], "chance")
    for _, model in _grouped(plot, models):
        bins = reliability_bins(model)
        plot.line([x for x, _, _ in bins], [found.value for _, found, _ in bins], model.style)
        for x, found, n in bins:
            plot.whisker(x, found.low, found.high, model.style)
            tip = f"{model.label}: {n:,} images, mean probability {x:.2f}, positive {found}"
            plot.point(x, found.value, model.style, model.shape, tip)
    return plot.svg()


def decision_figure(models: Models, positive: str) -> Markup:
    """Draw net benefit against threshold probability, with acting on all and on none."""
    thresholds = np.linspace(0, 0.99, 100)
    labels = next(iter(models.values())).positive
    low, high = -0.15 * float(labels.mean()), 1.05 * float(labels.mean())
    plot = Plot(
        f"Decision curves for {positive}",
        f"Net benefit of acting on {positive} by each model, against the threshold probability, "
        "with acting on every image and on none.",
        Axis("Threshold probability"),
        Axis("Net benefit", low, high, form="{:.2g}".format),
    )

    def draw(benefit: npt.NDArray[np.float64], style: str) -> None:
        visible = benefit >= low
        plot.line(thresholds[visible], benefit[visible], style)

    draw(net_benefit_of_treating_all(labels, thresholds), "chance")
    plot.line([0, 1], [0, 0], "zero")
    for _, model in _grouped(plot, models):
        draw(net_benefit(model.positive, model.probability, thresholds), model.style)
    return plot.svg()


def risk_figure(models: Models, positive: str) -> Markup | None:
    """Draw the proportion of errors among the most certain images; None without thresholds."""
    curves = {
        place: risk_coverage(model.positive, model.probability, model.threshold)
        for place, model in models.items()
        if model.threshold is not None
    }
    if not curves:
        return None
    least = min(1.0, max(_FEWEST_DECIDED / len(model.positive) for model in models.values()))
    highest = max(risk[share >= least].max() for share, risk in curves.values())
    plot = Plot(
        f"Errors among the most certain predictions of {positive}",
        "; ".join(
            f"{models[place].label}: {risk[np.searchsorted(share, 0.8)]:.3f} of 80 % of the images"
            for place, (share, risk) in curves.items()
        ),
        Axis("Proportion of images decided"),
        Axis("Proportion of errors", 0, max(0.01, 1.05 * float(highest)), form="{:.2g}".format),
    )
    for place, model in _grouped(plot, {place: models[place] for place in curves}):
        share, risk = curves[place]
        plot.line(share[share >= least], risk[share >= least], model.style)
    return plot.svg()


def robustness_figures(
    rows: Sequence[BenchmarkRow], styles: Sequence[str], shown: Sequence[int]
) -> dict[str, Markup]:
    """Draw AUC by grade of each degradation of the test images, with intervals."""
    robust = {place: row for place, row in enumerate(rows) if row.robustness}
    points = [p for row in robust.values() for p in row.robustness if p["auc"] is not None]
    lows = [p["auc"] if p["auc_low"] is None else p["auc_low"] for p in points]
    drawn = {}
    for name in dict.fromkeys(p["degradation"] for p in points if p["grade"]):
        plot = Plot(
            f"AUC under {name}",
            f"AUC on the test images, degraded by {name} in grades, of "
            + ", ".join(row.label for row in robust.values()),
            Axis(f"Grade of {name}", -0.2, 5.2, ticks=range(6)),
            Axis("AUC on test", *_with_margin(min(lows), 1.0), form="{:.2g}".format),
            _SMALL,
        )
        for place, row in robust.items():
            own = [p for p in row.robustness if p["degradation"] in ("none", name)]
            own = [p for p in own if p["auc"] is not None]
            with plot.group(place, place in shown):
                plot.line([p["grade"] for p in own], [p["auc"] for p in own], styles[place])
                for p in own:
                    if p["auc_low"] is not None:
                        plot.whisker(p["grade"], p["auc_low"], p["auc_high"], styles[place])
                    tip = f"{row.label}, grade {p['grade']}: {p['auc']:.3f}"
                    plot.point(p["grade"], p["auc"], styles[place], "circle", tip)
        drawn[name] = plot.svg()
    return drawn


def learning_figure(points: Sequence[Mapping[str, Any]], style: str) -> Markup:
    """Draw AUC against the number of training patients, or images where they are unknown."""
    known = all(point.get("n_patients") is not None for point in points)
    unit = "patients" if known else "images"
    points = sorted(points, key=lambda point: point[f"n_{unit}"])
    sizes = [point[f"n_{unit}"] for point in points]
    areas = [point["auc"] for point in points]
    intervals = [Scores.from_dict(point).metrics["auc"] for point in points]
    lows, highs = zip(*map(_bounds, intervals), strict=True)
    plot = Plot(
        "Learning curve",
        f"AUC on the test images against the number of training {unit}: "
        + "; ".join(f"{n:,} {unit}, {auc:.3f}" for n, auc in zip(sizes, areas, strict=True)),
        Axis(f"Training {unit}", 0, sizes[-1] * 1.04, form="{:,.0f}".format),
        Axis("AUC on test", *_with_margin(min(lows), max(highs))),
    )
    plot.band(sizes, lows, highs, style)
    plot.line(sizes, areas, style)
    for size, point in zip(sizes, points, strict=True):
        patients = f"{size:,} patients, " if known else ""
        tip = f"{patients}{point['n_images']:,} images: {point['auc']:.3f}"
        plot.point(size, point["auc"], style, "circle", tip)
    return plot.svg()


def epochs_figure(log: Mapping[str, Sequence[float]], figure: str, name: str) -> Markup | None:
    """Draw a figure of training and validation by epoch; None if the log lacks it."""
    columns = {"training": figure, "validation": f"val_{figure}"}
    curves = {label: log[column] for label, column in columns.items() if column in log}
    values = [v for curve in curves.values() for v in curve if np.isfinite(v)]
    if not values:
        return None
    low, high = min(values), max(values)
    log_scale = figure == "loss" and low > 0 and high / low > _LOG_RATIO
    if log_scale:
        limits = low / 1.2, high * 1.2
    else:
        limits = _with_margin(low, high, highest=np.inf if figure == "loss" else 1.0)
    title = "AUC" if figure == "auc" else figure.capitalize()
    last = max(len(curve) for curve in curves.values()) + 0.5
    epochs = [tick for tick in nice_ticks(0.5, last, 8) if tick == round(tick)]
    y_label = f"{title} (logarithmic)" if log_scale else title
    plot = Plot(
        f"{title} of {name} by epoch",
        "; ".join(f"{label}: from {c[0]:.3f} to {c[-1]:.3f}" for label, c in curves.items()),
        Axis("Epoch", 0.5, last, ticks=epochs),
        Axis(y_label, *limits, log=log_scale, form="{:.3g}".format),
        _SMALL,
    )
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
    seconds = [cost for cost, _ in known.values()]
    start, end = min(seconds) / 2.5, max(seconds) * 2.5
    plot = Plot(
        "Cost against AUC",
        "; ".join(
            f"{place + 1}, {row.label}: {cost:,.0f} s, AUC {row.auc:.3f}"
            for place, (cost, row) in known.items()
        ),
        Axis(
            "Seconds to extract and fit (logarithmic)",
            start,
            end,
            log=True,
            ticks=[tick for tick in log_ticks(start, end) if tick >= 1],
            form="{:,.0f}".format,
        ),
        Axis("AUC on test", *_with_margin(min(b for b, _ in bounds), max(t for _, t in bounds))),
    )
    for (place, (cost, row)), (bottom, top) in zip(known.items(), bounds, strict=True):
        plot.whisker(cost, bottom, top, styles[place])
        tip = f"{row.label}: {cost:,.0f} s, {row.auc:.3f}"
        plot.point(cost, row.auc, styles[place], SHAPES.get(row.kind, "circle"), tip)
        plot.mark(cost, row.auc, str(place + 1))
    return plot.svg()


def _grouped(plot: Plot, models: Models) -> Iterator[tuple[int, DrawnModel]]:
    """Yield place and model; what is drawn meanwhile belongs to the model."""
    for place, model in models.items():
        with plot.group(place, model.shown):
            yield place, model


def _names(models: Models) -> str:
    return ", ".join(model.label for model in models.values())


def _bounds(interval: Interval) -> tuple[float, float]:
    low = interval.low if np.isfinite(interval.low) else interval.value
    return low, interval.high if np.isfinite(interval.high) else interval.value


def _with_margin(low: float, high: float, highest: float = 1.0) -> tuple[float, float]:
    """Widen a range by a margin, from 0 to the highest possible value."""
    margin = max(0.05 * (high - low), 0.002)
    return max(0.0, low - margin), min(highest, high + margin)
