"""The commands that lead from images to a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import featx
from featx.cli.options import (
    PathArgument,
    adapt_option,
    allow_open_option,
    benchmark_settings,
    extraction_options,
    fitting_options,
    hash_patients_option,
    images_argument,
    jobs_option,
    json_option,
    labels_option,
    names_option,
    open_images,
    part_option,
    patients_option,
    quantization_option,
    quiet_option,
    resources_option,
    scheduler_option,
    seed_option,
    sets_by_name,
    view_options,
    with_views,
)
from featx.cli.output import describe_choice, print_result, print_table, tell_unreadable
from featx.cli.root import commands


@commands.command()
@images_argument
@names_option("--backbone", default=["efficientnet_lite0"], text="Frozen network; see `backbones`.")
@view_options
@patients_option
@labels_option
@hash_patients_option
@click.option("--out", type=PathArgument, help="Matrix file to write (.h5).")
@part_option
@seed_option
@extraction_options
@quantization_option
@scheduler_option
@allow_open_option
@resources_option
@json_option
def extract(
    images: Path,
    backbone: list[str],
    out: Path | None,
    part: tuple[int, int] | None,
    quantization: Path | None,
    scheduler: str | None,
    allow_open_scheduler: bool,
    **options: Any,
) -> None:
    """Extract features of IMAGES with frozen networks, into one HDF5 matrix file.

    Example: featx extract chest_xray --backbone densenet121 --out features.h5
    """
    from featx.features.cluster import connected

    if (out is None) == (part is None):
        raise click.UsageError("give --out FILE, or --part K/N to fill the cache only")
    dataset = open_images(images, options)
    as_json = options.pop("as_json")
    if scheduler is None and options["resources"]:
        raise click.UsageError("--resources are those of a cluster; name one with --scheduler")
    if quantization is not None:
        options["quantization"] = featx.FeatureMatrix.load(quantization)
    elif options["precision"] == "int8":
        options["quantization"] = dataset
    chosen = dataset if part is None else dataset[part[0] - 1 :: part[1]]
    with connected(scheduler, allow_open=allow_open_scheduler) as client:
        matrix = featx.extract(chosen, backbone, out=out, client=client, **with_views(options))
    tell_unreadable(matrix.unreadable)
    summary = {
        "out": None if out is None else str(out),
        "images": matrix.n_images,
        "rows": len(matrix),
        "features": matrix.X.shape[1],
        "class_names": list(matrix.class_names),
        "seconds": matrix.seconds,
        "unreadable": [{"path": path, "reason": reason} for path, reason in matrix.unreadable],
    }
    place = "the cache" if out is None else out
    print_result(summary, as_json, f"{matrix!r} written to {place}")


@commands.command()
@click.argument("matrices", type=PathArgument, nargs=-1, required=True)
@names_option("--classifier", default=["svm"], text="Classifier; `all` for every one.")
@fitting_options
@click.option("--out", type=PathArgument, required=True, help="Folder for the models.")
@click.option(
    "--memory",
    metavar="SIZE",
    help="What the process may take, such as 8GiB; a matrix too large for it is read block by "
    "block.  [default: what there is]",
)
@seed_option
@jobs_option
@quiet_option
@json_option
def fit(
    matrices: tuple[Path, ...],
    classifier: list[str],
    out: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Fit class-weighted classifiers on MATRICES; several of the same images are joined.

    Images of the split 'test' are left out. Beside each model lies its card, a .md file.

    Example: featx fit features.h5 --classifier svm,logistic --out models
    """
    from featx.classifiers.registry import CLASSIFIERS, get_classifier
    from featx.report.model_card import card_facts, model_card
    from featx.runtime.files import put_bytes

    names = list(CLASSIFIERS) if classifier == ["all"] else classifier
    for name in names:
        get_classifier(name)
    matrix = featx.FeatureMatrix.join([featx.FeatureMatrix.load(path) for path in matrices])
    options["cv"] = options.pop("folds")
    summaries = []
    for name in names:
        model = featx.fit(matrix, name, **options)
        path = out / f"{name}.skops"
        model.save(path)
        card = model_card(name, card_facts(model, matrix))
        put_bytes(path.with_suffix(".md"), card.encode("utf-8", "replace"))
        summary = {
            "model": str(path),
            "classifier": name,
            "threshold": model.threshold_,
            "parameters": model.best_params_,
            "provenance": model.provenance_,
        }
        summaries.append(summary)
        if not as_json:
            click.echo(f"{name} written to {path} ({describe_choice(model)})")
    if as_json:
        print_result(summaries, as_json, "")


@commands.command()
@click.argument("model", type=PathArgument)
@images_argument
@click.option("--out", type=PathArgument, required=True, help="CSV file to write.")
@click.option("--views", type=int, help="Views whose scores are averaged.  [default: the model's]")
@adapt_option
@extraction_options
@json_option
def predict(model: Path, images: Path, out: Path, as_json: bool, **options: Any) -> None:
    """Classify IMAGES, which need no labels, with a fitted MODEL.

    Example: featx predict models/svm.skops new_images --out predictions.csv
    """
    dataset = featx.ImageDataset.open(images, labeled=False)
    result = featx.predict(model, dataset, **options)
    result.to_csv(out)
    tell_unreadable(result.unreadable)
    summary = {
        "out": str(out),
        "images": len(result.names),
        "labels": result.counts(),
        "unreadable": [{"path": path, "reason": reason} for path, reason in result.unreadable],
    }
    print_result(summary, as_json, f"{len(result.names):,} images classified: {out}")


