"""Commands from images to a table: `demo`, `extract`, `fit`, `benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import featx
from featx.cli.options import (
    OutputPath,
    cluster_options,
    computing_options,
    externals_option,
    feature_options,
    fitting_options,
    given_settings,
    hash_patients_option,
    images_argument,
    input_path,
    names_option,
    naming_options,
    open_images,
    part_option,
    resources_option,
    running_options,
    seed_option,
    with_views,
)
from featx.cli.output import print_result, print_table, unreadable_rows, warn_of_unreadable
from featx.cli.root import commands


@commands.command()
@click.option(
    "--out",
    type=OutputPath("folder", "featx-demo"),
    default="featx-demo",
    show_default=True,
    help="Folder to write.",
)
@seed_option
@running_options
def demo(out: Path, random_state: int, as_json: bool) -> None:
    """Run all steps on synthetic radiographs, in about two minutes.

    Example: featx demo --out featx-demo
    """
    from featx.benchmarking.demo import run_demo

    table = run_demo(out, random_state=random_state)
    print_table(table, as_json, out / "results")


@commands.command()
@images_argument
@names_option("backbones", ["efficientnet_lite0"], "Frozen networks; see `featx backbones`.")
@feature_options
@naming_options
@hash_patients_option
@click.option("--out", type=OutputPath("file", "features.h5"), help="Matrix file to write.")
@part_option
@seed_option
@computing_options
@click.option(
    "--quantization",
    metavar="MATRIX",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="int8 matrix of the training images, whose quantized networks to use.  "
    "[default: quantize on the IMAGES outside test splits]",
)
@cluster_options
@resources_option
@running_options
def extract(
    images: str | Path,
    out: Path | None,
    part: tuple[int, int] | None,
    quantization: Path | None,
    scheduler: str | None,
    allow_open_scheduler: bool,
    resources: dict[str, float] | None,
    as_json: bool,
    patients: str | None,
    labels: str | None,
    hash_patients: str | None,
    **options: Any,
) -> None:
    """Extract features of IMAGES with frozen networks, into one HDF5 matrix file.

    Example: featx extract chest_xray --backbones densenet121 --out features.h5
    """
    from featx.features.cluster import connected

    if (out is None) == (part is None):
        raise click.UsageError("give --out FILE, or --part K/N to fill the cache only")
    if scheduler is None and resources:
        raise click.UsageError("--resources are those of a cluster; name one with --scheduler")
    config = featx.ExtractionConfig(**with_views(given_settings(options)))
    dataset = open_images(images, patients, labels, hash_patients)
    quantized: Any = dataset if config.precision == "int8" else None
    if quantization is not None:
        quantized = featx.FeatureMatrix.load(quantization)
    chosen = dataset if part is None else dataset[part[0] - 1 :: part[1]]
    with connected(scheduler, allow_open=allow_open_scheduler) as client:
        matrix = featx.extract(
            chosen,
            config=config,
            quantization=quantized,
            out=out,
            client=client,
            resources=resources,
        )
    warn_of_unreadable(matrix.unreadable)
    text = f"{matrix!r} written to {out or 'the cache'}"
    print_result(_matrix_summary(matrix, out), as_json, text)


def _matrix_summary(matrix: featx.FeatureMatrix, out: Path | None) -> dict[str, Any]:
    return {
        "out": None if out is None else str(out),
        "images": matrix.n_images,
        "rows": len(matrix),
        "features": matrix.X.shape[1],
        "class_names": list(matrix.class_names),
        "seconds": matrix.seconds,
        "unreadable": unreadable_rows(matrix.unreadable),
    }


@commands.command()
@click.argument("matrices", type=input_path, nargs=-1, required=True)
@names_option("classifiers", ["svm"], "Classifiers; 'all' for every one.")
@fitting_options
@click.option("--out", type=OutputPath("folder", "models"), required=True, help="Folder to write.")
@seed_option
@running_options
def fit(
    matrices: tuple[Path, ...],
    classifiers: list[str],
    out: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Fit class-weighted classifiers on MATRICES; several of the same images are joined.

    Writes one .skops file and one model card per classifier.

    Example: featx fit features.h5 --classifiers svm,logistic --out models
    """
    from featx.reporting.model_card import card_facts, model_card
    from featx.runtime.files import put_bytes

    names = [spec.name for spec in featx.list_classifiers()]
    chosen = names if classifiers == ["all"] else classifiers
    settings = given_settings(options)
    configs = [featx.FitConfig(classifier=name, **settings) for name in chosen]
    matrix = featx.FeatureMatrix.join([featx.FeatureMatrix.load(path) for path in matrices])
    summaries = []
    for config in configs:
        model = featx.fit(matrix, config=config)
        path = out / f"{config.classifier}.skops"
        model.save(path)
        card = model_card(config.classifier, card_facts(model, matrix))
        put_bytes(path.with_suffix(".md"), card.encode("utf-8", "replace"))
        summary = {
            "model": str(path),
            "classifier": config.classifier,
            "threshold": model.threshold_,
            "parameters": model.best_params_,
            "provenance": model.provenance_,
        }
        summaries.append(summary)
        if not as_json:
            choice = ", ".join(f"{name} {value}" for name, value in model.best_params_.items())
            click.echo(f"{config.classifier} written to {path} ({choice or 'nothing to choose'})")
    if as_json:
        print_result(summaries, as_json, "")


