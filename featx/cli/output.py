"""Output of commands: messages on standard error, results as text, table or JSON."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from featx.errors import printable
from featx.runtime.process_state import usable_stderr

if TYPE_CHECKING:
    from featx.benchmarking.table import BenchmarkTable

logger = logging.getLogger(__name__)


def safe(text: str) -> str:
    """Escape what a terminal would obey, such as in names of files; lines stay."""
    return "\n".join(map(printable, text.split("\n")))


class _StderrHandler(logging.Handler):
    """Write records as plain lines, above a progress bar where one is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        # Resolved at each record, because tests and notebooks replace the stream.
        stream = usable_stderr()
        if stream is None:
            return
        # Hours of work must not end because a terminal is gone.
        with suppress(OSError):
            if "tqdm" in sys.modules:
                from tqdm import tqdm

                tqdm.write(safe(self.format(record)), file=stream)
            else:
                click.echo(safe(self.format(record)), err=True)


@contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Write the messages of the logger ``featx`` to standard error."""
    root, handler = logging.getLogger("featx"), _StderrHandler()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


class _Result(Protocol):
    @property
    def unreadable(self) -> Sequence[tuple[str, str]]: ...


def report_unreadable(result: _Result) -> list[dict[str, str]]:
    """Warn of the images that were left out, ten by name; return all as JSON shows them."""
    for path, reason in result.unreadable[:10]:
        logger.warning(f"left out: {printable(path)}: {reason}")
    if len(result.unreadable) > 10:
        logger.warning(f"left out: {len(result.unreadable) - 10:,} more")
    return [{"path": path, "reason": reason} for path, reason in result.unreadable]


def print_table(table: BenchmarkTable, out: Path, *more: str) -> None:
    """Print a benchmark's table, its notes, where the page is, and more."""
    from rich.console import Console

    from featx.reporting.table_formats import to_terminal

    shown = to_terminal(table.rows, Console().width)
    page = f"Tables, scores and models are in {out}; the page to read is {out / 'report.html'}"
    notes = [*_best_of_parts(table), *(note.text for note in table.notes)]
    print_result([row.to_dict() for row in table], shown, *notes, page, *more)


def _best_of_parts(table: BenchmarkTable) -> list[str]:
    """Write the AUC of each finding or group by the model that was chosen on training images."""
    from featx.reporting.results_folder import best_place

    place = best_place(table.rows)
    if place is None:
        return []
    row = table.rows[place]
    figures = row.scores.per_class if table.findings else {}
    if table.groups:
        figures = {f"{s.column} {s.group}": s.scores.metrics for s in row.scores.subgroups}
    return [f"{name}: AUC {found['auc']} ({row.label})" for name, found in figures.items()]


def print_result(value: Any, *shown: Any) -> None:
    """Print a result as JSON where the user asked for it, or else as texts and tables."""
    if click.get_current_context().meta["featx.json"]:
        text = as_json(value)
        # In JSON only strings hold such characters, and its own escapes mean the same.
        click.echo(
            "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)
        )
        return
    for part in shown:
        if isinstance(part, str):
            click.echo(safe(part))
        else:
            from rich.console import Console
            from rich.segment import Segment, Segments

            console = Console()
            segments = [Segment(safe(s.text), s.style) for s in console.render(part)]
            console.print(Segments(segments), end="")


def as_json(value: Any) -> str:
    """Return a result as standard JSON."""
    from featx.runtime.serialization import plain_json

    return plain_json(json.loads(json.dumps(value, default=_plain)))


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
