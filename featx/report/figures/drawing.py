"""What figures are drawn with: a plot with axes, lines, bands, bars and points, as SVG.

Colors are classes (``c0``, ``c1``, …) that the page's style sheet sets for light, dark and print.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

__all__ = ["Plot", "nice_ticks"]

Floats = npt.NDArray[np.float64]
Form = Callable[[float], str]

# More corners than the drawing has places for cannot be seen.
_MOST_CORNERS = 400


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
    ) -> None:
        self.title, self.description, self.size, self.log_x = title, description, size, log_x
        self._x = (math.log10(x[0]), math.log10(x[1])) if log_x else x
        self._y = y
        self._frame: list[str] = []
        self._data: list[str] = []

    def horizontal(self, value: npt.ArrayLike) -> Floats:
        """Place values along the x axis."""
        values = np.asarray(value, dtype=np.float64)
        if self.log_x:
            values = np.log10(values)
        share = (values - self._x[0]) / (self._x[1] - self._x[0])
        return self._LEFT + share * (self.size[0] - self._LEFT - self._RIGHT)

    def vertical(self, value: npt.ArrayLike) -> Floats:
        """Place values along the y axis."""
        share = (np.asarray(value, dtype=np.float64) - self._y[0]) / (self._y[1] - self._y[0])
        return self.size[1] - self._BOTTOM - share * (self.size[1] - self._TOP - self._BOTTOM)

    def axes(
        self,
        x_label: str,
        y_label: str,
        x_ticks: Sequence[float],
        y_ticks: Sequence[float],
        form: tuple[Form, Form] = ("{:g}".format, "{:g}".format),
    ) -> None:
        """Draw axes with labeled ticks and faint lines."""
        width, height = self.size
        bottom, right = height - self._BOTTOM, width - self._RIGHT
        for value in x_ticks:
            x = self.horizontal(value)
            self._frame.append(f'<path class="grid" d="M{x:.1f} {self._TOP}V{bottom}"/>')
            self.text(float(x), bottom + 16, form[0](value), "tick middle")
        for value in y_ticks:
            y = self.vertical(value)
            self._frame.append(f'<path class="grid" d="M{self._LEFT} {y:.1f}H{right}"/>')
            self.text(self._LEFT - 6, float(y) + 4, form[1](value), "tick end")
        self._frame.append(f'<path class="axis" d="M{self._LEFT} {self._TOP}V{bottom}H{right}"/>')
        self.text((self._LEFT + right) / 2, height - 6, x_label, "label middle")
        middle = (self._TOP + bottom) / 2
        turned = f'transform="rotate(-90 11 {middle:.0f})"'
        self._frame.append(
            f'<text class="label middle" x="11" y="{middle:.0f}" {turned}>{escape(y_label)}</text>'
        )

    def line(self, x: npt.ArrayLike, y: npt.ArrayLike, style: str) -> None:
        """Draw a line through points."""
        self._add(f'<path class="line {style}" d="M{self._corners(x, y)}"/>')

    def steps(self, x: npt.ArrayLike, y: npt.ArrayLike, style: str) -> None:
        """Draw steps: each height holds from the x before to its own."""
        across, up = np.asarray(x, np.float64), np.asarray(y, np.float64)
        corners_x = np.repeat(across, 2)[:-1]
        corners_y = np.repeat(up, 2)[1:]
        self.line(corners_x, corners_y, style)

    def band(self, x: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, style: str) -> None:
        """Fill what lies between two lines."""
        if len(np.asarray(x)) == 0:
            return
        there = self._corners(x, high)
        back = self._corners(np.asarray(x)[::-1], np.asarray(low)[::-1])
        self._add(f'<path class="band {style}" d="M{there}L{back}Z"/>')

    def bar(self, x: tuple[float, float], y: tuple[float, float], style: str) -> None:
        """Fill a rectangle."""
        left, right = self.horizontal(x)
        bottom, top = self.vertical(y)
        self._add(
            f'<rect class="bar {style}" x="{left:.1f}" y="{top:.1f}" '
            f'width="{right - left:.1f}" height="{bottom - top:.1f}"/>'
        )

    def whisker(self, x: float, low: float, high: float, style: str) -> None:
        """Draw an upright interval."""
        across, (bottom, top) = self.horizontal(x), self.vertical([low, high])
        ends = "".join(f"M{across - 3:.1f} {y:.1f}h6" for y in (bottom, top))
        self._add(f'<path class="whisker {style}" d="M{across:.1f} {bottom:.1f}V{top:.1f}{ends}"/>')

    def point(self, x: float, y: float, style: str, shape: str = "circle", tip: str = "") -> None:
        """Draw a mark: a circle, square or triangle, named when it is pointed at."""
        across, up = float(self.horizontal(x)), float(self.vertical(y))
        told = f"<title>{escape(tip)}</title>" if tip else ""
        forms = {
            "circle": "m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0",
            "square": "m-4 -4h8v8h-8z",
            "triangle": "m0 -5.5l5.2 9h-10.4z",
        }
        place = f"M{across:.1f} {up:.1f}"
        self._add(f'<path class="point {style}" d="{place}{forms[shape]}">{told}</path>')

    def text(self, x: float, y: float, text: str, style: str) -> None:
        """Write at a place of the drawing, in its own units."""
        self._frame.append(f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>')

    def group(self, row: int, shown: bool = True) -> None:
        """Begin what belongs to one row of the table, until `end_group`."""
        self._add(f'<g data-row="{row}"{"" if shown else " data-off"}>')

    def end_group(self) -> None:
        """End what `group` began."""
        self._add("</g>")

    def svg(self) -> Markup:
        """Return the drawing, to stand in a page."""
        frame, data = "".join(self._frame), "".join(self._data)
        content = "".join([self.title, self.description, frame, data])
        name = "f" + hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:10]
        width, height = self.size
        return Markup(
            f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" '
            f'aria-labeledby="{name}-t {name}-d"><title id="{name}-t">{escape(self.title)}'
            f'</title><desc id="{name}-d">{escape(self.description)}</desc>'
            f"{frame}{self._clipped(data)}</svg>"
        )

    def _clipped(self, data: str) -> str:
        """Hide what lies beyond the axes, but for half a mark."""
        x, y = self._LEFT - 6, self._TOP - 6
        width = self.size[0] - self._LEFT - self._RIGHT + 12
        height = self.size[1] - self._TOP - self._BOTTOM + 12
        place = f'x="{x}" y="{y}" width="{width}" height="{height}"'
        return f'<svg {place} viewBox="{x} {y} {width} {height}">{data}</svg>'

    def _corners(self, x: npt.ArrayLike, y: npt.ArrayLike) -> str:
        across, up = self.horizontal(x), self.vertical(y)
        kept = np.isfinite(across) & np.isfinite(up)
        across, up = across[kept], up[kept]
        if len(across) > _MOST_CORNERS:
            places = np.linspace(0, len(across) - 1, _MOST_CORNERS).astype(np.int64)
            across, up = across[places], up[places]
        return "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(across, up, strict=True))

    def _add(self, part: str) -> None:
        self._data.append(part)


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Find round numbers from one value to another.

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