@commands.command()
@images_argument
@names_option(
    "backbones",
    ["efficientnet_lite0"],
    "Frozen networks; a+b joins the features of two, a@int8 computes a in int8.",
)
@names_option("classifiers", ["svm", "logistic", "xgboost"], "Classifiers.")
@names_option("baselines", ["none"], "CNNs to train end to end, or 'none'.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="YAML or JSON file of settings, or the run.json of a run; options win.",
)
@click.option(
    "--preset",
    type=click.Choice(["fast", "accurate", "varshni"]),
    help="Settings under a name; --config and options win.",
)
@feature_options
@click.option(
    "--test-views",
    type=click.IntRange(1),
    help="Views of a test image, whose scores are averaged.  [default: as --views]",
)
@click.option(
    "--test-size",
    default=0.2,
    show_default=True,
    help="Proportion of the patients held out where IMAGES has no test folder.",
)
@fitting_options
@click.option(
    "--controls/--no-controls",
    default=True,
    show_default=True,
    help="Shortcut controls: rows from random weights, histogram and metadata.",
)
@externals_option
@click.option(
    "--repeats",
    type=click.IntRange(1),
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
    help="Training images that leak test images or patients: stop, drop them, or continue.",
)
@click.option(
    "--adapt",
    is_flag=True,
    help="Add each frozen model adapted to the test images, without their labels.",
)
@click.option("--baseline-epochs", type=click.IntRange(1), help="Epochs of every baseline.")
@click.option("--baseline-size", type=click.IntRange(1), help="Image size of every baseline.")
@naming_options
@hash_patients_option
@click.option("--out", type=OutputPath("folder", "results"), required=True, help="Results folder.")
@seed_option
@computing_options
@cluster_options
@running_options
def benchmark(
    images: str | Path,
    out: Path,
    as_json: bool,
    config_file: Path | None,
    preset: str | None,
    externals: dict[str, Path],
    hash_patients: str | None,
    scheduler: str | None,
    allow_open_scheduler: bool,
    **options: Any,
) -> None:
    """Compare backbones x classifiers with trained CNNs on IMAGES, in one table.

    Example: featx benchmark chest_xray --patients kermany --out results
    """
    from featx.benchmarking.config import read_config
    from featx.features.cluster import connected

    settings: dict[str, Any] = {}
    if preset is not None:
        settings |= featx.get_preset(preset).settings(options["weights_dir"])
    if config_file is not None:
        settings |= read_config(config_file)
    settings |= given_settings(options)
    epochs, size = settings.pop("baseline_epochs", None), settings.pop("baseline_size", None)
    changes = {"epochs": epochs, "size": None if size is None else (size, size)}
    settings["baseline_settings"] = {
        **settings.get("baseline_settings", {}),
        **{name: value for name, value in changes.items() if value is not None},
    }
    config = featx.BenchmarkConfig.from_dict(with_views(settings))
    with connected(scheduler, allow_open=allow_open_scheduler) as client:
        table = featx.benchmark(
            images,
            config=config,
            externals=externals,
            hash_patients=hash_patients,
            out=out,
            client=client,
        )
    print_table(table, as_json, out)
