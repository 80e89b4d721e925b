"""Output of commands: messages on standard error, results as text, table or JSON."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

logger = logging.getLogger(__name__)


class _StderrHandler(logging.Handler):
    """Write records as plain lines, above a progress bar where one is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        # Resolved at each record, because tests and notebooks replace the stream.
        if sys.stderr is None:
            return
        if "tqdm" in sys.modules:
            from tqdm import tqdm

            tqdm.write(self.format(record), file=sys.stderr)
        else:
            click.echo(self.format(record), err=True)


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


def log_versions() -> None:
    """Log the versions of the libraries that decide results."""
    import platform

    from featx.cli.doctor import library_versions

    versions = {"python": platform.python_version(), **library_versions()}
    there = {name: version for name, version in versions.items() if version[0].isdigit()}
    logger.debug(", ".join(f"{name} {version}" for name, version in there.items()))


def warn_of_unreadable(unreadable: Sequence[tuple[str, str]]) -> None:
    """Name the images that were left out, the first ten in full."""
    for path, reason in unreadable[:10]:
        logger.warning(f"left out: {path}: {reason}")
    if len(unreadable) > 10:
        logger.warning(f"left out: {len(unreadable) - 10:,} more")


def unreadable_rows(unreadable: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Return the images that were left out as JSON shows them."""
    return [{"path": path, "reason": reason} for path, reason in unreadable]


def print_table(table: Any, as_json: bool, out: Path) -> None:
    """Print a benchmark's table, its notes and where the page is."""
    if as_json:
        print_result([row.to_dict() for row in table], as_json, "")
        return
    from rich.console import Console

    from featx.reporting.tables import to_terminal

    console = Console()
    console.print(to_terminal(table.rows, console.width))
    for note in table.notes:
        click.echo(note.text)
    click.echo(f"Tables, scores and models are in {out}; the page to read is {out / 'report.html'}")


def print_result(value: Any, as_json: bool, text: str | Callable[[], Table]) -> None:
    """Print JSON, or else the text or table."""
    if not as_json:
        if isinstance(text, str):
            click.echo(text)
        else:
            from rich.console import Console

            Console().print(text())
        return
    from featx.runtime.serialization import plain_json

    click.echo(plain_json(json.loads(json.dumps(value, default=_plain))))


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
