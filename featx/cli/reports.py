"""The commands that make pages of finished benchmarks."""

from __future__ import annotations

from pathlib import Path

import click

from featx.cli.options import PathArgument, json_option
from featx.cli.output import print_result
from featx.errors import UsageError


@click.command()
@click.argument("folder", type=PathArgument)
@click.option("--out", type=PathArgument, help="The page.  [default: report.html in FOLDER]")
@json_option
def report(folder: Path, out: Path | None, as_json: bool) -> None:
    """Make the page of the benchmark in FOLDER again; no images are needed.

    Example: featx report results
    """
    from featx.report.page import write_page

    page = write_page(folder, out)
    summary = {"page": str(page), "bytes": page.stat().st_size}
    print_result(summary, as_json, f"The page is {page}")


@click.command()
@click.argument("first", type=PathArgument)
@click.argument("second", type=PathArgument)
@click.option("--out", type=PathArgument, help="Write it down: a .html or .md file.")
@json_option
def compare(first: Path, second: Path, out: Path | None, as_json: bool) -> None:
    """Set the benchmarks in two folders side by side: SECOND less FIRST.

    Where both scored the same test images, differences are tested.

    Example: featx compare results-2023 results-2024 --out comparison.html
    """
    from featx.report.comparison import compare_runs
    from featx.runtime.files import put_bytes

    if out is not None and out.suffix not in (".html", ".md"):
        raise UsageError(f"{out} is neither a .html nor a .md file")
    comparison = compare_runs(first, second)
    if out is not None:
        text = comparison.to_html() if out.suffix == ".html" else comparison.to_markdown()
        put_bytes(out, text.encode("utf-8", "replace"))
    if as_json:
        print_result(comparison.to_dict(), as_json, "")
        return
    from rich.console import Console

    Console().print(comparison.to_terminal())
    for note in comparison.notes():
        click.echo(note)
    if out is not None:
        click.echo(f"The comparison is {out}")
