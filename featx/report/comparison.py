"""Two benchmarks side by side: matched rows, and tests where they saw the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from featx.metrics.comparison import ComparisonResult, holm, paired_tests, verdict
from featx.report.cells import row_label
from featx.report.page import render
from featx.report.results import Results, Row, read_results

__all__ = ["Comparison", "Pair", "compare_runs"]

_FIGURES = {"auc": "AUC", "accuracy": "Accuracy"}


@dataclass(frozen=True)
class Tested:
    """One figure of one model in both runs: the second's less the first's."""

    first: float | None
    second: float | None
    difference: float | None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    verdict: str = "not tested"


@dataclass(frozen=True)
class Pair:
    """One model in both runs."""

    label: str
    same_images: bool
    figures: dict[str, Tested]


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side."""

    names: tuple[str, str]
    pairs: list[Pair]
    only_first: list[str]
    only_second: list[str]
    settings: dict[str, tuple[Any, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def notes(self) -> list[str]:
        """Sentences for the foot of the table."""
        notes = []
        if any(pair.same_images for pair in self.pairs):
            notes.append(
                "Paired tests on the same test images: DeLong's for AUC, McNemar's for accuracy, "
                "a patient's images kept together where patients are known, Holm's correction over "
                "all models."
            )
        if not all(pair.same_images for pair in self.pairs):
            notes.append(
                "Not tested: models whose scores are not there for the same test images, with the "
                "same labels, in both runs. Their figures may differ because the images do."
            )
        for name, labels in zip(self.names, (self.only_first, self.only_second), strict=True):
            if labels:
                notes.append(f"Only in {name}: {'; '.join(labels)}.")
        return notes

    def to_terminal(self) -> Table:
        """Lay it out for a terminal."""
        table = Table(box=SIMPLE_HEAD, header_style="bold", show_edge=False, padding=(0, 1, 0, 0))
        table.add_column("Model", overflow="fold", min_width=18)
        for title in _FIGURES.values():
            table.add_column("\n".join([title, *self.names]), justify="right", overflow="fold")
            table.add_column("Difference", justify="right", overflow="fold")
        for pair in self.pairs:
            cells = []
            for tested in pair.figures.values():
                cells.append(f"\n{_number(tested.first)}\n{_number(tested.second)}")
                cells.append(f"{_difference(tested)}\n{tested.verdict}".replace(" (", "\n("))
            table.add_row(pair.label.replace(", ", "\n"), *cells)
        return table

    def to_markdown(self) -> str:
        """Write it as Markdown."""
        headers, lines = self._lines()
        cells = [headers, ["---", *["---:"] * (len(headers) - 1)], *lines]
        table = "\n".join(
            f"| {' | '.join(c.replace('|', chr(92) + '|') for c in line)} |" for line in cells
        )
        return "\n\n".join([table, *self.notes()]) + "\n"

    def to_html(self) -> str:
        """Write it as one HTML file that needs nothing else."""
        headers, lines = self._lines()
        return render(
            "compare.html.j2",
            comparison=self,
            headers=headers,
            lines=lines,
            notes=self.notes(),
        )

    def _lines(self) -> tuple[list[str], list[list[str]]]:
        headers = ["Model"]
        for title in _FIGURES.values():
            headers += [f"{title}, {name}" for name in self.names]
            headers += [f"{title}, difference", f"{title}, verdict"]
        lines = []
        for pair in self.pairs:
            line = [pair.label]
            for tested in pair.figures.values():
                line += [_number(tested.first), _number(tested.second)]
                line += [_difference(tested), tested.verdict]
            lines.append(line)
        return headers, lines


def compare_runs(first: str | Path, second: str | Path) -> Comparison:
    """Set two benchmarks side by side.

    Rows are matched by backbone, classifier and kind. Where both runs kept scores of the same test
    images, differences are tested.
    """
    runs = read_results(first), read_results(second)
    keyed = [{_key(row): row for row in run.rows} for run in runs]
    both = [key for key in keyed[0] if key in keyed[1]]
    tests = {key: _test(runs, keyed[0][key], keyed[1][key]) for key in both}
    corrected = {
        figure: holm([np.nan if test is None else test[figure].p_value for test in tests.values()])
        for figure in _FIGURES
    }
    pairs = [
        Pair(
            row_label(keyed[0][key]),
            test is not None,
            {
                figure: _tested(keyed[0][key], keyed[1][key], figure, test, corrected[figure][i])
                for figure in _FIGURES
            },
        )
        for i, (key, test) in enumerate(tests.items())
    ]
    return Comparison(
        names=_names(Path(first), Path(second)),
        pairs=pairs,
        only_first=[row_label(row) for key, row in keyed[0].items() if key not in keyed[1]],
        only_second=[row_label(row) for key, row in keyed[1].items() if key not in keyed[0]],
        settings=_unlike(*(run.run.get("settings", {}) for run in runs)),
    )


def _names(first: Path, second: Path) -> tuple[str, str]:
    names = first.resolve().name, second.resolve().name
    return names if names[0] != names[1] else ("first", "second")


def _key(row: Row) -> tuple[str, str, str]:
    return row["backbone"], row["classifier"], row["kind"]


def _test(runs: Sequence[Results], first: Row, second: Row) -> dict[str, ComparisonResult] | None:
    """Test the second against the first, or None where they cannot be paired."""
    found = [
        run.scores.get("", {}).get(row["name"])
        for run, row in zip(runs, (first, second), strict=True)
    ]
    here, there = found
    if here is None or there is None or here.class_names != there.class_names:
        return None
    matched, other = here.paired_with(there)
    same = len(matched) == len(here) == len(there) == len(set(there.names))
    if not same or (matched.labels != other.labels).any():
        return None
    before, after = matched.decide(first["threshold"]), other.decide(second["threshold"])
    return paired_tests(
        before.labels,
        after.probabilities,
        before.probabilities,
        after.predicted,
        before.predicted,
        after.patients if before.patients is None else before.patients,
    )


def _tested(
    first: Row,
    second: Row,
    figure: str,
    test: dict[str, ComparisonResult] | None,
    corrected: float,
) -> Tested:
    values = first.get(figure), second.get(figure)
    if test is not None:
        found = test[figure]
        told = verdict(found.difference, float(corrected))
        return Tested(*values, found.difference, found.low, found.high, float(corrected), told)
    known = None not in values
    return Tested(*values, values[1] - values[0] if known else None)  # type: ignore[operator]


def _unlike(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = {**first, **second} if first and second else {}
    return {
        name: (first.get(name), second.get(name))
        for name in names
        if first.get(name) != second.get(name)
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _difference(tested: Tested) -> str:
    if tested.difference is None:
        return "-"
    text = f"{tested.difference:+.3f}"
    if tested.low is not None and np.isfinite(tested.low):
        text += f" ({tested.low:+.3f} to {tested.high:+.3f})"
    return text
