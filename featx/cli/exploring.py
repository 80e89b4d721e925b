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


@click.command()
@click.argument("matrix", type=PathArgument)
@click.option(
    "--images",
    type=PathArgument,
    help="The images of MATRIX, for thumbnails and for copies that are nearly the same.",
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
    help="How features become a map.",
)
@click.option(
    "--classifier",
    default="logistic",
    show_default=True,
    help="Whose out-of-fold probabilities doubt labels.",
)
@click.option(
    "--neighbors",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="How many nearest images to list of each.",
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
    """Map the features of MATRIX: neighbors, copies, labels that may be wrong, on one page.

    Example: featx explore features.h5 --images chest_xray --out explore.html
    """
    import featx

    dataset = None if images is None else featx.ImageDataset.open(images, labeled=False)
    found = featx.explore(
        featx.FeatureMatrix.load(matrix),
        dataset,
        method=method,
        classifier=classifier,
        neighbors=neighbors,
        random_state=random_state,
    )
    found.save(out)
    told = (
        f"{len(found):,} images: {len(found.suspects):,} labels to look at, "
        f"{len(found.copies):,} {'pair' if len(found.copies) == 1 else 'pairs'} of copies. "
        f"Open {out}."
    )
    print_result({**found.to_dict(), "out": str(out)}, as_json, told)
