"""Whether probabilities can be believed, and acted upon: calibration and decision curves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from featx.metrics.decision import net_benefit, net_benefit_of_treating_all
from featx.metrics.intervals import Interval, proportion_interval
from featx.report.figures.drawing import Plot, nice_ticks
from featx.report.figures.model import DrawnModel

__all__ = ["calibration_figure", "decision_figure", "reliability_bins"]

_SHARES = [0, 0.2, 0.4, 0.6, 0.8, 1]
_BINS = 10


def reliability_bins(model: DrawnModel) -> list[tuple[float, Interval, int]]:
    """Compare what was said with what was so, in ten bins of equal width."""
    bins = np.minimum((model.probability * _BINS).astype(np.int64), _BINS - 1)
    found = []
    for number in np.unique(bins).tolist():
        inside = bins == number
        owners = None if model.patients is None else model.patients[inside]
        share = proportion_interval(model.positive[inside], owners)
        found.append((float(model.probability[inside].mean()), share, int(inside.sum())))
    return found


def calibration_figure(models: Mapping[int, DrawnModel], positive: str) -> Markup:
    """Draw shares of positives against probabilities, with Wilson's intervals."""
    plot = Plot(
        f"Calibration for {positive}",
        "Share of images that are positive, against the mean probability that was given, in ten "
        "bins; on the diagonal probabilities mean what they say.",
        x=(0, 1),
        y=(0, 1),
    )
    plot.axes(f"Mean probability of {positive}", "Share that is so", _SHARES, _SHARES)
    plot.line([0, 1], [0, 1], "chance")
    for place, model in models.items():
        bins = reliability_bins(model)
        plot.group(place, model.shown)
        plot.line([x for x, _, _ in bins], [share.value for _, share, _ in bins], model.style)
        for x, share, n in bins:
            plot.whisker(x, share.low, share.high, model.style)
            tip = f"{model.label}: {n:,} images, mean probability {x:.2f}, positive {share}"
            plot.point(x, share.value, model.style, model.shape, tip)
        plot.end_group()
    return plot.svg()


def decision_figure(models: Mapping[int, DrawnModel], positive: str) -> Markup:
    """Draw net benefit against threshold probability, beside acting on all and on none."""
    thresholds = np.linspace(0, 0.99, 100)
    labels = next(iter(models.values())).positive
    share = float(labels.mean())
    low = -0.15 * share
    plot = Plot(
        f"Decision curves for {positive}",
        f"Net benefit of acting on {positive} by each model, against the probability from which "
        "one acts, beside acting on every image and on none.",
        x=(0, 1),
        y=(low, share * 1.05),
    )
    plot.axes(
        "Threshold probability",
        "Net benefit",
        _SHARES,
        nice_ticks(low, share * 1.05),
        form=("{:g}".format, "{:.2g}".format),
    )
    everyone = net_benefit_of_treating_all(labels, thresholds)
    seen = everyone >= low
    plot.line(thresholds[seen], everyone[seen], "chance")
    plot.line([0, 1], [0, 0], "zero")
    for place, model in models.items():
        benefit = net_benefit(model.positive, model.probability, thresholds)
        seen = benefit >= low
        plot.group(place, model.shown)
        plot.line(thresholds[seen], benefit[seen], model.style)
        plot.end_group()
    return plot.svg()
