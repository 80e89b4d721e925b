"""Two benchmarks compared: matched rows, and paired tests on the same test images."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from featx.classifiers.predictions import Predictions
from featx.metrics.paired_tests import ComparisonResult
from featx.reporting.differences import FIGURES, corrected, paired_rows
from featx.reporting.records import BenchmarkRow, Difference
from featx.reporting.results_folder import Results, damaged, read_results

logger = logging.getLogger(__name__)

# Kinds of notes that hold for a whole run.
_ALARMS = ("unfinished", "leak", "synthetic", "alarm")


@dataclass(frozen=True)
class ComparedRow:
    """Hold AUC and accuracy of one model in both runs, nan where undefined, and their differences.

    Differences are second run minus first, with p-values adjusted by Holm's method over all models;
    nothing is tested where the predictions of both runs differ as `untested` says.
    """

    label: str
    same_images: bool
    values: dict[str, tuple[float, float]]
    differences: dict[str, Difference]
    untested: str = ""


@dataclass(frozen=True)
class RunComparison:
    """Hold the comparison of two benchmarks that `compare` returns.

    `rows` are models in both runs; settings and versions those that differ; `alarms` what no reader
    of either run may overlook, such as leaks.
    """

    names: tuple[str, str]
    rows: tuple[ComparedRow, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    settings: dict[str, tuple[Any, Any]]
    versions: dict[str, tuple[Any, Any]]
    alarms: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"RunComparison({' and '.join(self.names)}: {len(self.rows)} models in both)"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "notes": self.notes()}

    def notes(self) -> list[str]:
        """Return the notes below the table."""
        notes = [*self.alarms]
        notes += [f"Difference: {self.names[1]} minus {self.names[0]}, with 95 % intervals."]
        if any(row.same_images for row in self.rows):
            notes.append(
                "Paired tests on the same test images: DeLong's for AUC, McNemar's for accuracy, "
                "clustered by patient where patients are known, Holm's correction over all models."
            )
        reasons = {row.untested: row.label for row in reversed(self.rows) if row.untested}
        for reason, label in reversed(reasons.items()):
            rows = sum(row.untested == reason for row in self.rows)
            more = f" and {rows - 1:,} more" if rows > 1 else ""
            notes.append(
                f"Not tested: {label}{more}, because {reason}. Figures may differ because these do."
            )
        for name, labels in zip(self.names, (self.only_first, self.only_second), strict=True):
            if labels:
                notes.append(f"Only in {name}: {'; '.join(labels)}.")
        notes += [
            f"Setting {name}: {first} and {second}."
            for name, (first, second) in self.settings.items()
        ]
        notes += [
            f"Version of {name}: {first} and {second}."
            for name, (first, second) in self.versions.items()
        ]
        return notes

    def to_terminal(self) -> Table:
        """Lay it out for a terminal."""
        table = Table(box=SIMPLE_HEAD, header_style="bold", show_edge=False, padding=(0, 1, 0, 0))
        table.add_column("Model", overflow="fold", min_width=18)
        for title in FIGURES.values():
            titles = Text("\n".join([title, *self.names]))
            table.add_column(titles, justify="right", overflow="fold")
            table.add_column("Difference", justify="right", overflow="fold")
        for row in self.rows:
            cells = []
            for figure in FIGURES:
                found = row.differences[figure]
                cells.append("\n" + "\n".join(map(_number, row.values[figure])))
                interval = "" if math.isnan(found.low) else f"{found.low:+.3f} to {found.high:+.3f}"
                cells.append(f"{_number(found.value, '+.3f')}\n{interval}\n{found.verdict}")
            table.add_row(Text(row.label.replace(", ", "\n")), *cells)
        return table


def compare(first: str | Path, second: str | Path) -> RunComparison:
    """Compare two finished benchmarks, model by model.

    Use it to learn whether a change of settings, data or version made a difference. Rows are
    matched by backbone, classifier and kind. Where both runs have predictions of the same test
    images, differences are tested by `featx.metrics.paired_tests.paired_tests`; the difference of
    identical predictions is exactly 0.

    Parameters
    ----------
    first, second : path-like
        Folders that `featx.benchmark` wrote, of any version.

    Returns
    -------
    RunComparison

    Raises
    ------
    UsageError
        If a folder holds no benchmark.

    Examples
    --------
    >>> found = featx.compare("results-2023", "results-2024")  # doctest: +SKIP
    >>> found.rows[0].differences["auc"].verdict  # doctest: +SKIP
    'no difference shown'
    """
    runs = read_results(first), read_results(second)
    names = Path(first).resolve().name, Path(second).resolve().name
    with damaged(f"{first} or {second}"):
        return _compare(runs, names if names[0] != names[1] else ("first", "second"))


def _compare(runs: tuple[Results, Results], names: tuple[str, str]) -> RunComparison:
    for name, run in zip(names, runs, strict=True):
        for step in run.flow:
            if step.step in ("training", "test"):
                logger.info(f"{name}: {step.text}")
    here, there = ({(r.label, r.kind): r for r in run.rows} for run in runs)
    pairs = [(row, there[key]) for key, row in here.items() if key in there]
    found = [_test(runs, *pair) for pair in pairs]
    differences = corrected([None if isinstance(test, str) else test for test in found])
    rows = [
        _compared(*pair, test if isinstance(test, str) else "", tested)
        for pair, test, tested in zip(pairs, found, differences, strict=True)
    ]
    return RunComparison(
        names=names,
        rows=tuple(rows),
        only_first=tuple(row.label for key, row in here.items() if key not in there),
        only_second=tuple(row.label for key, row in there.items() if key not in here),
        settings=_differing(*(run.settings for run in runs)),
        versions=_differing(*(run.run.get("versions", {}) for run in runs)),
        alarms=tuple(
            f"{name}: {note.text}"
            for name, run in zip(names, runs, strict=True)
            for note in run.notes
            if note.kind in _ALARMS
        ),
    )


def _compared(
    first: BenchmarkRow, second: BenchmarkRow, untested: str, differences: dict[str, Difference]
) -> ComparedRow:
    values = {f: (first.estimates[f].value, second.estimates[f].value) for f in FIGURES}
    if untested:
        unknown = math.nan, math.nan, math.nan, "not tested"
        differences = {f: Difference(b - a, *unknown) for f, (a, b) in values.items()}
    return ComparedRow(first.label, not untested, values, differences, untested)


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (old[name], new[name]) for name in old if name in new and old[name] != new[name]}


def _test(
    runs: Sequence[Results], first: BenchmarkRow, second: BenchmarkRow
) -> dict[str, ComparisonResult] | str:
    """Test the second against the first; return the difference where they cannot be paired."""
    here, there = (
        run.predictions.get("", {}).get(row.name)
        for run, row in zip(runs, (first, second), strict=True)
    )
    if here is None or there is None:
        return "a run has no predictions of it"
    here, there = _named_alike(here, there), _named_alike(there, here)
    if difference := here.difference_from(there):
        return difference
    # In the order of the first run, so that sums are rounded alike whatever that of the second.
    here, there = here.paired_with(there)
    return paired_rows(second, there, first, here)


def _named_alike(own: Predictions, other: Predictions) -> Predictions:
    """Add folders that early versions left off all names, where the other run names them."""
    if len(own) != len(other) or not len(own) or set(own.names) == set(other.names):
        return own
    whole, short = min(other.names), min(own.names)
    prefix = whole.removesuffix(short)
    names = [f"{prefix}{name}" for name in own.names]
    added = whole.endswith(f"/{short}") and set(names) == set(other.names)
    return replace(own, names=names) if added else own


def _number(value: float, form: str = ".3f") -> str:
    return format(value, form) if math.isfinite(value) else "-"
