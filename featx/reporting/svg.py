"""Plots as small SVG drawings: axes, lines, bands, bars and points.

Matplotlib would draw them too, but users would lose: curves that the reader of a page switches on
and off, colors that follow light, dark and print, a page of less than 1.5 MB for 36 curves, the
same bytes from the same numbers with any version, and an installation without it.

Colors are classes (``c0``, ``c1``, ...) that the page's style sheet defines.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

Floats = npt.NDArray[np.float64]

# A plot is too narrow to show more points of a line.
_MAX_POINTS = 400

_SHAPES = {
    "circle": "m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0",
    "square": "m-4 -4h8v8h-8z",
    "triangle": "m0 -5.5l5.2 9h-10.4z",
}

_MOST_TICKS = 6

_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 12, 12, 44


@dataclass(frozen=True)
class Axis:
    """Label, limits, scale and ticks of an axis; by default from 0 to 1."""

    label: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    ticks: Sequence[float] | None = None
    form: Callable[[float], str] = "{:g}".format

    def labeled_ticks(self) -> list[tuple[float, str]]:
        """Return the ticks with their labels."""
        choose = log_ticks if self.log else nice_ticks
        ticks = choose(self.low, self.high) if self.ticks is None else self.ticks
        return [(tick, self.form(tick)) for tick in ticks]

    def fraction(self, values: npt.ArrayLike) -> Floats:
        """Map values to 0 at the low limit and 1 at the high one."""
        scale = np.log10 if self.log else np.asarray
        found, low, high = (scale(np.asarray(v, float)) for v in (values, self.low, self.high))
        return (found - low) / (high - low)


class Plot:
    """One drawing with two axes.

    Examples
    --------
    >>> plot = Plot("A <line>", "It rises.", Axis("x"), Axis("y"))
    >>> plot.line([0, 1], [0, 1], "c0")
    >>> "A &lt;line&gt;" in plot.svg() and "<script" not in plot.svg()
    True
    """

    def __init__(
        self,
        title: str,
        description: str,
        x: Axis,
        y: Axis,
        size: tuple[int, int] = (400, 320),
        left: int = _LEFT,
    ) -> None:
        self.title, self.description, self.size = title, description, size
        self._left = left
        self._x, self._y = x, y
        self._frame: list[str] = []
        self._data: list[str] = []
        self._draw_axes()

    def horizontal(self, value: npt.ArrayLike) -> Floats:
        """Return the horizontal coordinates of values."""
        return self._left + self._x.fraction(value) * (self.size[0] - self._left - _RIGHT)

    def vertical(self, value: npt.ArrayLike) -> Floats:
        """Return the vertical coordinates of values, counted from the top."""
        height = self.size[1] - _TOP - _BOTTOM
        return self.size[1] - _BOTTOM - self._y.fraction(value) * height

    def _draw_axes(self) -> None:
        width, height = self.size
        bottom, right = height - _BOTTOM, width - _RIGHT
        for value, label in self._x.labeled_ticks():
            x = self.horizontal(value)
            self._frame.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/>')
            self._text(x, bottom + 16, label, "tick middle")
        for value, label in self._y.labeled_ticks():
            y = self.vertical(value)
            self._frame.append(f'<path class="grid" d="M{self._left} {y:.1f}H{right}"/>')
            self._text(self._left - 6, y + 4, label, "tick end")
        self._frame.append(f'<path class="axis" d="M{self._left} {_TOP}V{bottom}H{right}"/>')
        self._text((self._left + right) / 2, height - 6, self._x.label, "label middle")
        place = f'x="11" y="{(_TOP + bottom) / 2:.0f}"'
        turned = f'transform="rotate(-90 11 {(_TOP + bottom) / 2:.0f})"'
        self._frame.append(
            f'<text class="label middle" {place} {turned}>{escape(self._y.label)}</text>'
        )

    def line(self, x: npt.ArrayLike, y: npt.ArrayLike, style: str) -> None:
        """Draw a line through points."""
        self._data.append(f'<path class="line {style}" d="M{self._points(x, y)}"/>')

    def band(self, x: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, style: str) -> None:
        """Fill the area between two lines."""
        if np.size(x):
            upper, lower = self._points(x, high), self._points(np.flip(x), np.flip(low))
            self._data.append(f'<path class="band {style}" d="M{upper}L{lower}Z"/>')

    def bar(self, x: tuple[float, float], y: tuple[float, float], style: str) -> None:
        """Fill a rectangle."""
        left, right = self.horizontal(x)
        bottom, top = self.vertical(y)
        self._data.append(
            f'<rect class="bar {style}" x="{left:.1f}" y="{top:.1f}" '
            f'width="{right - left:.1f}" height="{bottom - top:.1f}"/>'
        )

    def whisker(self, x: float, low: float, high: float, style: str) -> None:
        """Draw a vertical interval."""
        across, (bottom, top) = self.horizontal(x), self.vertical([low, high])
        ends = "".join(f"M{across - 3:.1f} {y:.1f}h6" for y in (bottom, top))
        self._data.append(
            f'<path class="whisker {style}" d="M{across:.1f} {bottom:.1f}V{top:.1f}{ends}"/>'
        )

    def interval(self, y: float, low: float, high: float, style: str) -> None:
        """Draw a horizontal interval."""
        up, (left, right) = self.vertical(y), self.horizontal([low, high])
        ends = "".join(f"M{x:.1f} {up - 3:.1f}v6" for x in (left, right))
        path = f"M{left:.1f} {up:.1f}H{right:.1f}{ends}"
        self._data.append(f'<path class="whisker {style}" d="{path}"/>')

    def point(self, x: float, y: float, style: str, shape: str, tip: str) -> None:
        """Draw a circle, square or triangle, with a tooltip."""
        place = f"M{self.horizontal(x):.1f} {self.vertical(y):.1f}{_SHAPES[shape]}"
        title = f"<title>{escape(tip)}</title>"
        self._data.append(f'<path class="point {style}" d="{place}">{title}</path>')

    def mark(self, x: float, y: float, text: str) -> None:
        """Write text to the right of a point."""
        self._text(self.horizontal(x) + 7, self.vertical(y) + 4, text, "mark")

    @contextmanager
    def group(self, row: int, shown: bool) -> Iterator[None]:
        """Put together what is drawn of one row of the table, which the reader shows or hides."""
        self._data.append(f'<g data-row="{row}"{"" if shown else " data-off"}>')
        yield
        self._data.append("</g>")

    def svg(self) -> Markup:
        """Return the drawing as an element of a page."""
        frame, data = "".join(self._frame), "".join(self._data)
        content = "".join([self.title, self.description, frame, data])
        name = "f" + hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:10]
        width, height = self.size
        return Markup(
            f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" '
            f'aria-labelledby="{name}-t {name}-d"><title id="{name}-t">{escape(self.title)}'
            f'</title><desc id="{name}-d">{escape(self.description)}</desc>'
            f"{frame}{self._clipped(data)}</svg>"
        )

    def _text(self, x: float | Floats, y: float | Floats, text: str, style: str) -> None:
        self._frame.append(f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>')

    def _clipped(self, data: str) -> str:
        """Hide everything beyond the axes, except half a mark."""
        x, y = self._left - 6, _TOP - 6
        width, height = self.size[0] - self._left - _RIGHT + 12, self.size[1] - _TOP - _BOTTOM + 12
        place = f'x="{x}" y="{y}" width="{width}" height="{height}"'
        return f'<svg {place} viewBox="{x} {y} {width} {height}">{data}</svg>'

    def _points(self, x: npt.ArrayLike, y: npt.ArrayLike) -> str:
        points = np.column_stack([self.horizontal(x), self.vertical(y)])
        points = points[np.isfinite(points).all(axis=1)]
        if len(points) > _MAX_POINTS:
            points = points[np.linspace(0, len(points) - 1, _MAX_POINTS).astype(np.int64)]
        return "L".join(f"{across:.1f} {up:.1f}" for across, up in points)


def nice_ticks(low: float, high: float, most: int = _MOST_TICKS) -> list[float]:
    """Return round numbers from one value to another.

    Examples
    --------
    >>> nice_ticks(0.97, 0.998)
    [0.97, 0.98, 0.99]
    >>> nice_ticks(0, 830)
    [0.0, 200.0, 400.0, 600.0, 800.0]
    """
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    steps = (power * factor for factor in (1, 2, 5, 10, 20))
    step = next(step for step in steps if (high - low) / step <= most - 1)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2, 5 times powers of ten from one value to another, or the powers if too many.

    Examples
    --------
    >>> log_ticks(0.4, 30)
    [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for factors in ((1, 2, 5), (1,)):
        ticks = [round(factor * 10.0**power, 12) for power in powers for factor in factors]
        found = [tick for tick in ticks if low <= tick <= high]
        if len(found) <= _MOST_TICKS:
            break
    return found
