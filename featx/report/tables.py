"""Tables of rows, for terminals, Markdown and spreadsheets."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

__all__ = ["table_cells", "table_headers", "to_csv", "to_markdown", "to_terminal"]

Row = dict[str, Any]

_SCORES = {
    "auc": "AUC",
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "f1": "F1",
}

# Where the terminal would cut a word.
_AFTER_A_LONG_NAME = re.compile(r"(?<=\w{17})@")

_ELSEWHERE = {"auc": "AUC", "accuracy": "Accuracy"}


def to_terminal(rows: Sequence[Row], title: str = "") -> Table:
    """Lay rows out for a terminal."""
    table = Table(
        title=title or None,
        title_justify="left",
        box=SIMPLE_HEAD,
        header_style="bold",
        padding=0,
        show_edge=False,
    )
    # Two lines a row and no F1, so that the table fits 80 columns.
    scores = [name for name in _SCORES if name != "f1"]
    table.add_column("Model", min_width=18, overflow="fold")
    for header in [*(_SCORES[name] for name in scores), "Extract s\nFit s"]:
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        figures = [_score(row, name, "\n{:.3f}-{:.3f}") for name in scores]
        figures[0] += _spread(row, "\nSD {:.4f}")
        costs = f"{_number(row['seconds_extract'])}\n{_number(row['seconds_fit'])}"
        model = _model(row).replace(", ", "\n", 1).replace("finetuned:", "finetuned:\n")
        model = _AFTER_A_LONG_NAME.sub("\n@", model.replace("+", "+\n"))
        if "auc_verdict" in row:
            model += f"\nAUC vs CNN: {row['auc_verdict']}"
        table.add_row(model, *figures, costs, style="red" if row["collapsed"] else None)
        # Columns of their own would not fit.
        for name, found in row.get("externals", {}).items():
            figures = [_score(found, score, "\n{:.3f}-{:.3f}") for score in scores]
            table.add_row(f"  on {name}", *figures, "", style="dim")
    return table


def to_markdown(rows: Sequence[Row]) -> str:
    """Lay rows out as a Markdown table."""
    headers = table_headers(rows)
    lines = ["| " + " | ".join(headers) + " |", "|---|" + "---:|" * (len(headers) - 1)]
    lines += ["| " + " | ".join(table_cells(row, rows)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def to_csv(rows: Sequence[Row]) -> str:
    """Lay rows out as comma-separated values, unrounded, every field a column.

    Examples
    --------
    >>> print(to_csv([{"backbone": "vgg16", "auc": 0.75}, {"backbone": "xception", "auc": None}]))
    backbone,auc
    vgg16,0.75
    xception,
    """
    columns: dict[str, None] = {}
    for row in rows:
        columns.update(dict.fromkeys(row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def table_headers(rows: Sequence[Row]) -> list[str]:
    """Name the columns of `table_cells`.

    Examples
    --------
    >>> table_headers([])[:3]
    ['Model', 'AUC', 'Accuracy']
    """
    headers = ["Model", *_SCORES.values(), "Extract s", "Fit s"]
    if _compared(rows):
        headers.append("AUC, accuracy against the CNN")
    pairs = [(name, figure) for name in _externals(rows) for figure in _ELSEWHERE.values()]
    return headers + [f"{figure} on {name}" for name, figure in pairs]


def table_cells(row: Row, rows: Sequence[Row]) -> list[str]:
    """Write a row's cells as text."""
    scores = [_score(row, name) for name in _SCORES]
    scores[0] += _spread(row, ", SD {:.4f} over seeds")
    costs = [_number(row["seconds_extract"]), _number(row["seconds_fit"])]
    verdicts = [_verdicts(row)] if _compared(rows) else []
    found = [_external(row, name) for name in _externals(rows)]
    elsewhere = [_score(figures, figure) for figures in found for figure in _ELSEWHERE]
    return [_model(row), *scores, *costs, *verdicts, *elsewhere]


def _compared(rows: Sequence[Row]) -> bool:
    return any("auc_verdict" in row for row in rows)


def _model(row: Row) -> str:
    name = f"{row['backbone']}, {row['classifier']}"
    if row["kind"] != "frozen":
        name += f" ({row['kind']})"
    return f"{name}: COLLAPSED, {row['collapse_reason']}" if row["collapsed"] else name


def _score(row: Row, name: str, interval: str = " ({:.3f} to {:.3f})") -> str:
    if not _exists(row.get(name)):
        return "-"
    text = f"{row[name]:.3f}"
    if _exists(row.get(f"{name}_low")):
        text += interval.format(row[f"{name}_low"], row[f"{name}_high"])
    return text


def _spread(row: Row, text: str) -> str:
    return text.format(row["auc_seeds_sd"]) if _exists(row.get("auc_seeds_sd")) else ""


def _externals(rows: Sequence[Row]) -> list[str]:
    """Names of the external sets that any row was shown."""
    return list(dict.fromkeys(name for row in rows for name in row.get("externals", {})))


def _external(row: Row, name: str) -> Row:
    return row.get("externals", {}).get(name, {})


def _verdicts(row: Row) -> str:
    if "auc_verdict" not in row:
        return "-"
    return f"{row['auc_verdict']}; {row['accuracy_verdict']}"


def _number(value: float | None) -> str:
    return f"{value:,.0f}" if _exists(value) else "-"


def _exists(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
