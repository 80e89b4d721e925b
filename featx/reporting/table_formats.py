"""Tables of rows for terminals, Markdown and spreadsheets."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from featx.metrics.scores import Scores
from featx.reporting.columns import MAIN, make_cell
from featx.reporting.records import BenchmarkRow, Comparison
from featx.runtime.csv_text import write_csv

_SCORES = {column.field: column.title for column in MAIN[:5]}

# F1 has no place in 80 columns.
_IN_TERMINAL = {name: title for name, title in _SCORES.items() if name != "f1"}

_MODEL_WIDTH = 22

_SIGNS = {"better": "\u25b2", "worse": "\u25bc", "no difference shown": "="}


def to_terminal(rows: Sequence[BenchmarkRow], width: int = 80) -> Table:
    """Lay rows out for a terminal, two lines a row."""
    signs = "\u25b2 \u25bc AUC better or worse than the CNN's; = no difference shown"
    table = Table(
        box=SIMPLE_HEAD,
        header_style="bold",
        padding=0,
        show_edge=False,
        caption=signs if any(row.comparison for row in rows) else None,
        caption_justify="left",
    )
    table.add_column("Model", min_width=_MODEL_WIDTH, no_wrap=True)
    for header in [*_IN_TERMINAL.values(), "Extract s\nFit s"]:
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            _model_lines(row, max(_MODEL_WIDTH, width - 80 + _MODEL_WIDTH)),
            *_score_lines(row.scores, row.comparison),
            _two_lines(_seconds(row.costs.seconds_extract), _seconds(row.costs.seconds_fit)),
            style="red" if row.collapsed else None,
        )
        for name, found in row.externals.items():
            table.add_row(Text(f"  on {name}"), *_score_lines(found), "", style="dim")
    return table


def _model_lines(row: BenchmarkRow, width: int) -> Text:
    """Write backbone and classifier; the middle of a long name is cut out."""
    if row.collapsed:
        details = f"COLLAPSED, {row.classifier}"
    elif row.scores.off_center:
        details = f"off center, {row.classifier}"
    else:
        words = row.kind if row.unit is None else f"by {row.unit.name}"
        kind = "" if row.kind in ("frozen", "baseline") else f" ({words})"
        spread = "" if row.auc_seeds_sd is None else f", SD {row.auc_seeds_sd:.4f}"
        details = row.classifier + kind + spread
    lines = []
    for text in (row.backbone, details):
        end = (width - 1) // 2
        short = f"{text[: width - 1 - end]}\u2026{text[-end:]}"
        lines.append(text if len(text) <= width else short)
    return _two_lines(*lines)


def _two_lines(first: str, second: str) -> Text:
    return Text.assemble(first, "\n", (second, "dim")) if second else Text(first)


def _score_lines(scores: Scores, comparison: Comparison | None = None) -> list[Text]:
    found = comparison.differences.get("auc") if comparison else None
    sign = f" {_SIGNS[found.verdict]}" if found and found.verdict in _SIGNS else ""
    cells = {name: make_cell(scores.metrics.get(name)) for name in _IN_TERMINAL}
    return [
        _two_lines(cell.text + (sign if name == "auc" else ""), cell.interval)
        for name, cell in cells.items()
    ]


def to_markdown(rows: Sequence[BenchmarkRow]) -> str:
    """Lay rows out as a Markdown table."""
    headers = ["Model", *_SCORES.values(), "Extract s", "Fit s"]
    compared = any(row.comparison for row in rows)
    if compared:
        headers.append("AUC, accuracy against the CNN")
    externals = list(dict.fromkeys(name for row in rows for name in row.externals))
    headers += [f"{_SCORES[score]} on {e}" for e in externals for score in ("auc", "accuracy")]
    lines = [headers, ["---", *["---:"] * (len(headers) - 1)]]
    for row in rows:
        scores = [_score(row.scores, name) for name in _SCORES]
        if row.auc_seeds_sd is not None:
            scores[0] += f", SD {row.auc_seeds_sd:.4f} over seeds"
        costs = [_seconds(row.costs.seconds_extract), _seconds(row.costs.seconds_fit)]
        differences = row.comparison.differences.values() if row.comparison else ()
        verdicts = ["; ".join(found.verdict for found in differences) or "-"] if compared else []
        found = [row.externals.get(name) for name in externals]
        other = [_score(each, score) for each in found for score in ("auc", "accuracy")]
        reason = f": COLLAPSED, {row.scores.collapse_reason}" if row.collapsed else ""
        if row.scores.off_center:
            reason = f": off center, {row.scores.off_center}"
        lines.append([row.label + reason, *scores, *costs, *verdicts, *other])
    return "".join(f"| {' | '.join(_escaped(cell) for cell in line)} |\n" for line in lines)


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def to_csv(rows: Sequence[BenchmarkRow]) -> bytes:
    """Lay rows out as comma-separated values, unrounded, every field a column."""
    records = [row.to_dict() for row in rows]
    columns = list(dict.fromkeys(name for record in records for name in record))
    return write_csv([columns, *([record.get(n, "") for n in columns] for record in records)])


def _score(scores: Scores | None, name: str) -> str:
    interval = scores.metrics.get(name) if scores else None
    cell = make_cell(interval)
    if interval is None or not cell.interval:
        return cell.text
    return f"{cell.text} ({interval.low:.3f} to {interval.high:.3f})"


def _seconds(value: float | None) -> str:
    return make_cell(value, "{:,.0f}").text
