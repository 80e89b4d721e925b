"""What commands print: for people, or as JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


def tell_versions() -> None:
    """Say which versions are at work."""
    import platform

    from featx.cli.doctor import library_versions
    from featx.runtime.progress import say

    versions = {"python": platform.python_version(), **library_versions()}
    there = {name: version for name, version in versions.items() if version[0].isdigit()}
    say(", ".join(f"{name} {version}" for name, version in there.items()))


def tell_unreadable(unreadable: Sequence[tuple[str, str]]) -> None:
    """Name the images that were left out, the first ten in full."""
    for path, reason in unreadable[:10]:
        click.echo(f"left out: {path}: {reason}", err=True)
    if len(unreadable) > 10:
        click.echo(f"left out: {len(unreadable) - 10:,} more", err=True)


def describe_choice(model: Any) -> str:
    """Say which settings a fitted model chose."""
    chosen = ", ".join(f"{name} {value}" for name, value in model.best_params_.items())
    return chosen or "nothing to choose"


def print_table(table: Any, as_json: bool, out: Path) -> None:
    """Print a benchmark's table and what must stand below it."""
    if as_json:
        print_result(table.rows, as_json, "")
        return
    from rich.console import Console

    from featx.report.tables import to_terminal

    Console().print(to_terminal(table.rows))
    for note in table.notes:
        click.echo(note)
    click.echo(f"Tables, scores and models are in {out}; the page to read is {out / 'report.html'}")


def print_result(value: Any, as_json: bool, text: str) -> None:
    """Print JSON, or else the text."""
    if not as_json:
        click.echo(text)
        return
    from featx.runtime.serialization import plain_json

    click.echo(plain_json(json.loads(json.dumps(value, default=_plain))))


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
