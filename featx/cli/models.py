"""Commands on models: `predict`, `evaluate`, `accept`, `adapt`, `explain`, `train`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

import featx
from featx.cli import options, parameters
from featx.cli.output import as_json, print_result, report_unreadable
from featx.cli.root import commands

_model = click.argument("model", type=parameters.InputPath("model"))


@commands.command()
@_model
@options.images_argument
@options.table_options
@options.output_option("file", "predictions.csv", help="CSV file to write.")
@options.inference_options
@options.proportion(
    "coverage",
    "Add the classes that an image may be of, so that they hold the true one for this "
    "proportion of each class, such as 0.95; images with several or none are undecided. Voided by "
    "images unlike those of training.",
)
@options.unit_option
@options.patients_option
@options.running_options
def predict(model: Path, images: str | Path, out: Path, **given: Any) -> None:
    """Classify IMAGES, which need no labels, with a fitted MODEL.

    Example: featx predict models/svm.skops new_images --out predictions.csv
    """
    from featx.classifiers.inference import needed_columns

    fitted = featx.load_model(model)
    rules = options.naming_rules(given)
    kept = needed_columns(fitted, given["unit"])
    dataset = featx.ImageDataset.open(images, **rules, labeled=False, keep_columns=kept)
    result = featx.predict(fitted, dataset, **options.given_settings(given))
    result.to_csv(out)
    summary = {
        "out": out,
        "images": len(result.names),
        "labels": result.counts(),
        "findings": [finding.to_dict() for finding in result.findings],
        "unreadable": report_unreadable(result),
    }
    what = "images classified" if given["unit"] is None else f"decisions by {given['unit']}"
    text = f"{len(result.names):,} {what}: {out}"
    if result.sets is not None:
        summary["undecided"] = int(result.undecided.sum())
        text += f"; {summary['undecided']:,} undecided, by the column 'set'"
    print_result(summary, text)


@commands.command()
@_model
@options.images_argument
@options.naming_options
@options.inference_options
@options.unit_option
@options.choice(
    "leaks",
    ["allow", "drop", "error"],
    "Images and patients that MODEL was trained on: evaluate them with a warning, leave them out, "
    "or stop.",
)
@options.subgroups_option
@options.running_options
def evaluate(model: Path, images: str | Path, subgroups: list[str], **given: Any) -> None:
    """Evaluate a fitted MODEL on labeled IMAGES, with 95 % intervals.

    Example: featx evaluate models/svm.skops other_hospital --json
    """
    from featx.classifiers.inference import audited, needed_columns, scored
    from featx.classifiers.units import check_units
    from featx.datasets.bands import divide

    fitted = featx.load_model(model)
    names = fitted.classes_.tolist()
    kept = needed_columns(fitted, given["unit"], subgroups)
    rules = options.naming_rules(given)
    dataset = featx.ImageDataset.open(images, **rules, class_names=names, keep_columns=kept)
    if given["unit"] is not None:
        check_units(dataset, given["unit"])
    bands = divide(subgroups, dataset)
    result = audited(fitted, dataset, **options.given_settings(given))
    unreadable = report_unreadable(result)
    scores = scored(result, bands, dataset)
    lines = [finding.named for finding in result.findings]
    lines += [f"{name}: {interval}" for name, interval in scores.metrics.items()]
    lines += [each.text for each in bands] + [each.text for each in scores.subgroups]
    if scores.collapsed:
        lines.append(f"COLLAPSED: it {scores.collapse_reason}")
    if scores.off_center:
        lines.append(
            f"Off center: it {scores.off_center}, though it ranks them better than chance; its "
            "threshold does not fit these images"
        )
    findings = [finding.to_dict() for finding in result.findings]
    row = {"findings": findings, **scores.to_dict(), "unreadable": unreadable}
    print_result(row, "\n".join(lines))


@commands.command()
@_model
@options.images_argument
@parameters.option(
    "--labels",
    metavar="FEW",
    type=parameters.InputPath("images"),
    help="Labeled images of patients drawn at random: a table with columns path, label and patient "
    "(paths relative to IMAGES), or IMAGES itself.  [default: none]",
)
@options.proportion(
    "min-sensitivity",
    "Sensitivity that the threshold from FEW has, of a random image of a random patient.",
    0.95,
)
@options.proportion("level", "Certainty; coverage of intervals.", 0.95)
@options.table_options
@options.patients_option
@options.finding_options
@options.rename_option
@options.output_option("file", "acceptance.json", required=False, help="JSON file to write.")
@options.views_option
@options.computing_options
@options.running_options
def accept(model: Path, images: str | Path, out: Path | None, **given: Any) -> None:
    """Collect evidence on whether MODEL may be used on IMAGES of another place.

    Untypical images, drift of the scores and two adaptations need no labels. With FEW labeled
    patients: a threshold of a sure sensitivity, or how many patients that takes.

    Example: featx accept models/svm.skops new_images --labels table.csv
    """
    from featx.runtime.files import put_bytes

    found = featx.accept(model, images, **options.given_settings(given))
    report_unreadable(found)
    if out is not None:
        put_bytes(out, as_json(found.to_dict()).encode())
    print_result(found.to_dict(), *found.lines())


@commands.command()
@_model
@options.images_argument
@options.table_options
@options.output_option("file", "adapted.skops", help="Model file to write.")
@parameters.option(
    "--train",
    metavar="MATRIX",
    type=parameters.InputPath("matrix"),
    help="Features that MODEL was fitted to: refit it to them and to confident predictions of "
    "IMAGES, too.  [default: adapt the threshold alone]",
)
@options.views_option
@options.computing_options
@options.running_options
def adapt(model: Path, images: str | Path, out: Path, **given: Any) -> None:
    """Adapt a fitted MODEL of two classes to unlabeled IMAGES of another collection.

    The images, at least 50, must be of both classes; otherwise nothing is written.

    Example: featx adapt models/svm.skops new_images --out adapted.skops
    """
    from featx.classifiers.inference import needed_columns

    fitted = featx.load_model(model)
    rules = options.naming_rules(given) | {"keep_columns": needed_columns(fitted)}
    dataset = featx.ImageDataset.open(images, **rules, labeled=False)
    adapted = featx.adapt(fitted, dataset, **options.given_settings(given))
    adapted.save(out)
    record = adapted.provenance_["adapted"]
    summary = {"out": out, "threshold": adapted.threshold_, **record}
    text = (
        f"{out} is adapted to {record['images']:,} images: its threshold is "
        f"{adapted.threshold_:.3f}, that of {model} is {record['threshold_before']:.3f}"
    )
    print_result(summary, text)


@commands.command()
@_model
@options.images_argument
@options.table_options
@options.output_option("folder", "explained")
@options.overwrite_option
@parameters.option(
    "--limit",
    type=click.IntRange(0),
    default=24,
    help="Greatest number of images, chosen evenly from first to last; 0 for all.",
)
@options.network_options
@options.engine_option
@options.running_options
def explain(model: Path, images: str | Path, out: Path, **given: Any) -> None:
    """Map which places of IMAGES the decisions of a fitted MODEL come from.

    Writes one overlay per image, a contact sheet and the numbers.

    Logistic regression and the linear support vector machine on average-pooled features have
    exact maps; every other model is explained by occlusion, which takes some fifty times as long.

    Example: featx explain models/logistic.skops new_images --out explained
    """
    from featx.explanation.export import SHEET

    rules = options.naming_rules(given)
    dataset = featx.ImageDataset.open(images, **rules, labeled=False)
    explanations = featx.explain(model, dataset, out, **options.given_settings(given))
    content = explanations.to_dict()
    report_unreadable(explanations)
    text = (
        f"{len(explanations):,} of {len(dataset):,} images explained. {content['about']}\n"
        f"Open {out / SHEET} first."
    )
    print_result({**content, "out": out}, text)


@commands.command()
@options.images_argument
@parameters.option(
    "--baseline",
    "--baselines",
    "baseline",
    type=parameters.BASELINE,
    required=True,
    help="Recipe to train; see `featx baselines`.",
)
@options.output_option("folder", "cnn")
@options.overwrite_option
@options.number("epochs", "Replaces the recipe's.")
@options.number("size", "Height and width; replaces the recipe's.")
@options.number("batch-size", "Replaces the recipe's.")
@parameters.option(
    "--augmentation",
    type=parameters.Choice(["radiograph", "ramirez", "none"]),
    help="Policy of training images; replaces the recipe's.",
)
@options.proportion(
    "validation-size",
    "Proportion that chooses epoch and operating point; replaces the recipe's.",
)
@options.operating_point_option
@options.weights_option
@options.weights_dir_option
@options.flag("mixed-precision", "Compute in float16 on a GPU.")
@options.naming_options
@options.hash_patients_option
@options.seed_option
@options.running_options
def train(images: str | Path, baseline: str, out: Path, **given: Any) -> None:
    """Train a CNN end to end by a baseline recipe on IMAGES, without the split 'test'.

    An interrupted training continues after its last finished epoch.

    Example: featx train chest_xray --patients kermany --baseline finetuned:densenet121 --out cnn
    """
    dataset = featx.ImageDataset.open(images, **options.naming_rules(given))
    dataset = dataset.select(dataset.splits != "test")
    trained = featx.train(dataset, baseline, out=out, **options.given_settings(given))
    kept = trained.best_epoch - 1
    summary = {
        "out": out,
        "baseline": trained.name,
        "parameters": trained.parameters,
        "class_names": trained.class_names,
        "training_images": len(trained.training_images),
        "validation_images": len(trained.validation_images),
        "epochs": len(trained.history["loss"]),
        "best_epoch": trained.best_epoch,
        "val_auc": trained.history["val_auc"][kept],
        "val_loss": trained.history["val_loss"][kept],
        "threshold": trained.threshold,
        "seconds": trained.seconds,
        "diagnosis": trained.diagnosis,
        "unreadable": report_unreadable(trained),
    }
    text = (
        f"{trained.name}: epoch {trained.best_epoch} of {summary['epochs']} is kept, validation "
        f"AUC {summary['val_auc']:.3f}, {trained.seconds:,.0f} s. The network and its log are in "
        f"{out}"
    )
    # Without --quiet, training itself has logged it.
    quiet = logging.getLogger("featx").level > logging.INFO
    print_result(summary, text, *(trained.diagnosis if quiet else []))
