"""Commands on finished results and features: `report`, `compare`, `verify`, `plan`, `explore`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

import featx
from featx.cli import options, parameters
from featx.cli.output import print_result
from featx.cli.root import commands
from featx.errors import FeatxError


@commands.command()
@click.argument("folder", type=parameters.InputPath("results"))
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
@click.argument("folder", type=parameters.InputPath("results"))
@options.output_option(
    "folder",
    "figures",
    required=False,
    help="Folder to write.  [default: figures in FOLDER]",
)
@options.names_option("formats", ["pdf"], parameters.FORMAT, "Formats: pdf, svg, png.")
@options.json_option
def figures(folder: Path, out: Path | None, formats: list[str]) -> None:
    """Draw the figures of the benchmark in FOLDER for a paper, with their numbers as CSV.

    Example: featx figures results --format pdf,svg
    """
    files = featx.figures(folder, out, formats)
    numbers = sum(path.suffix == ".csv" for path in files)
    print_result({"files": files}, f"{numbers} figures written to {files[0].parent}")


@commands.command()
@click.argument("first", type=parameters.InputPath("results"))
@click.argument("second", type=parameters.InputPath("results"))
@options.json_option
def compare(first: Path, second: Path) -> None:
    """Compare the benchmarks in two folders: SECOND minus FIRST.

    Where both scored the same test images, differences are tested.

    Example: featx compare results-2023 results-2024
    """
    comparison = featx.compare(first, second)
    print_result(comparison.to_dict(), comparison.to_terminal(), *comparison.notes())


@commands.command()
@click.argument("folder", type=parameters.InputPath("results"))
@click.argument("images", type=parameters.InputPath("images"), required=False)
@options.externals_option
@options.root_option
@options.external_root_option
@options.hash_patients_option
@options.running_options
def verify(folder: Path, images: str | Path | None, **given: Any) -> None:
    """Recompute the figures of the benchmark in FOLDER; list changed values, exit code 1 if any.

    With IMAGES, the images are opened as the run did, and compared with what it recorded of them.

    Example: featx verify results chest_xray
    """
    found = featx.verify(folder, images, **given)
    print_result(found.to_dict(), *found.lines())
    if found.mismatches:
        given_images = "" if images is None else ", or IMAGES or their options are not the run's"
        raise FeatxError(
            f"{len(found.mismatches):,} of {found.n_checked:,} values of {folder} differ from "
            f"those made again: it was changed after the run, or is damaged{given_images}"
        )


@commands.command()
@options.choice(
    "metric",
    ("auc", "sensitivity", "specificity", "accuracy"),
    "Figure to estimate or to compare.",
)
@options.proportion("width", "Wanted width of its interval.")
@options.proportion("difference", "Instead: difference of two models that a test finds.")
@options.proportion("power", "Probability that the difference is found.", 0.8)
@options.proportion("expected", "Expected value; the higher of the two.")
@options.proportion("prevalence", "Proportion of positive images.")
@parameters.option(
    "--images-per-patient", type=parameters.FloatRange(1), help="Mean number.  [default: 1]"
)
@parameters.option(
    "--design-effect",
    type=parameters.FloatRange(0.1),
    help="Variance with patients over that of independent images.  [default: images per patient]",
)
@parameters.option(
    "--pilot",
    type=parameters.InputPath("results"),
    help="Results of a benchmark, for all values that are not given.",
)
@parameters.option("--row", help="Name of the pilot's row; the only one by default.")
@parameters.option(
    "--correlation",
    type=parameters.FloatRange(0, 1, max_open=True),
    default=0.5,
    help="Correlation between the two models.",
)
@options.proportion("level", "Coverage of the interval.", 0.95)
@options.json_option
def plan(metric: str, pilot: Path | None, row: str | None, **given: Any) -> None:
    """Plan a test set: patients and images that a width or a difference takes.

    Example: featx plan --expected 0.9 --prevalence 0.3 --width 0.06
    """
    from featx.reporting.results_folder import read_pilot

    measured = None if pilot is None else read_pilot(pilot, metric, row)
    found = featx.metrics.plan(metric, pilot=measured, **given)
    sizes = {"images": found.images, "positive_images": found.positive_images}
    print_result({**vars(found), **sizes}, found.text)


@commands.command()
@click.argument("matrix", type=parameters.InputPath("matrix"))
@parameters.option(
    "--images",
    type=parameters.InputPath("images"),
    help="The images of MATRIX, for thumbnails and near duplicates.",
)
@options.table_options
@options.output_option("file", "explore.html", required=False, default="explore.html")
@parameters.option(
    "--map",
    "method",
    type=parameters.Choice(["pca", "umap"]),
    default="pca",
    help="Projection of the features.",
)
@parameters.option(
    "--classifier",
    "--classifiers",
    "classifier",
    type=parameters.CLASSIFIER,
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
    alarms = [finding.alarm for finding in found.findings]
    print_result({**found.to_dict(), "out": out}, *alarms, text)


@commands.command()
@click.argument("matrix", type=parameters.InputPath("matrix"))
@options.output_option("file", "features.h5", help="File to write: .parquet or .npy.")
@parameters.option(
    "--components",
    type=click.IntRange(1),
    help="Write so many principal components of the standardized features instead.",
)
@parameters.option(
    "--round", "bits", type=click.IntRange(1, 16), help="Round values to so many bits."
)
@options.flag(
    "share",
    "Measure how well patients are re-identified from the features, and what components and "
    "rounding cost in AUC; written beside the export.",
)
@options.json_option
def export(matrix: Path, out: Path, **given: Any) -> None:
    """Write the features of MATRIX for other programs: Parquet, or NumPy with a CSV of its rows.

    Features are personal data, in any form.

    Example: featx export features.h5 --out features.parquet --share
    """
    files = featx.export(matrix, out, **given)
    result: dict[str, Any] = {"files": files}
    shown: list[str] = []
    if given["share"]:
        text, record = (path.read_text(encoding="utf-8") for path in files[-2:])
        result["sharing"], shown = json.loads(record), [text]
    print_result(result, *shown, f"Written: {', '.join(map(str, files))}")
