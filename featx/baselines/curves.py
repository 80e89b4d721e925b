"""Curves of a training by epoch, for ``curves.svg`` and the page of a benchmark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from featx.runtime.svg import Plot, log_ticks, nice_ticks, svg_document

__all__ = ["curves_svg", "epochs_plot"]

# From this ratio of extremes on, losses are drawn on a logarithmic scale.
_LOG_RATIO = 30.0

History = Mapping[str, Sequence[float]]


def curves_svg(history: History, name: str, best_epoch: int) -> str:
    """Draw accuracy and loss as one SVG file.

    Examples
    --------
    >>> history = dict.fromkeys(("accuracy", "val_accuracy", "loss", "val_loss"), [0.5, 0.6])
    >>> curves_svg(history, "ramirez-cnn", 2).count('class="line')
    6
    """
    plots = [epochs_plot(history, figure, name, best_epoch) for figure in ("accuracy", "loss")]
    title = f"{name}: training (dashed) and validation (solid) by epoch"
    return svg_document(title, [plot for plot in plots if plot is not None])


def epochs_plot(
    history: History, figure: str, name: str, best_epoch: int | None = None
) -> Plot | None:
    """Draw a figure of training and validation by epoch; None if the history lacks it."""
    columns = {"training": figure, "validation": f"val_{figure}"}
    curves = {label: history[column] for label, column in columns.items() if column in history}
    values = [v for curve in curves.values() for v in curve if math.isfinite(v)]
    if not values:
        return None
    low, high = min(values), max(values)
    logarithmic = figure == "loss" and low > 0 and high / low > _LOG_RATIO
    if logarithmic:
        low, high = low / 1.2, high * 1.2
    else:
        margin = max(0.05 * (high - low), 0.002)
        highest = math.inf if figure == "loss" else 1.0
        low, high = max(0.0, low - margin), min(high + margin, highest)
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
    plot.axes(
        "Epoch",
        f"{title} (logarithmic)" if logarithmic else title,
        [tick for tick in nice_ticks(0.5, last, 8) if tick == round(tick)],
        log_ticks(low, high) if logarithmic else nice_ticks(low, high),
        formats=("{:g}".format, "{:.3g}".format),
    )
    if best_epoch is not None:
        plot.line([best_epoch, best_epoch], [low, high], "chance")
    for label, curve in curves.items():
        color, dashes = ("c0", "d0") if label == "validation" else ("c1", "d1")
        plot.line(range(1, len(curve) + 1), curve, f"{color} {dashes}")
        for epoch, value in enumerate(curve, 1):
            if math.isfinite(value):
                plot.point(epoch, value, color, "circle", f"{label}, epoch {epoch}: {value:.4f}")
    return plot