@commands.command()
@click.argument("model", type=PathArgument)
@images_argument
@patients_option
@labels_option
@click.option("--views", type=int, help="Views whose scores are averaged.  [default: the model's]")
@adapt_option
@extraction_options
@json_option
def evaluate(model: Path, images: Path, as_json: bool, **options: Any) -> None:
    """Score a fitted MODEL on labeled IMAGES, with 95 % intervals.

    Example: featx evaluate models/svm.skops other_hospital --json
    """
    from featx.report.records import SetScores

    fitted = featx.load_model(model)
    dataset = open_images(images, options, class_names=fitted.classes_.tolist())
    result = featx.predict(fitted, dataset, **options)
    tell_unreadable(result.unreadable)
    scores = result.score()
    lines = [f"{name}: {interval}" for name, interval in scores.metrics.items()]
    if scores.collapsed:
        lines.append(f"COLLAPSED: it {scores.collapse_reason}")
    row = {
        **SetScores.from_scores(scores).to_dict(),
        "unreadable": [{"path": path, "reason": reason} for path, reason in result.unreadable],
    }
    print_result(row, as_json, "\n".join(lines))


@commands.command()
@images_argument
@names_option(
    "--backbones",
    default=["efficientnet_lite0"],
    text="Frozen networks; a+b joins two, a@int8 is a in int8.",
)
@names_option("--classifiers", default=["svm", "logistic", "xgboost"], text="Classifiers.")
@names_option("--baselines", default=["none"], text="CNNs to train end to end, or 'none'.")
@view_options
@click.option(
    "--test-views", type=int, help="Views of a test image, averaged.  [default: as --views]"
)
@click.option(
    "--test-size",
    default=0.2,
    show_default=True,
    help="Share of the patients to hold out where IMAGES has no test folder.",
)
@fitting_options
@click.option(
    "--controls/--no-controls",
    default=True,
    show_default=True,
    help="Rows that know nothing of lungs: random weights, histogram, metadata.",
)
@click.option(
    "--external",
    "externals",
    metavar="NAME=FOLDER",
    multiple=True,
    callback=sets_by_name,
    help="A set of the same classes that every model is shown unchanged. Repeat it for more.",
)
@click.option(
    "--repeats",
    default=1,
    show_default=True,
    help="Cross-validations of each frozen row, for the spread between seeds.",
)
@click.option(
    "--learning-curve/--no-learning-curve",
    default=True,
    show_default=True,
    help="AUC of the best frozen row on 10 to 100 % of the training patients.",
)
@click.option(
    "--published/--no-published",
    default=None,
    help="List published figures on Kermany et al. 2018 apart.  [default: on that data set]",
)
@click.option(
    "--leaks",
    type=click.Choice(["error", "drop", "allow"]),
    default="error",
    show_default=True,
    help="Where test images or patients were trained on: stop, leave these training images out, "
    "or go on; the table says so.",
)
@click.option(
    "--adapt",
    is_flag=True,
    help="Add each frozen model adapted to the test images, which it sees without their labels.",
)
@click.option(
    "--preset",
    type=click.Choice(["fast", "accurate", "varshni"]),
    help="Settings under a name; options given besides it win.",
)
@click.option(
    "--config",
    type=PathArgument,
    help="Settings from a YAML or JSON file, or from the run.json of a run; options given besides "
    "it win.",
)
@click.option("--baseline-epochs", type=int, help="Epochs of every baseline.")
@click.option("--baseline-size", type=int, help="Image size of every baseline, in pixels.")
@patients_option
@labels_option
@hash_patients_option
@click.option("--out", type=PathArgument, required=True, help="Folder for tables and models.")
@seed_option
@extraction_options
@scheduler_option
@allow_open_option
@json_option
@click.pass_context
def benchmark(
    context: click.Context,
    /,
    images: Path,
    out: Path,
    as_json: bool,
    externals: dict[str, Path],
    hash_patients: str | None,
    scheduler: str | None,
    allow_open_scheduler: bool,
    **options: Any,
) -> None:
    """Compare backbones x classifiers with trained CNNs on IMAGES: the table.

    Everything is chosen on training images, by patient; the test set is evaluated once.

    Example: featx benchmark chest_xray --patients kermany --backbones densenet121,resnet50
    --baselines finetuned:resnet50 --out results
    """
    from featx.features.cluster import connected

    with connected(scheduler, allow_open=allow_open_scheduler) as client:
        table = featx.benchmark(
            images,
            config=benchmark_settings(context, options),
            externals=externals,
            hash_patients=hash_patients,
            out=out,
            client=client,
        )
    print_table(table, as_json, out)


@commands.command()
@click.option(
    "--out", type=PathArgument, default=Path("featx-demo"), show_default=True, help="Folder."
)
@seed_option
@jobs_option
@quiet_option
@json_option
def demo(out: Path, random_state: int, as_json: bool) -> None:
    """Show the whole road on synthetic radiographs, in a few minutes.

    Example: featx demo --out featx-demo
    """
    from featx.benchmarking.demo import run_demo

    table = run_demo(out, random_state=random_state)
    print_table(table, as_json, out / "results")
