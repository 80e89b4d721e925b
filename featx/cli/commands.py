"""Commands from images to a table: `demo`, `extract`, `fit`, `benchmark`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

import featx
from featx.cli import options, parameters
from featx.cli.output import print_result, print_table, report_unreadable
from featx.cli.root import commands

logger = logging.getLogger(__name__)


@commands.command()
@options.output_option("folder", "featx-demo", required=False, default="featx-demo")
@options.seed_option
@options.running_options
def demo(out: Path, random_state: int) -> None:
    """Run all steps on synthetic radiographs, in about two minutes.

    Example: featx demo --out featx-demo
    """
    from featx.benchmarking.demo import NEXT_STEPS, run_demo

    table = run_demo(out, random_state=random_state)
    print_table(table, out / "results", NEXT_STEPS)


@commands.command()
@options.images_argument
@options.names_option(
    "backbones",
    ["efficientnet_lite0"],
    parameters.BACKBONES,
    "Frozen networks; see `featx backbones`. tuned:FILE is one that a benchmark tuned, onnx:FILE, "
    "openvino:FILE and keras:FILE are your own, with a card beside them.",
)
@options.feature_options
@options.naming_options
@options.hash_patients_option
@options.output_option("file", "features.h5", required=False, help="Matrix file to write.")
@options.part_option
@options.seed_option
@options.computing_options
@options.cluster_options
@options.resources_option
@options.running_options
def extract(
    images: str | Path,
    out: Path | None,
    part: tuple[int, int] | None,
    scheduler: str | None,
    allow_open_scheduler: bool,
    resources: dict[str, float],
    **given: Any,
) -> None:
    """Extract features of IMAGES with frozen networks, into one HDF5 matrix file.

    Example: featx extract chest_xray --backbones densenet121 --out features.h5
    """
    from featx.features.cluster import connected

    if (out is None) == (part is None):
        raise click.UsageError("give --out FILE, or --part K/N to fill the cache only")
    if scheduler is None and resources:
        raise click.UsageError("--resources are those of a cluster; name one with --scheduler")
    rules = options.naming_rules(given)
    config = featx.ExtractionConfig(**options.with_views(options.given_settings(given)))
    dataset = featx.ImageDataset.open(images, labeled=None, **rules)
    chosen = dataset if part is None else dataset[part[0] - 1 :: part[1]]
    with connected(scheduler, allow_open=allow_open_scheduler) as client:
        matrix = featx.extract(
            chosen,
            config=config,
            out=out,
            client=client,
            resources=resources or None,
        )
    summary = {
        "out": out,
        "images": matrix.n_images,
        "rows": len(matrix),
        "features": matrix.X.shape[1],
        "class_names": matrix.class_names,
        "seconds": matrix.seconds,
        "unreadable": report_unreadable(matrix),
    }
    print_result(summary, f"{matrix!r} written to {out or 'the cache'}")


@commands.command()
@click.argument("matrices", type=parameters.InputPath("matrix"), nargs=-1, required=True)
@options.names_option(
    "classifiers", ["svm"], parameters.CLASSIFIERS, "Classifiers; 'all' for every one."
)
@options.later_labels
@options.hash_patients_option
@options.fitting_options
@options.output_option("folder", "models")
@options.overwrite_option
@options.seed_option
@options.running_options
def fit(
    matrices: tuple[Path, ...],
    classifiers: list[str],
    table: Path | None,
    out: Path,
    overwrite: bool,
    **given: Any,
) -> None:
    """Fit class-weighted classifiers on MATRICES; several of the same images are joined.

    Writes one .skops file and one model card per classifier.

    Example: featx fit features.h5 --classifiers svm,logistic --out models
    """
    from featx.classifiers.provenance import check_replaceable
    from featx.datasets.inventory import summarize
    from featx.reporting.model_card import card_facts, model_card
    from featx.runtime.files import put_bytes

    if classifiers == ["all"]:
        classifiers = [spec.name for spec in featx.list_classifiers()]
    settings = options.given_settings(given)
    rules = options.naming_rules(settings)
    only = [name.replace("_", "-") for name in rules if name != "hash_patients"]
    if table is None and only:
        raise click.UsageError(f"--{only[0]} is for a table of labels; give one by --table")
    configs = [featx.FitConfig(classifier=name, **settings) for name in classifiers]
    matrix = featx.FeatureMatrix.join([featx.FeatureMatrix.load(path) for path in matrices])
    if table is not None:
        matrix = matrix.labels_from(table, **rules)
    logger.info(f"{', '.join(map(str, matrices))}: {summarize(matrix)}")
    if not overwrite:
        for config in configs:
            check_replaceable(out / f"{config.classifier}.skops", matrix, config)
    summaries, lines = [], []
    for config in configs:
        model = featx.fit(matrix, config=config)
        path = out / f"{config.classifier}.skops"
        model.save(path)
        card = model_card(config.classifier, card_facts(model, matrix))
        put_bytes(path.with_suffix(".md"), card.encode("utf-8", "replace"))
        summary = {
            "model": path,
            "classifier": config.classifier,
            "threshold": model.threshold_,
            "parameters": model.best_params_,
            "provenance": model.provenance_,
        }
        summaries.append(summary)
        chosen = ", ".join(f"{name} {value}" for name, value in model.best_params_.items())
        lines.append(f"{config.classifier} written to {path} ({chosen or 'nothing to choose'})")
    print_result(summaries, "\n".join(lines))


@commands.command()
@options.images_argument
@options.names_option(
    "backbones",
    ["efficientnet_lite0"],
    parameters.BACKBONES,
    "Frozen networks; a+b joins the features of two, openvino:NET.xml is one that `featx quantize` "
    "wrote, tuned:a is first fine-tuned on some of the training patients.",
)
@options.names_option(
    "classifiers", ["svm", "logistic", "xgboost"], parameters.CLASSIFIERS, "Classifiers."
)
@options.names_option(
    "baselines", ["none"], parameters.BASELINES, "CNNs to train end to end, or 'none'."
)
@parameters.option(
    "--config",
    "config_file",
    type=options.input_file,
    help="YAML or JSON file of settings, or the run.json of a run; options win.",
)
@parameters.option(
    "--preset",
    type=parameters.Choice(["fast", "accurate", "varshni"]),
    help="Settings under a name; --config and options win.",
)
@options.feature_options
@options.number(
    "test-views", "Views of a test image, whose scores are averaged.  [default: as --views]"
)
@options.proportion(
    "test-size", "Proportion of the patients held out where IMAGES has no test folder.", 0.2
)
@options.proportion(
    "tuning-size",
    "Proportion of the training images, by patient, that tunes the networks tuned:NAME.",
    0.7,
)
@options.fitting_options
@parameters.option(
    "--controls/--no-controls",
    default=True,
    help="Shortcut controls: rows from random weights, images without their center, their border "
    "alone, permuted labels, histogram and metadata.",
)
@options.externals_option
@options.external_rules
@options.names_option(
    "covariates",
    ["none"],
    click.STRING,
    "Columns of the table IMAGES, such as age,sex, that are joined with the features of images in "
    "rows of their own, beside images alone and columns alone; COLUMN=category and COLUMN=number "
    "say what whole numbers are; or 'none'.",
)
@parameters.option(
    "--unit",
    metavar="UNIT",
    help="Add rows of decisions by 'patient', or by a column of the table IMAGES such as a study: "
    "the log-odds of the images of each are combined by mean or maximum, as chosen out of fold.",
)
@options.names_option(
    "findings",
    ["none"],
    click.STRING,
    "Findings of a table with several per image (a column each, or lists A|B): a benchmark each, "
    "present against absent, and their averages; 'all' for every one.",
)
@options.subgroups_option
@parameters.option(
    "--leave-group-out",
    metavar="COLUMN",
    help="Train on all other groups of a column of the table IMAGES, such as site or age:5,18,65, "
    "and test on the one left out; each in turn, then their means.",
)
@options.number("repeats", "Cross-validations of each frozen row, for the spread between seeds.", 1)
@parameters.option(
    "--learning-curve/--no-learning-curve",
    default=True,
    help="AUC of the best frozen row on 10 to 100 % of the training patients.",
)
@options.flag(
    "internal-shifts",
    "Operating point of the best frozen row between halves of the training images that differ.",
)
@options.flag(
    "robustness",
    "Each frozen row on degraded test images: contrast, gamma, blur, noise, JPEG, rotation, crop, "
    "border, marker, down-sampling, in five grades.",
)
@parameters.option(
    "--published/--no-published",
    default=None,
    help="List published figures on Kermany et al. 2018 apart.  [default: on that data set]",
)
@options.choice(
    "leaks",
    ["error", "drop", "allow"],
    "Training images that leak test images or patients: stop, drop them, or continue.",
)
@options.flag(
    "adapt", "Add each frozen model adapted to the images it is evaluated on, without labels."
)
@options.flag(
    "fuse", "Add the mean of the log-odds of the frozen models of each classifier (late fusion)."
)
@options.number("baseline-epochs", "Epochs of every baseline.")
@options.number("baseline-size", "Image size of every baseline.")
@options.naming_options
@options.hash_patients_option
@options.output_option("folder", "results")
@options.overwrite_option
@options.seed_option
@options.computing_options
@options.cluster_options
@options.running_options
def benchmark(
    images: str | Path,
    out: Path,
    config_file: Path | None,
    preset: str | None,
    externals: dict[str, str],
    hash_patients: str | None,
    overwrite: bool,
    scheduler: str | None,
    allow_open_scheduler: bool,
    **given: Any,
) -> None:
    """Compare backbones x classifiers with trained CNNs on IMAGES, in one table.

    Example: featx benchmark chest_xray --patients kermany --out results
    """
    from featx.benchmarking.presets import read_config
    from featx.features.cluster import connected

    settings = {} if preset is None else featx.get_preset(preset).settings()
    if config_file is not None:
        settings |= read_config(config_file)
    given = options.given_settings(given)
    training = dict(settings.get("baseline_settings", {}))
    if "baseline_epochs" in given:
        training["epochs"] = given.pop("baseline_epochs")
    if "baseline_size" in given:
        training["size"] = (given.pop("baseline_size"),) * 2
    settings |= {**given, "baseline_settings": training}
    config = featx.BenchmarkConfig.from_dict(options.with_views(settings))
    with connected(scheduler, allow_open=allow_open_scheduler) as client:
        table = featx.benchmark(
            images,
            config=config,
            externals=externals,
            hash_patients=hash_patients,
            out=out,
            overwrite=overwrite,
            client=client,
        )
    print_table(table, out)
