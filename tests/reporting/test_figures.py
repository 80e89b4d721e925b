import re

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from featx.metrics.intervals import wilson_interval
from featx.metrics.operating_point import OperatingPoint
from featx.reporting.figures import (
    DrawnModel,
    cost_figure,
    epochs_figure,
    reliability_bins,
    score_histogram,
)
from featx.reporting.panels import COLORS, assign_styles, operating_cost
from featx.reporting.records import BenchmarkRow
from featx.reporting.svg import Axis, Plot, nice_ticks


def model(positive, probability, patients=None, threshold=0.5):
    positive, probability = np.asarray(positive, bool), np.asarray(probability, np.float64)
    return DrawnModel("m", "c0", "circle", positive, probability, patients, threshold, np.nan, True)


def test_reliability_is_that_of_the_bins():
    bins = reliability_bins(model([0, 1, 1, 1, 0], [0.05, 0.55, 0.57, 0.53, 0.99]))
    assert [n for _, _, n in bins] == [1, 3, 1]
    mean, proportion, _ = bins[1]
    assert mean == pytest.approx(0.55)
    assert proportion == wilson_interval(3, 3)


def test_reliability_is_clustered_by_patient(generator):
    positive = np.repeat(generator.random(20) < 0.5, 5)
    probability = np.full(100, 0.5)
    alone = reliability_bins(model(positive, probability))[0][1]
    together = reliability_bins(model(positive, probability, np.repeat(np.arange(20), 5)))[0][1]
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def youden(truth, called):
    return recall_score(truth, called) + recall_score(~truth, ~called) - 1


@pytest.mark.parametrize(
    ("rule", "merit"),
    [
        ("youden", youden),
        ("f1", f1_score),
        ("cost=5:1", lambda truth, called: -(5 * (truth & ~called) + (called & ~truth)).mean()),
        ("sensitivity=0.9", lambda truth, called: min(recall_score(truth, called) - 0.9, 0)),
        ("specificity=0.9", lambda truth, called: min(recall_score(~truth, ~called) - 0.9, 0)),
    ],
)
def test_a_threshold_is_judged_by_the_rule_that_chose_it(rule, merit, generator):
    positive = generator.random(80) < 0.4
    probability = np.clip(generator.normal(0.4 + 0.2 * positive, 0.2), 0, 1).round(2)
    for threshold in (0.2, 0.7):
        cost = operating_cost(model(positive, probability), threshold, OperatingPoint.parse(rule))
        assert cost.sensitivity == recall_score(positive, probability >= threshold)
        here = merit(positive, probability >= threshold)
        best = max(merit(positive, probability >= cut) for cut in np.append(probability, 2.0))
        assert cost.lost == pytest.approx(best - here)
        assert merit(positive, probability >= cost.best_threshold) == pytest.approx(best)


def test_histogram_heights_are_roots_of_proportions():
    drawing = score_histogram(model([1, 1, 1, 1, 0], [0.99, 0.99, 0.99, 0.01, 0.5]), "ILL")
    heights = [float(h) for h in re.findall(r'class="bar upper"[^>]+height="([\d.]+)"', drawing)]
    assert len(heights) == 25
    assert heights[-1] / heights[0] == pytest.approx(np.sqrt(3), rel=0.01)


def test_controls_are_not_drawn_by_cost():
    values = {"backbone": "a", "classifier": "svm", "auc": 0.9}
    values |= {"seconds_extract": 5.0, "seconds_fit": 5.0}
    kinds = ("frozen", "control", "baseline")
    rows = [BenchmarkRow.from_dict({**values, "kind": kind}) for kind in kinds]
    drawing = cost_figure(rows, assign_styles(3))
    assert drawing.count('class="point') == 2 and "(control): 10 s" not in drawing
    assert cost_figure(rows[:2], assign_styles(2)) is None


def test_models_drawn_first_differ_in_color():
    styles = assign_styles(20, first=[0, 6, 12])
    assert len({styles[place].split()[0] for place in (0, 6, 12)}) == 3
    assert len(set(styles)) == 20 and COLORS == 6


def test_an_exploding_loss_is_drawn_on_a_logarithmic_scale():
    log = {"loss": [0.1, 1.0, 10.0], "val_loss": [0.1, np.nan, np.inf]}
    drawing = epochs_figure(log, "loss", "a")
    assert "Loss (logarithmic)" in drawing
    (line,) = re.findall(r'class="line c1 d1" d="M([^"]+)"', drawing)
    heights = [float(point.split()[1]) for point in line.split("L")]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)
    assert drawing.count('class="point c0"') == 1, "values that are not finite are left out"


def test_a_log_without_a_figure_has_no_drawing():
    assert epochs_figure({"epoch": [1.0]}, "auc", "cnn") is None
    assert "from 0.500 to 0.900" in epochs_figure({"val_auc": [0.5, 0.9]}, "auc", "cnn")


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
    digit = step / 10 ** np.floor(np.log10(step) + 1e-9)
    assert digit == pytest.approx(round(digit))
