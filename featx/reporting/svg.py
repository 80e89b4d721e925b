"""Plots as small SVG drawings: axes, lines, bands, bars and points.

Matplotlib would draw them too, but users would lose: curves that the reader of a page switches on
and off, colors that follow light, dark and print, a page of less than 1.5 MB for 36 curves, the
same bytes from the same numbers with any version, and an installation without it.

Colors are classes (``c0``, ``c1``, ...) that the page's style sheet defines.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

__all__ = ["Plot", "log_ticks", "nice_ticks"]

Floats = npt.NDArray[np.float64]
Format = Callable[[float], str]

# A plot is too narrow to show more points of a line.
_MAX_POINTS = 400

_SHAPES = {
    "circle": "m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0",
    "square": "m-4 -4h8v8h-8z",
    "triangle": "m0 -5.5l5.2 9h-10.4z",
}


class Plot:
    """One drawing with two axes.

    Examples
    --------
    >>> plot = Plot("A <line>", "It rises.", x=(0, 1), y=(0, 1))
    >>> plot.line([0, 1], [0, 1], "c0")
    >>> "A &lt;line&gt;" in plot.svg() and "<script" not in plot.svg()
    True
    """

    _LEFT, _RIGHT, _TOP, _BOTTOM = 60, 12, 12, 44

    def __init__(
        self,
        title: str,
        description: str,
        *,
        x: tuple[float, float],
        y: tuple[float, float],
        size: tuple[int, int] = (400, 320),
        log_x: bool = False,
        log_y: bool = False,
    ) -> None:
        self.title, self.description, self.size = title, description, size
        self._x, self._y = _Scale(x, log_x), _Scale(y, log_y)
        self._frame: list[str] = []
        self._data: list[str] = []

    def horizontal(self, value: npt.ArrayLike) -> Floats:
        """Return the horizontal coordinates of values."""
        return self._LEFT + self._x.fraction(value) * (self.size[0] - self._LEFT - self._RIGHT)

    def vertical(self, value: npt.ArrayLike) -> Floats:
        """Return the vertical coordinates of values, counted from the top."""
        height = self.size[1] - self._TOP - self._BOTTOM
        return self.size[1] - self._BOTTOM - self._y.fraction(value) * height

    def axes(
        self,
        x_label: str,
        y_label: str,
        x_ticks: Sequence[float],
        y_ticks: Sequence[float],
        formats: tuple[Format, Format] = ("{:g}".format, "{:g}".format),
    ) -> None:
        """Draw axes with labeled ticks and grid lines."""
        width, height = self.size
        bottom, right = height - self._BOTTOM, width - self._RIGHT
        for value in x_ticks:
            x = self.horizontal(value)
            self._frame.append(f'<path class="grid" d="M{x:.1f} {self._TOP}V{bottom}"/>')
            self.text(float(x), bottom + 16, formats[0](value), "tick middle")
        for value in y_ticks:
            y = self.vertical(value)
            self._frame.append(f'<path class="grid" d="M{self._LEFT} {y:.1f}H{right}"/>')
            self.text(self._LEFT - 6, float(y) + 4, formats[1](value), "tick end")
        self._frame.append(f'<path class="axis" d="M{self._LEFT} {self._TOP}V{bottom}H{right}"/>')
        self.text((self._LEFT + right) / 2, height - 6, x_label, "label middle")
        middle = (self._TOP + bottom) / 2
        turned = f'transform="rotate(-90 11 {middle:.0f})"'
        self._frame.append(
            f'<text class="label middle" x="11" y="{middle:.0f}" {turned}>{escape(y_label)}</text>'
        )

    def line(self, x: npt.ArrayLike, y: npt.ArrayLike, style: str) -> None:
        """Draw a line through points."""
        self._data.append(f'<path class="line {style}" d="M{self._points(x, y)}"/>')

    def steps(self, x: npt.ArrayLike, y: npt.ArrayLike, style: str) -> None:
        """Draw steps: each height holds from the previous x to its own."""
        self.line(np.repeat(np.asarray(x), 2)[:-1], np.repeat(np.asarray(y), 2)[1:], style)

    def band(self, x: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, style: str) -> None:
        """Fill the area between two lines."""
        if np.size(x):
            upper = self._points(x, high)
            lower = self._points(np.asarray(x)[::-1], np.asarray(low)[::-1])
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

    def point(self, x: float, y: float, style: str, shape: str = "circle", tip: str = "") -> None:
        """Draw a circle, square or triangle, with a tooltip."""
        place = f"M{float(self.horizontal(x)):.1f} {float(self.vertical(y)):.1f}"
        title = f"<title>{escape(tip)}</title>" if tip else ""
        self._data.append(f'<path class="point {style}" d="{place}{_SHAPES[shape]}">{title}</path>')

    def text(self, x: float, y: float, text: str, style: str) -> None:
        """Write text at coordinates of the drawing."""
        self._frame.append(f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>')

    def group(self, row: int, shown: bool = True) -> None:
        """Begin the elements of one row of the table, until `end_group`."""
        self._data.append(f'<g data-row="{row}"{"" if shown else " data-off"}>')

    def end_group(self) -> None:
        """End what `group` began."""
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

    def _clipped(self, data: str) -> str:
        """Hide everything beyond the axes, except half a mark."""
        x, y = self._LEFT - 6, self._TOP - 6
        width = self.size[0] - self._LEFT - self._RIGHT + 12
        height = self.size[1] - self._TOP - self._BOTTOM + 12
        place = f'x="{x}" y="{y}" width="{width}" height="{height}"'
        return f'<svg {place} viewBox="{x} {y} {width} {height}">{data}</svg>'

    def _points(self, x: npt.ArrayLike, y: npt.ArrayLike) -> str:
        across, up = self.horizontal(x), self.vertical(y)
        kept = np.isfinite(across) & np.isfinite(up)
        across, up = across[kept], up[kept]
        if len(across) > _MAX_POINTS:
            places = np.linspace(0, len(across) - 1, _MAX_POINTS).astype(np.int64)
            across, up = across[places], up[places]
        return "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(across, up, strict=True))


class _Scale:
    """Map an interval to [0, 1], linearly or by the logarithm."""

    def __init__(self, limits: tuple[float, float], logarithmic: bool) -> None:
        self._transform = np.log10 if logarithmic else np.asarray
        self._low, self._high = (float(self._transform(limit)) for limit in limits)

    def fraction(self, value: npt.ArrayLike) -> Floats:
        values = np.asarray(self._transform(np.asarray(value, dtype=np.float64)))
        return (values - self._low) / (self._high - self._low)


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers from one value to another.

    Examples
    --------
    >>> nice_ticks(0.97, 0.998)
    [0.97, 0.98, 0.99]
    >>> nice_ticks(0, 830)
    [0.0, 200.0, 400.0, 600.0, 800.0]
    """
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(
        power * factor
        for factor in (1, 2, 5, 10, 20)
        if (high - low) / (power * factor) <= most - 1
    )
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return 1, 2, 5 times powers of ten from one value to another, or the powers if too many.

    Examples
    --------
    >>> log_ticks(0.4, 30)
    [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [round(factor * 10.0**power, 12) for power in powers for factor in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    if len(inside) > most:
        tens = {round(10.0**power, 12) for power in powers}
        inside = [tick for tick in inside if tick in tens]
    return inside
