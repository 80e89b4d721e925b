"""The commands that make pages of finished benchmarks."""

from __future__ import annotations

from pathlib import Path

import click

from featx.cli.options import PathArgument, json_option
from featx.cli.output import print_result
from featx.cli.root import commands


@commands.command()
@click.argument("folder", type=PathArgument)
@click.option("--out", type=PathArgument, help="The page.  [default: report.html in FOLDER]")
@json_option
def report(folder: Path, out: Path | None, as_json: bool) -> None:
    """Make the page of the benchmark in FOLDER again; no images are needed.

    Example: featx report results
    """
    import featx

    page = featx.report(folder, out)
    summary = {"page": str(page), "bytes": page.stat().st_size}
    print_result(summary, as_json, f"The page is {page}")


@commands.command()
@click.argument("first", type=PathArgument)
@click.argument("second", type=PathArgument)
@json_option
def compare(first: Path, second: Path, as_json: bool) -> None:
    """Compare the benchmarks in two folders: SECOND minus FIRST.

    Where both scored the same test images, differences are tested.

    Example: featx compare results-2023 results-2024
    """
    import featx

    comparison = featx.compare(first, second)
    if as_json:
        print_result(comparison.to_dict(), as_json, "")
        return
    from rich.console import Console

    Console().print(comparison.to_terminal())
    for note in comparison.notes():
        click.echo(note)
