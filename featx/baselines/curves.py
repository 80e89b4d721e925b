"""Accuracy and loss of training against validation, as one SVG file that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

__all__ = ["curves_svg"]

WIDTH, HEIGHT = 380, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 34, 44

# From this ratio of extremes on, losses are drawn on a logarithmic scale.
SPREAD = 30.0

# Two colors that stay apart for the color-blind (Okabe and Ito 2008).
COLORS = {"training": "#0072B2", "validation": "#D55E00"}

Place = Callable[[float], float]

PANELS = (
    ("Accuracy", "accuracy", "val_accuracy"),
    ("Loss", "loss", "val_loss"),
)


def curves_svg(history: Mapping[str, Sequence[float]], title: str, best_epoch: int) -> str:
    """Draw the curves of a training.

    Examples
    --------
    >>> history = dict.fromkeys(("accuracy", "val_accuracy", "loss", "val_loss"), [0.5, 0.6])
    >>> curves_svg(history, "ramirez-cnn", 2).count("<polyline")
    4
    """
    panels = [
        _panel(name, {"training": history[first], "validation": history[second]}, best_epoch)
        for name, first, second in PANELS
    ]
    total = WIDTH * len(panels)
    body = "".join(
        f'<g transform="translate({number * WIDTH},24)">{panel}</g>'
        for number, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {HEIGHT + 24}" '
        f'width="{total}" height="{HEIGHT + 24}" font-family="sans-serif" font-size="12" '
        f'role="img"><title>{escape(title)}: training and validation by epoch</title>'
        f'<rect width="100%" height="100%" fill="white"/>'
        f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{escape(title)}</text>'
        f"{body}</svg>\n"
    )


def _panel(name: str, curves: dict[str, Sequence[float]], best_epoch: int) -> str:
    values = [value for curve in curves.values() for value in curve if math.isfinite(value)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    logarithmic = low > 0 and high / low > SPREAD
    scale = math.log10 if logarithmic else float
    bottom, top = scale(low), scale(high)
    margin = 0.05 * (top - bottom) or 0.05
    bottom, top = bottom - margin, top + margin
    epochs = max(len(curve) for curve in curves.values())

    def x(epoch: float) -> float:
        share = (epoch - 1) / (epochs - 1) if epochs > 1 else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (scale(value) - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM)

    parts = [_axes(name + (" (logarithmic)" if logarithmic else ""), epochs, x)]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        level = bottom + margin + share * (top - bottom - 2 * margin)
        value = 10**level if logarithmic else level
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            f'stroke="#ddd"/><text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">'
            f"{value:.3g}</text>"
        )
    parts.append(
        f'<line x1="{x(best_epoch):.1f}" x2="{x(best_epoch):.1f}" y1="{TOP}" '
        f'y2="{HEIGHT - BOTTOM}" stroke="#888" stroke-dasharray="2 3"/>'
    )
    for number, (label, curve) in enumerate(curves.items()):
        parts.append(_curve(label, curve, x, y, number))
    return "".join(parts)


def _axes(title: str, epochs: int, x: Place) -> str:
    step = max(1, math.ceil(epochs / 10))
    ticks = "".join(
        f'<text x="{x(epoch):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{epoch}</text>'
        for epoch in range(1, epochs + 1, step)
    )
    middle = (LEFT + WIDTH - RIGHT) / 2
    return (
        f'<text x="{LEFT}" y="{TOP - 14}">{escape(title)}</text>{ticks}'
        f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">epoch</text>'
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#333"/>'
    )


def _curve(label: str, curve: Sequence[float], x: Place, y: Place, number: int) -> str:
    color = COLORS[label]
    dashes = ' stroke-dasharray="6 3"' if label == "validation" else ""
    points = [
        (x(epoch), y(value)) for epoch, value in enumerate(curve, start=1) if math.isfinite(value)
    ]
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2" fill="{color}"/>' for a, b in points)
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    place = WIDTH - RIGHT - 150 + 80 * number
    return (
        f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.8"{dashes}/>'
        f'{dots}<text x="{place}" y="{TOP - 14}" fill="{color}">{label}</text>'
    )
