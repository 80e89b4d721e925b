"""The commands that list the networks to beat and train one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from featx.cli.options import (
    PathArgument,
    hash_patients_option,
    images_argument,
    jobs_option,
    json_option,
    labels_option,
    open_images,
    patients_option,
    quiet_option,
    seed_option,
    weights_dir_option,
)
from featx.cli.output import print_result, tell_unreadable
from featx.cli.root import commands


@commands.command()
@json_option
def baselines(as_json: bool) -> None:
    """List the networks to beat: what each is, and where it comes from.

    Example: featx baselines --json
    """
    from featx.baselines.registry import list_baselines

    recipes = list_baselines()
    if as_json:
        print_result([recipe.to_dict() for recipe in recipes], as_json, "")
        return
    lines = [f"{recipe.name}\n    {recipe.title}\n    {recipe.source}" for recipe in recipes]
    click.echo("\n".join(lines))


@commands.command()
@images_argument
@click.option("--baseline", required=True, help="Which network; see `featx baselines`.")
@click.option("--out", type=PathArgument, required=True, help="Folder for the network and its log.")
@click.option("--epochs", type=int, help="In place of the recipe's.")
@click.option("--size", type=int, help="Height and width in pixels, in place of the recipe's.")
@click.option("--batch-size", type=int, help="Images a step, in place of the recipe's.")
@click.option(
    "--augmentation",
    type=click.Choice(["none", "ramirez", "radiograph"]),
    help="How training images are varied, in place of the recipe's.",
)
@click.option(
    "--validation-size",
    type=float,
    help="Share that chooses epoch and operating point, in place of the recipe's.",
)
@click.option(
    "--operating-point",
    default="youden",
    show_default=True,
    help="How the threshold is chosen on validation images; as in `featx fit`.",
)
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    help="What a backbone starts from: 'imagenet', 'random', or a weights file.",
)
@weights_dir_option
@click.option("--mixed-precision", is_flag=True, help="Compute in float16 on a GPU.")
@patients_option
@labels_option
@hash_patients_option
@seed_option
@jobs_option
@quiet_option
@json_option
def train(images: Path, baseline: str, out: Path, as_json: bool, **options: Any) -> None:
    """Train the network of a recipe on IMAGES; the split 'test' is left out.

    Killed or interrupted, the same command goes on after the last finished epoch.

    Example: featx train chest_xray --patients kermany --baseline finetuned:densenet121 --out cnn
    """
    from featx.baselines.registry import get_baseline
    from featx.baselines.train import train as train_baseline

    get_baseline(baseline)
    dataset = open_images(images, options)
    dataset = dataset.select(dataset.splits != "test")
    trained = train_baseline(dataset, baseline, out=out, **options)
    tell_unreadable(trained.unreadable)
    kept = trained.best_epoch - 1
    summary = {
        "out": str(out),
        "baseline": trained.name,
        "parameters": trained.parameters,
        "class_names": list(trained.class_names),
        "training_images": len(trained.training_images),
        "validation_images": len(trained.validation_images),
        "epochs": len(trained.history["loss"]),
        "best_epoch": trained.best_epoch,
        "val_auc": trained.history["val_auc"][kept],
        "val_loss": trained.history["val_loss"][kept],
        "threshold": trained.threshold,
        "seconds": trained.seconds,
        "diagnosis": trained.diagnosis,
        "unreadable": [{"path": path, "reason": reason} for path, reason in trained.unreadable],
    }
    lines = [
        f"{trained.name}: epoch {trained.best_epoch} of {summary['epochs']} is kept, validation "
        f"AUC {summary['val_auc']:.3f}, {trained.seconds:,.0f} s. The network, its log and its "
        f"curves are in {out}",
        # Without --quiet, training itself has logged it.
        *(trained.diagnosis if logging.getLogger("featx").level > logging.INFO else []),
    ]
    print_result(summary, as_json, "\n".join(lines))
