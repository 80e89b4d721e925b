"""Commands on models: `predict`, `evaluate`, `explain`, `train`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import featx
from featx.cli.options import (
    Option,
    OutputPath,
    engine_option,
    given_settings,
    hash_patients_option,
    images_argument,
    inference_options,
    input_path,
    naming_options,
    open_images,
    running_options,
    seed_option,
    weights_dir_option,
    weights_option,
)
from featx.cli.output import print_result, unreadable_rows, warn_of_unreadable
from featx.cli.root import commands

if TYPE_CHECKING:
    from featx.baselines.result import TrainedBaseline

_model = click.argument("model", type=input_path)


@commands.command()
@_model
@images_argument
@click.option(
    "--out", type=OutputPath("file", "predictions.csv"), required=True, help="CSV file to write."
)
@inference_options
@running_options
def predict(model: Path, images: str | Path, out: Path, as_json: bool, **options: Any) -> None:
    """Classify IMAGES, which need no labels, with a fitted MODEL.

    Example: featx predict models/svm.skops new_images --out predictions.csv
    """
    fitted = featx.load_model(model)
    dataset = open_images(images, labeled=False)
    result = featx.predict(fitted, dataset, **given_settings(options))
    result.to_csv(out)
    warn_of_unreadable(result.unreadable)
    summary = {
        "out": str(out),
        "images": len(result.names),
        "labels": result.counts(),
        "unreadable": unreadable_rows(result.unreadable),
    }
    print_result(summary, as_json, f"{len(result.names):,} images classified: {out}")


@commands.command()
@_model
@images_argument
@naming_options
@inference_options
@running_options
def evaluate(
    model: Path,
    images: str | Path,
    patients: str | None,
    labels: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Evaluate a fitted MODEL on labeled IMAGES, with 95 % intervals.

    Example: featx evaluate models/svm.skops other_hospital --json
    """
    from featx.reporting.records import SetScores

    fitted = featx.load_model(model)
    dataset = open_images(images, patients, labels, class_names=fitted.classes_.tolist())
    result = featx.predict(fitted, dataset, **given_settings(options))
    warn_of_unreadable(result.unreadable)
    scores = result.score()
    lines = [f"{name}: {interval}" for name, interval in scores.metrics.items()]
    if scores.collapsed:
        lines.append(f"COLLAPSED: it {scores.collapse_reason}")
    row = {
        **SetScores.from_scores(scores).to_dict(),
        "unreadable": unreadable_rows(result.unreadable),
    }
    print_result(row, as_json, "\n".join(lines))


@commands.command()
@_model
@images_argument
@click.option(
    "--out", type=OutputPath("folder", "explained"), required=True, help="Folder to write."
)
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=24,
    show_default=True,
    help="Greatest number of images, chosen evenly from first to last; 0 for all.",
)
@weights_option
@weights_dir_option
@engine_option
@running_options
def explain(model: Path, images: str | Path, out: Path, as_json: bool, **options: Any) -> None:
    """Map which places of IMAGES the decisions of a fitted MODEL come from.

    Writes one overlay per image, a contact sheet and the numbers.

    Logistic regression and the linear support vector machine on average-pooled features have
    exact maps; every other model is explained by occlusion, which takes some fifty times as long.

    Example: featx explain models/logistic.skops new_images --out explained
    """
    from featx.explanation.export import SHEET

    dataset = open_images(images, labeled=False)
    explanations = featx.explain(model, dataset, out, **given_settings(options))
    content = explanations.to_dict()
    warn_of_unreadable(explanations.unreadable)
    text = (
        f"{len(explanations):,} of {len(dataset):,} images explained. {content['about']}\n"
        f"Open {out / SHEET} first."
    )
    print_result({**content, "out": str(out)}, as_json, text)


@commands.command()
@images_argument
@click.option(
    "--baseline",
    "--baselines",
    "baseline",
    cls=Option,
    required=True,
    help="Recipe to train; see `featx baselines`.",
)
@click.option("--out", type=OutputPath("folder", "cnn"), required=True, help="Folder to write.")
@click.option("--epochs", type=click.IntRange(1), help="Replaces the recipe's.")
@click.option("--size", type=click.IntRange(1), help="Height and width; replaces the recipe's.")
@click.option("--batch-size", type=click.IntRange(1), help="Replaces the recipe's.")
@click.option(
    "--augmentation",
    type=click.Choice(["none", "ramirez", "radiograph"]),
    help="Policy of training images; replaces the recipe's.",
)
@click.option(
    "--validation-size",
    type=float,
    help="Proportion that chooses epoch and operating point; replaces the recipe's.",
)
@click.option(
    "--operating-point",
    default="youden",
    show_default=True,
    help="How the threshold is chosen on validation images; as in `featx fit`.",
)
@weights_option
@weights_dir_option
@click.option("--mixed-precision", is_flag=True, help="Compute in float16 on a GPU.")
@naming_options
@hash_patients_option
@seed_option
@running_options
def train(
    images: str | Path,
    baseline: str,
    out: Path,
    as_json: bool,
    patients: str | None,
    labels: str | None,
    hash_patients: str | None,
    **options: Any,
) -> None:
    """Train a CNN end to end by a baseline recipe on IMAGES, without the split 'test'.

    An interrupted training continues after its last finished epoch.

    Example: featx train chest_xray --patients kermany --baseline finetuned:densenet121 --out cnn
    """
    from featx.baselines.registry import get_baseline

    get_baseline(baseline)
    dataset = open_images(images, patients, labels, hash_patients)
    dataset = dataset.select(dataset.splits != "test")
    trained = featx.train(dataset, baseline, out=out, **given_settings(options))
    warn_of_unreadable(trained.unreadable)
    summary = _training_summary(trained, out)
    lines = [
        f"{trained.name}: epoch {trained.best_epoch} of {summary['epochs']} is kept, validation "
        f"AUC {summary['val_auc']:.3f}, {trained.seconds:,.0f} s. The network and its log are in "
        f"{out}",
        # Without --quiet, training itself has logged it.
        *(trained.diagnosis if logging.getLogger("featx").level > logging.INFO else []),
    ]
    print_result(summary, as_json, "\n".join(lines))


def _training_summary(trained: TrainedBaseline, out: Path) -> dict[str, Any]:
    kept = trained.best_epoch - 1
    return {
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
        "unreadable": unreadable_rows(trained.unreadable),
    }
