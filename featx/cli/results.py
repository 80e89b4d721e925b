"""Commands on finished results and features: `report`, `compare`, `explore`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import featx
from featx.cli import options
from featx.cli.output import print_result
from featx.cli.root import commands


@commands.command()
@click.argument("folder", type=options.input_path)
@options.output_option(
    "file",
    "report.html",
    required=False,
    help="Page to write.  [default: report.html in FOLDER]",
)
@options.json_option
def report(folder: Path, out: Path | None) -> None:
    """Write the page of the benchmark in FOLDER again; no images are needed.

    Example: featx report results
    """
    page = featx.report(folder, out)
    print_result({"page": page, "bytes": page.stat().st_size}, f"The page is {page}")


@commands.command()
@click.argument("first", type=options.input_path)
@click.argument("second", type=options.input_path)
@options.json_option
def compare(first: Path, second: Path) -> None:
    """Compare the benchmarks in two folders: SECOND minus FIRST.

    Where both scored the same test images, differences are tested.

    Example: featx compare results-2023 results-2024
    """
    comparison = featx.compare(first, second)
    print_result(comparison.to_dict(), comparison.to_terminal(), *comparison.notes())


@commands.command()
@click.argument("matrix", type=options.input_path)
@options.option(
    "--images",
    type=options.input_path,
    help="The images of MATRIX, for thumbnails and near duplicates.",
)
@options.table_options
@options.output_option("file", "explore.html", required=False, default="explore.html")
@options.option(
    "--map",
    "method",
    type=options.Choice(["pca", "umap"]),
    default="pca",
    help="Projection of the features.",
)
@options.option(
    "--classifier",
    "--classifiers",
    "classifier",
    default="logistic",
    help="Classifier that label issues come from.",
)
@options.number("neighbors", "Nearest images listed for each image.", 8)
@options.seed_option
@options.running_options
def explore(matrix: Path, images: Path | None, out: Path, **given: Any) -> None:
    """Map the features of MATRIX: neighbors, label issues and duplicates, on one page.

    Example: featx explore features.h5 --images chest_xray --out explore.html
    """
    found = featx.explore(matrix, images, **given)
    found.save(out)
    text = (
        f"{len(found):,} images, {len(found.label_issues):,} label issues, "
        f"{len(found.duplicates):,} pairs of duplicates. Open {out}."
    )
    print_result({**found.to_dict(), "out": out}, text)
