"""The command that shows where a model looked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from featx.cli.options import (
    PathArgument,
    images_argument,
    jobs_option,
    json_option,
    quiet_option,
    weights_dir_option,
)
from featx.cli.output import print_result, tell_unreadable
from featx.cli.root import commands


@commands.command()
@click.argument("model", type=PathArgument)
@images_argument
@click.option("--out", type=PathArgument, required=True, help="Folder for the pictures.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=24,
    show_default=True,
    help="At most so many images, evenly from first to last; 0 for all.",
)
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    help="'imagenet', or the weights file that the model was trained with.",
)
@weights_dir_option
@click.option(
    "--engine",
    type=click.Choice(["auto", "keras", "openvino"]),
    default="auto",
    show_default=True,
    help="What runs the network for occlusion.",
)
@jobs_option
@quiet_option
@json_option
def explain(model: Path, images: Path, out: Path, as_json: bool, **options: Any) -> None:
    """Show where a fitted MODEL looked in IMAGES: overlays, a contact sheet, the numbers.

    Logistic regression and the linear support vector machine on average-pooled features have
    exact maps; every other model is explained by occlusion, which takes some fifty times as long.

    Example: featx explain models/logistic.skops new_images --out explained
    """
    import featx
    from featx.explanation.evidence import Explainer
    from featx.explanation.export import SHEET, write_explanations

    limit = options.pop("limit")
    fitted = featx.load_model(model)
    dataset = featx.ImageDataset.open(images, labeled=False)
    explainer = Explainer(fitted, **options)
    content = write_explanations(explainer, dataset, out, limit=limit, model=model.stem)
    tell_unreadable([(entry["path"], entry["reason"]) for entry in content["unreadable"]])
    told = (
        f"{len(content['images']):,} of {len(dataset):,} images explained. {content['about']}\n"
        f"Look at {out / SHEET} first."
    )
    print_result({**content, "out": str(out)}, as_json, told)
