"""Commands on finished results and features: `report`, `compare`, `explore`."""

from __future__ import annotations

from pathlib import Path

import click

import featx
from featx.cli.options import (
    Option,
    OutputPath,
    input_path,
    json_option,
    running_options,
    seed_option,
)
from featx.cli.output import print_result
from featx.cli.root import commands


@commands.command()
@click.argument("folder", type=input_path)
@click.option(
    "--out",
    type=OutputPath("file", "report.html"),
    help="Page to write.  [default: report.html in FOLDER]",
)
@json_option
def report(folder: Path, out: Path | None, as_json: bool) -> None:
    """Write the page of the benchmark in FOLDER again; no images are needed.

    Example: featx report results
    """
    page = featx.report(folder, out)
    summary = {"page": str(page), "bytes": page.stat().st_size}
    print_result(summary, as_json, f"The page is {page}")


@commands.command()
@click.argument("first", type=input_path)
@click.argument("second", type=input_path)
@json_option
def compare(first: Path, second: Path, as_json: bool) -> None:
    """Compare the benchmarks in two folders: SECOND minus FIRST.

    Where both scored the same test images, differences are tested.

    Example: featx compare results-2023 results-2024
    """
    comparison = featx.compare(first, second)
    print_result(comparison.to_dict(), as_json, comparison.to_terminal)
    if not as_json:
        for note in comparison.notes():
            click.echo(note)


@commands.command()
@click.argument("matrix", type=input_path)
@click.option(
    "--images",
    type=input_path,
    help="The images of MATRIX, for thumbnails and near duplicates.",
)
@click.option(
    "--out",
    type=OutputPath("file", "explore.html"),
    default="explore.html",
    show_default=True,
    help="Page to write.",
)
@click.option(
    "--map",
    "method",
    type=click.Choice(["pca", "umap"]),
    default="pca",
    show_default=True,
    help="Projection of the features.",
)
@click.option(
    "--classifier",
    "--classifiers",
    "classifier",
    cls=Option,
    default="logistic",
    show_default=True,
    help="Classifier that label issues come from.",
)
@click.option(
    "--neighbors",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Nearest images listed for each image.",
)
@seed_option
@running_options
def explore(
    matrix: Path,
    images: Path | None,
    out: Path,
    method: str,
    classifier: str,
    neighbors: int,
    random_state: int,
    as_json: bool,
) -> None:
    """Map the features of MATRIX: neighbors, label issues and duplicates, on one page.

    Example: featx explore features.h5 --images chest_xray --out explore.html
    """
    found = featx.explore(
        matrix,
        images,
        method=method,
        classifier=classifier,
        neighbors=neighbors,
        random_state=random_state,
    )
    found.save(out)
    text = (
        f"{len(found):,} images, {len(found.label_issues):,} label issues, "
        f"{len(found.duplicates):,} pairs of duplicates. Open {out}."
    )
    print_result({**found.to_dict(), "out": str(out)}, as_json, text)
