from __future__ import annotations

import re

import numpy as np
import pytest

from featx.reporting.svg import Axis, Plot, nice_ticks


def test_places_are_linear_or_logarithmic():
    plot = Plot("", "", Axis("", 1, 100, log=True), Axis("", 0, 2))
    left, middle, right = plot.horizontal([1, 10, 100])
    assert middle - left == pytest.approx(right - middle) and right == 400 - 12
    bottom, center, top = plot.vertical([0, 1, 2])
    assert bottom - center == pytest.approx(center - top) and top == 12


def test_long_lines_are_thinned_but_keep_their_ends():
    plot = Plot("", "", Axis(""), Axis(""))
    x = np.linspace(0, 1, 5000)
    plot.line(x, x, "c0")
    (corners,) = re.findall(r'class="line c0" d="M([^"]+)"', plot.svg())
    points = [tuple(map(float, corner.split())) for corner in corners.split("L")]
    assert len(points) == 400
    assert points[0][0] == pytest.approx(plot.horizontal(0)) and points[-1][1] == 12


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.9931, 0.9987), (-0.03, 0.8), (0, 12345)])
def test_ticks_are_few_round_and_inside(low, high):
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 6
    assert low - 1e-9 <= ticks[0] and ticks[-1] <= high + 1e-9
    step = ticks[1] - ticks[0]
    assert step / 10 ** np.floor(np.log10(step) + 1e-9) == pytest.approx(
        round(step / 10 ** np.floor(np.log10(step) + 1e-9))
    )
