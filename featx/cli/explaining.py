"""The command that explains decisions by heat maps."""

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
@click.option("--out", type=PathArgument, required=True, help="Folder for the images.")
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
    """Map which places of IMAGES the decisions of a fitted MODEL come from.

    Writes one overlay per image, a contact sheet and the numbers.

    Logistic regression and the linear support vector machine on average-pooled features have
    exact maps; every other model is explained by occlusion, which takes some fifty times as long.

    Example: featx explain models/logistic.skops new_images --out explained
    """
    import featx
    from featx.explanation.export import SHEET

    explanations = featx.explain(model, images, out, **options)
    content = explanations.to_dict()
    tell_unreadable(explanations.unreadable)
    text = (
        f"{len(explanations):,} of {len(explanations.images):,} images explained. "
        f"{content['about']}\nOpen {out / SHEET} first."
    )
    print_result({**content, "out": str(out)}, as_json, text)
