"""What training took: learning curve, epochs of baselines, cost against AUC."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from featx.report.figures.drawing import Plot, nice_ticks

__all__ = ["cost_figure", "epochs_figure", "learning_figure"]

_SHAPES = {"baseline": "square", "control": "triangle"}


def learning_figure(points: Sequence[Mapping[str, Any]], style: str) -> Markup:
    """Draw AUC against the number of training patients, with its interval."""
    points = sorted(points, key=lambda point: point["n_patients"])
    patients = [point["n_patients"] for point in points]
    areas = [point["auc"] for point in points]
    lows, highs = (
        [_known(point[n], point["auc"]) for point in points] for n in ("auc_low", "auc_high")
    )
    low, high = _room(min(lows), max(highs))
    plot = Plot(
        "Learning curve",
        "AUC on the test images against the number of training patients: "
        + "; ".join(f"{n:,} patients, {auc:.3f}" for n, auc in zip(patients, areas, strict=True)),
        x=(0, patients[-1] * 1.04),
        y=(low, high),
    )
    plot.axes(
        "Training patients",
        "AUC on test",
        nice_ticks(0, patients[-1] * 1.04),
        nice_ticks(low, high),
        form=("{:,.0f}".format, "{:g}".format),
    )
    plot.band(patients, lows, highs, style)
    plot.line(patients, areas, style)
    for point in points:
        tip = f"{point['n_patients']:,} patients, {point['n_images']:,} images: {point['auc']:.3f}"
        plot.point(point["n_patients"], point["auc"], style, "circle", tip)
    return plot.svg()


def epochs_figure(log: Mapping[str, Sequence[float]], figure: str, name: str) -> Markup | None:
    """Draw a figure of a baseline's training, epoch after epoch."""
    shown = {
        label: (log[column], style)
        for column, label, style in (
            (figure, "training", "c1"),
            (f"val_{figure}", "validation", "c0"),
        )
        if column in log
    }
    values = [v for line, _ in shown.values() for v in line if math.isfinite(v)]
    if not values:
        return None
    epochs = np.arange(1, len(next(iter(shown.values()))[0]) + 1)
    word = "AUC" if figure == "auc" else figure.capitalize()
    low, high = _room(min(values), max(values), least=0.0, most=None if figure == "loss" else 1.0)
    plot = Plot(
        f"{word} of {name} by epoch",
        "; ".join(
            f"{label}: from {line[0]:.3f} to {line[-1]:.3f}" for label, (line, _) in shown.items()
        ),
        x=(0.5, len(epochs) + 0.5),
        y=(low, high),
        size=(400, 240),
    )
    ticks = [tick for tick in nice_ticks(0.5, len(epochs) + 0.5, 8) if tick == round(tick)]
    plot.axes("Epoch", word, ticks, nice_ticks(low, high), form=("{:g}".format, "{:.3g}".format))
    for label, (line, style) in shown.items():
        plot.line(epochs, line, f"{style} {'d0' if label == 'validation' else 'd1'}")
        for epoch, value in zip(epochs.tolist(), line, strict=True):
            if math.isfinite(value):
                plot.point(epoch, value, style, "circle", f"{label}, epoch {epoch}: {value:.4f}")
    return plot.svg()


def cost_figure(
    rows: Sequence[Mapping[str, Any]], labels: Sequence[str], styles: Sequence[str]
) -> Markup | None:
    """Draw AUC against the seconds a model took, extraction and fit together; no controls."""
    known = [
        (place, max(1.0, (row.get("seconds_extract") or 0) + (row.get("seconds_fit") or 0)), row)
        for place, row in enumerate(rows)
        if row["kind"] != "control"
        and row.get("auc") is not None
        and row.get("seconds_fit") is not None
    ]
    if len(known) < 2:
        return None
    lows = [_known(row.get("auc_low"), row["auc"]) for _, _, row in known]
    highs = [_known(row.get("auc_high"), row["auc"]) for _, _, row in known]
    low, high = _room(min(lows), max(highs))
    seconds = [cost for _, cost, _ in known]
    start, end = min(seconds) / 2.5, max(seconds) * 2.5
    plot = Plot(
        "Cost against AUC",
        "; ".join(
            f"{place + 1}, {labels[place]}: {cost:,.0f} s, AUC {row['auc']:.3f}"
            for place, cost, row in known
        ),
        x=(start, end),
        y=(low, high),
        log_x=True,
    )
    steps = [factor * 10**power for power in range(7) for factor in (1, 2, 5)]
    ticks = [step for step in steps if start <= step <= end]
    if len(ticks) > 6:
        ticks = [step for step in ticks if str(step).startswith("1")]
    plot.axes(
        "Seconds to extract and fit (logarithmic)",
        "AUC on test",
        ticks,
        nice_ticks(low, high),
        form=("{:,.0f}".format, "{:g}".format),
    )
    for (place, cost, row), bottom, top in zip(known, lows, highs, strict=True):
        style = styles[place]
        plot.whisker(cost, bottom, top, style)
        shape = _SHAPES.get(row.get("kind", ""), "circle")
        plot.point(
            cost, row["auc"], style, shape, f"{labels[place]}: {cost:,.0f} s, {row['auc']:.3f}"
        )
        x, y = float(plot.horizontal(cost)), float(plot.vertical(row["auc"]))
        plot.text(x + 7, y + 4, str(place + 1), "mark")
    return plot.svg()


def _known(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _room(
    low: float, high: float, least: float = 0.0, most: float | None = 1.0
) -> tuple[float, float]:
    """Leave some room about values, within what they can be."""
    room = max(0.05 * (high - low), 0.002)
    top = high + room
    return max(least, low - room), top if most is None else min(max(most, high), top)
