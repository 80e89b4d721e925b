"""Figures of subgroups, side by side with their intervals: for the page, and for a paper."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from markupsafe import Markup

from featx.metrics.scores import Scores, Subgroup
from featx.reporting.columns import MAIN, MORE, Column
from featx.reporting.figures import SHAPES
from featx.reporting.records import BenchmarkRow
from featx.reporting.svg import Axis, Plot

_SHOWN = (
    *("auc", "accuracy", "sensitivity", "specificity", "balanced_accuracy", "brier"),
    *("calibration_slope", "calibration_intercept"),
)

COLUMNS: tuple[Column, ...] = tuple(
    column
    for name in _SHOWN
    for column in (*MAIN, *MORE)
    if column.field == name and not column.is_verdict
)
"""Figures in the tables of subgroups."""

# Characters of a group's name beside a drawing, and their width.
_LONGEST, _CHARACTER = 24, 6.4


@dataclass(frozen=True)
class Divided:
    """One model's figures on a set, divided by a column."""

    row: BenchmarkRow
    style: str
    shown: bool
    whole: Scores
    groups: tuple[Subgroup, ...]

    @property
    def reference(self) -> str:
        """Group that the others are compared with; empty where none is tested."""
        return next((each.reference for each in self.groups if each.reference), "")


@dataclass(frozen=True)
class Forest:
    """Models on one set, ``""`` for the test images, divided by one column."""

    column: str
    external: str
    models: dict[int, Divided]

    @property
    def title(self) -> str:
        """Column and set, in words."""
        return f"By {self.column}" + (f" on {self.external}" if self.external else "")

    @cached_property
    def groups(self) -> list[str]:
        """Names of the groups, in order."""
        return [each.group for each in next(iter(self.models.values())).groups]

    @property
    def many(self) -> bool:
        """Whether there are more than two classes."""
        return any(g.scores.per_class for each in self.models.values() for g in each.groups)

    @property
    def figures(self) -> list[Column]:
        """Figures that are tested."""
        tested = {"auc", "accuracy"} if self.many else {"auc", "sensitivity", "specificity"}
        return [column for column in COLUMNS if column.field in tested]

    @property
    def drawings(self) -> dict[str, Markup]:
        """Drawing of each tested figure, by title."""
        return {column.title: self._draw(column) for column in self.figures}

    def limits(self, figure: str) -> tuple[float, float]:
        """Return the ends of the axis of a figure."""
        found = [g.scores.metrics[figure] for d in self.models.values() for g in d.groups]
        lows = [b for each in found for b in (each.low, each.value) if math.isfinite(b)]
        return math.floor(20 * min(lows, default=0.0)) / 20 - 0.005, 1.005

    def _draw(self, column: Column) -> Markup:
        n = len(self.groups)
        names = [_short(name) for name in self.groups]
        plot = Plot(
            f"{column.title} {self.title[0].lower()}{self.title[1:]}",
            "; ".join(
                f"{each.row.label}: "
                + ", ".join(f"{g.group} {g.scores.metrics[column.field]}" for g in each.groups)
                for each in self.models.values()
            ),
            Axis(column.title, *self.limits(column.field)),
            Axis("", n - 0.5, -0.5, ticks=range(n), form=lambda place: names[int(place)]),
            (400, 56 + n * max(26, 9 * len(self.models))),
            24 + int(_CHARACTER * max(map(len, names))),
        )
        for place, model in self.models.items():
            with plot.group(place, model.shown):
                self._draw_model(plot, place, column.field)
        return plot.svg()

    def _draw_model(self, plot: Plot, place: int, figure: str) -> None:
        model = self.models[place]
        whole = model.whole.metrics[figure].value
        if math.isfinite(whole):
            plot.line([whole, whole], [len(self.groups) - 0.5, -0.5], f"{model.style} d2")
        for y, group in self.points(place):
            found = group.scores.metrics[figure]
            if math.isfinite(found.low) and math.isfinite(found.high):
                plot.interval(y, found.low, found.high, model.style)
            if math.isfinite(found.value):
                shape = SHAPES.get(model.row.kind, "circle")
                tip = f"{model.row.label}, {group.group}: {found}, {group.scores.n:,} images"
                plot.point(found.value, y, model.style, shape, tip)

    def points(self, place: int) -> list[tuple[float, Subgroup]]:
        """Return the groups of one model with their heights, models of a group side by side."""
        order = list(self.models)
        offset = 0.7 * ((order.index(place) + 0.5) / len(order) - 0.5)
        return [(self.groups.index(g.group) + offset, g) for g in self.models[place].groups]


def find_forests(
    rows: Sequence[BenchmarkRow], styles: Sequence[str], shown: Collection[int]
) -> list[Forest]:
    """Return the subgroups of all models, by column and set."""
    found: dict[tuple[str, str], dict[int, Divided]] = {}
    for place, row in enumerate(rows):
        for external, scores in {"": row.scores, **row.externals}.items():
            for column in dict.fromkeys(each.column for each in scores.subgroups):
                groups = tuple(each for each in scores.subgroups if each.column == column)
                model = Divided(row, styles[place], place in shown, scores, groups)
                found.setdefault((external, column), {})[place] = model
    return [Forest(column, external, models) for (external, column), models in found.items()]


def draw_forest(axes: Any, forest: Forest, colors: Sequence[str]) -> list[Sequence[Any]]:
    """Draw a forest by Matplotlib, one of the axes for each figure; return its numbers."""
    numbers: list[Sequence[Any]] = [
        (
            *("model", "group", "figure", "value", "low", "high", "images", "patients"),
            *("is small", "less that of", "difference", "difference low", "difference high"),
            "p-value",
        )
    ]
    for ax, column in zip(np.ravel(axes), forest.figures, strict=True):
        for place, model in forest.models.items():
            color = colors[int(model.style.split()[0][1:]) % len(colors)]
            ax.axvline(model.whole.metrics[column.field].value, color=color, ls=":", lw=0.8)
            for y, group in forest.points(place):
                found = group.scores.metrics[column.field]
                ax.plot([found.low, found.high], [y, y], color=color, lw=1)
                label = model.row.label if group is model.groups[0] else None
                ax.plot([found.value], [y], "o", ms=3, color=color, label=label)
                test = group.differences.get(column.field)
                tested = () if test is None else (group.reference, *vars(test).values())
                counts = (group.scores.n, group.scores.n_patients, group.is_small)
                line = (model.row.label, group.group, column.field, found.value, found.low)
                numbers.append((*line, found.high, *counts, *(tested or ("",) * 5)))
        ax.set_yticks(range(len(forest.groups)), map(_short, forest.groups))
        ax.set_ylim(len(forest.groups) - 0.5, -0.5)
        ax.set_xlabel(column.title)
    for ax in np.ravel(axes)[1:]:
        ax.set_yticklabels([])
    first = np.ravel(axes)[0]
    first.figure.legend(*first.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return numbers


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\u2026"
