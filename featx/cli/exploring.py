"""The command that shows a feature matrix as a whole."""

from __future__ import annotations

from pathlib import Path

import click

from featx.cli.options import (
    PathArgument,
    jobs_option,
    json_option,
    quiet_option,
    seed_option,
)
from featx.cli.output import print_result
from featx.cli.root import commands


@commands.command()
@click.argument("matrix", type=PathArgument)
@click.option(
    "--images",
    type=PathArgument,
    help="The images of MATRIX, for thumbnails and near duplicates.",
)
@click.option(
    "--out", type=PathArgument, default=Path("explore.html"), show_default=True, help="The page."
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
@jobs_option
@quiet_option
@json_option
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
    import featx

    found = featx.explore(
        matrix,
        images,
        method=method,
        classifier=classifier,
        neighbors=neighbors,
        random_state=random_state,
    )
    found.save(out)
    told = (
        f"{len(found):,} images, {len(found.label_issues):,} label issues, "
        f"{len(found.duplicates):,} pairs of duplicates. Open {out}."
    )
    print_result({**found.to_dict(), "out": str(out)}, as_json, told)
