"""The command line: words and flags to calls, nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

import featx
from featx.errors import FeatxError

__all__ = ["main"]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

PathArgument = click.Path(path_type=Path)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 failed, 2 used wrongly, 130 interrupted.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.
    """
    try:
        commands.main(args=arguments, prog_name="featx", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except FeatxError as error:
        click.echo(f"featx: {error}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(
            "featx: interrupted; run the same command again to go on from where it was.", err=True
        )
        sys.exit(130)
    sys.exit(0)


def _several(_: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> list[str]:
    """Take names given by repeating an option, or parted by commas, or both."""
    names = [name.strip() for text in value for name in text.split(",") if name.strip()]
    if parameter.required and not names:
        raise click.BadParameter("name at least one")
    return [] if names == ["none"] else names


def _names(*flags: str, default: Sequence[str], text: str) -> Decorator:
    return click.option(
        *flags,
        multiple=True,
        default=default,
        show_default=True,
        callback=_several,
        help=f"{text} Repeat it or part names by commas.",
    )


_images = click.argument("images", type=PathArgument)
_patients = click.option(
    "--patients",
    help="Whose image it is: 'kermany', a regular expression with one group searched in each "
    r"path, such as '(person\d+)_', or a column of the CSV file.",
)
_hash_patients = click.option(
    "--hash-patients",
    metavar="SECRET",
    envvar="FEATX_PATIENT_SECRET",
    show_envvar=True,
    help="Store patients as hashes keyed with SECRET. File names are stored as they are.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON to standard output.")
_seed = click.option("--seed", default=0, show_default=True, help="Decides whatever is drawn.")
_quiet = click.option(
    "--quiet", is_flag=True, help="No progress, no notes; errors and results only."
)
_strict = click.option("--strict", is_flag=True, help="Stop at an unreadable image.")


def _extraction_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that embeds images."""
    for option in reversed(
        [
            click.option(
                "--weights",
                default="imagenet",
                show_default=True,
                help="'imagenet', 'random', or a weights file.",
            ),
            click.option(
                "--weights-dir",
                type=PathArgument,
                envvar="FEATX_WEIGHTS_DIR",
                show_envvar=True,
                help="Folder to look for weights files in.",
            ),
            click.option(
                "--cache",
                type=PathArgument,
                envvar="FEATX_CACHE",
                show_envvar=True,
                help="Folder of cached features.  [default: ~/.cache/featx]",
            ),
            click.option(
                "--engine",
                type=click.Choice(["auto", "keras", "openvino"]),
                default="auto",
                show_default=True,
                help="What runs the network.",
            ),
            _strict,
            _quiet,
        ]
    ):
        command = option(command)
    return command


def _view_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say what the network sees of a training image."""
    command = click.option(
        "--views",
        default=None,
        type=int,
        help="Views of an image: itself and VIEWS - 1 augmented ones.  "
        "[default: 4, or 1 with --augmentation none]",
    )(command)
    return click.option(
        "--augmentation",
        type=click.Choice(["none", "seed", "radiograph"]),
        default="radiograph",
        show_default=True,
        help="How augmented views are drawn.",
    )(command)


def _fitting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say how classifiers are fitted."""
    command = click.option("--folds", default=5, show_default=True, help="Cross-validation folds.")(
        command
    )
    return click.option(
        "--operating-point",
        default="youden",
        show_default=True,
        help="How the threshold is chosen on training images: youden, 0.5, f1, sensitivity=0.95, "
        "specificity=0.9 or cost=FALSE_NEGATIVE:FALSE_POSITIVE.",
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(featx.__version__, prog_name="featx")
def commands() -> None:
    """Chest X-rays to frozen-CNN features, classical classifiers and an honest benchmark.

    IMAGES is a folder with one sub-folder a class (train, val and test may stand above them), or
    a CSV file with columns path, label and optionally patient, split.
    """


@commands.command()
@_images
@_names("--backbone", default=["efficientnet_lite0"], text="Frozen network; see `backbones`.")
@_view_options
@_patients
@_hash_patients
@click.option("--out", type=PathArgument, required=True, help="Matrix file to write (.h5).")
@_seed
@_extraction_options
@_json
def extract(images: Path, backbone: list[str], out: Path, **options: Any) -> None:
    """Embed the views of IMAGES with frozen networks, into one HDF5 matrix file.

    Example: featx extract chest_xray --backbone densenet121 --out features.h5
    """
    dataset = _open(images, options)
    as_json = options.pop("as_json")
    matrix = featx.extract(dataset, backbone, out=out, **_with_views(options))
    _tell_unreadable(matrix.unreadable)
    summary = {
        "out": str(out),
        "images": matrix.n_images,
        "rows": len(matrix),
        "features": matrix.X.shape[1],
        "class_names": list(matrix.class_names),
        "seconds": matrix.seconds,
        "unreadable": [{"path": path, "reason": reason} for path, reason in matrix.unreadable],
    }
    _print(summary, as_json, f"{matrix!r} written to {out}")


@commands.command()
@click.argument("matrices", type=PathArgument, nargs=-1, required=True)
@_names("--classifier", default=["svm"], text="Classifier; `all` for every one.")
@_fitting_options
@click.option("--out", type=PathArgument, required=True, help="Folder for the models.")
@_seed
@_quiet
@_json
def fit(
    matrices: tuple[Path, ...], classifier: list[str], out: Path, as_json: bool, **options: Any
) -> None:
    """Fit class-weighted classifiers on MATRICES; several of the same images are joined.

    Images of the split 'test' are left out.

    Example: featx fit features.h5 --classifier svm,logistic --out models
    """
    from featx.classifiers.persistence import save_model
    from featx.classifiers.zoo import CLASSIFIERS, get_classifier

    _set_quiet(options)
    names = list(CLASSIFIERS) if classifier == ["all"] else classifier
    for name in names:
        get_classifier(name)
    matrix = featx.FeatureMatrix.join([featx.FeatureMatrix.load(path) for path in matrices])
    summaries = []
    for name in names:
        model = featx.fit(matrix, name, **options)
        path = out / f"{name}.skops"
        save_model(model, path)
        summary = {
            "model": str(path),
            "classifier": name,
            "threshold": model.threshold_,
            "parameters": model.best_parameters_,
            "provenance": model.provenance_,
        }
        summaries.append(summary)
        if not as_json:
            click.echo(f"{name} written to {path} ({_fit_line(model)})")
    if as_json:
        _print(summaries, as_json, "")


@commands.command()
@click.argument("model", type=PathArgument)
@_images
@click.option("--out", type=PathArgument, required=True, help="CSV file to write.")
@click.option("--views", type=int, help="Views whose scores are averaged.  [default: the model's]")
@_extraction_options
@_json
def predict(model: Path, images: Path, out: Path, as_json: bool, **options: Any) -> None:
    """Classify IMAGES, which need no labels, with a fitted MODEL.

    Example: featx predict models/svm.skops new_images --out predictions.csv
    """
    from featx.benchmarking.application import apply_model, predictions_csv
    from featx.features.files import put_bytes

    _set_quiet(options)
    fitted = featx.load_model(model)
    dataset = featx.ImageDataset.open(images, labelled=False)
    result = apply_model(fitted, dataset, **options)
    put_bytes(out, predictions_csv(result))
    _tell_unreadable(result.unreadable)
    summary = {
        "out": str(out),
        "images": len(result.names),
        "labels": result.counts(),
        "unreadable": [{"path": path, "reason": reason} for path, reason in result.unreadable],
    }
    _print(summary, as_json, f"{len(result.names):,} images classified: {out}")


@commands.command()
@click.argument("model", type=PathArgument)
@_images
@_patients
@click.option("--views", type=int, help="Views whose scores are averaged.  [default: the model's]")
@_extraction_options
@_json
def evaluate(model: Path, images: Path, as_json: bool, **options: Any) -> None:
    """Score a fitted MODEL on labelled IMAGES, with 95 % intervals.

    Example: featx evaluate models/svm.skops other_hospital --json
    """
    from featx.benchmarking.application import apply_model, score, verdict_of

    fitted = featx.load_model(model)
    dataset = _open(images, options, class_names=list(fitted.classes_))
    result = apply_model(fitted, dataset, **options)
    _tell_unreadable(result.unreadable)
    scores = score(fitted, result)
    lines = [f"{name}: {interval}" for name, interval in scores.metrics.items()]
    if scores.collapsed:
        lines.append(f"COLLAPSED: it {scores.collapse_reason}")
    row = {
        **verdict_of(scores),
        "n_test": len(result.names),
        "unreadable": [{"path": path, "reason": reason} for path, reason in result.unreadable],
    }
    _print(row, as_json, "\n".join(lines))


@commands.command()
@_images
@_names("--backbones", default=["efficientnet_lite0"], text="Frozen networks; a+b joins two.")
@_names("--classifiers", default=["svm", "logistic", "xgboost"], text="Classifiers.")
@_names("--baselines", default=["none"], text="CNNs to train end to end, or 'none'.")
@_view_options
@click.option(
    "--test-views", type=int, help="Views of a test image, averaged.  [default: as --views]"
)
@click.option(
    "--test-size",
    default=0.2,
    show_default=True,
    help="Share of the patients to hold out where IMAGES has no test folder.",
)
@_fitting_options
@click.option(
    "--controls/--no-controls",
    default=True,
    show_default=True,
    help="Rows that know nothing of lungs: random weights, histogram, metadata.",
)
@click.option("--baseline-epochs", type=int, help="Epochs of every baseline.")
@click.option("--baseline-size", type=int, help="Image size of every baseline, in pixels.")
@_patients
@_hash_patients
@click.option("--out", type=PathArgument, required=True, help="Folder for tables and models.")
@_seed
@_extraction_options
@_json
def benchmark(images: Path, out: Path, as_json: bool, **options: Any) -> None:
    """Compare backbones x classifiers with trained CNNs on IMAGES: the table.

    Everything is chosen on training images, by patient; the test images are looked at once.

    Example: featx benchmark chest_xray --patients kermany --backbones densenet121,resnet50
    --baselines finetuned:resnet50 --out results
    """
    dataset = _open(images, options)
    epochs, size = options.pop("baseline_epochs"), options.pop("baseline_size")
    settings = {
        **({} if epochs is None else {"epochs": epochs}),
        **({} if size is None else {"size": (size, size)}),
    }
    table = featx.benchmark(dataset, baseline_settings=settings, out=out, **_with_views(options))
    _print_table(table, as_json, out)


@commands.command()
@click.option("--weights-dir", type=PathArgument, envvar="FEATX_WEIGHTS_DIR", show_envvar=True)
@_json
def backbones(weights_dir: Path | None, as_json: bool) -> None:
    """List the frozen networks, and whether their weights are at hand."""
    from rich.console import Console

    from featx.report.listings import backbone_rows, rows_to_terminal

    rows = backbone_rows(weights_dir)
    if as_json:
        _print(rows, as_json, "")
    else:
        Console().print(rows_to_terminal(rows))


@commands.command()
@click.option(
    "--out", type=PathArgument, default=Path("featx-demo"), show_default=True, help="Folder."
)
@_seed
@_quiet
@_json
def demo(out: Path, seed: int, as_json: bool, **options: Any) -> None:
    """Show the whole road on synthetic radiographs, in a few minutes."""
    from featx.benchmarking.demo import run_demo

    _set_quiet(options)
    table = run_demo(out, seed=seed)
    _print_table(table, as_json, out / "results")


@commands.command()
@click.option("--weights-dir", type=PathArgument, envvar="FEATX_WEIGHTS_DIR", show_envvar=True)
@click.option("--cache", type=PathArgument, envvar="FEATX_CACHE", show_envvar=True)
@_json
def doctor(weights_dir: Path | None, cache: Path | None, as_json: bool) -> None:
    """Tell versions, engines, weights at hand and the cache's health."""
    from featx.report.doctor import examine

    findings = examine(weights_dir, cache)
    lines = [f"{topic}: {finding}" for topic, finding in findings.items()]
    _print(findings, as_json, "\n".join(lines))


@commands.group()
def cache() -> None:
    """Look after the cache of features."""


_cache_folder = click.option(
    "--cache",
    "folder",
    type=PathArgument,
    envvar="FEATX_CACHE",
    show_envvar=True,
    help="Folder of cached features.  [default: ~/.cache/featx]",
)


def _cache_or_default(folder: Path | None) -> Path:
    from featx.features.extraction import default_cache

    return default_cache() if folder is None else folder


@cache.command("ls")
@_cache_folder
@_json
def cache_ls(folder: Path | None, as_json: bool) -> None:
    """List the recipes: backbone, weights, parts, bytes, days idle."""
    from featx.features.upkeep import list_recipes

    rows = list_recipes(_cache_or_default(folder))
    lines = [
        f"{row['folder']}: {row['parts']:,} parts, {row['bytes']:,} bytes, "
        f"{row['damaged']} damaged, idle for {row['idle_days']} days"
        for row in rows
    ]
    _print(rows, as_json, "\n".join(lines) or "The cache is empty.")


@cache.command("verify")
@_cache_folder
@_json
def cache_verify(folder: Path | None, as_json: bool) -> None:
    """Read every part, check it, set damaged ones aside; exit code 1 if there was one."""
    from featx.features.upkeep import verify

    findings = verify(_cache_or_default(folder))
    lines = [
        f"{row['folder']}: {row['sound_parts']:,} sound parts, {row['rows']:,} rows, "
        f"{len(row['set_aside'])} set aside"
        for row in findings
    ]
    _print(findings, as_json, "\n".join(lines) or "The cache is empty.")
    if any(row["set_aside"] for row in findings):
        raise FeatxError("damaged parts were set aside; the next extraction computes them again")


@cache.command("compact")
@_cache_folder
@_json
def cache_compact(folder: Path | None, as_json: bool) -> None:
    """Merge small parts into larger ones; safe beside a running extraction."""
    from featx.features.upkeep import compact

    results = compact(_cache_or_default(folder))
    lines = [f"{row['folder']}: {row['parts_before']} to {row['parts_after']}" for row in results]
    _print(results, as_json, "\n".join(lines) or "The cache is empty.")


@cache.command("prune")
@_cache_folder
@click.option("--idle-days", type=float, help="Delete recipes that got no rows for so long.")
@click.option("--recipe", "recipes", multiple=True, help="Delete this recipe, named as `ls` does.")
@_json
def cache_prune(
    folder: Path | None, idle_days: float | None, recipes: tuple[str, ...], as_json: bool
) -> None:
    """Delete damaged parts set aside, files left by kills, and recipes that are named or idle."""
    from featx.features.upkeep import prune

    result = prune(_cache_or_default(folder), idle_days=idle_days, folders=recipes)
    _print(result, as_json, f"{result['files']:,} files, {result['bytes']:,} bytes deleted")


def _open(
    images: Path, options: dict[str, Any], class_names: list[str] | None = None
) -> featx.ImageDataset:
    _set_quiet(options)
    dataset = featx.ImageDataset.open(images, options.pop("patients"), class_names=class_names)
    secret = options.pop("hash_patients", None)
    return dataset if secret is None else dataset.with_hashed_patients(secret)


def _set_quiet(options: dict[str, Any]) -> None:
    from featx.progress import set_quiet

    set_quiet(options.pop("quiet"))


def _with_views(options: dict[str, Any]) -> dict[str, Any]:
    views = options["views"]
    if views is None:
        views = 1 if options["augmentation"] == "none" else 4
    return {**options, "views": views}


def _tell_unreadable(unreadable: Sequence[tuple[str, str]]) -> None:
    for path, reason in unreadable[:10]:
        click.echo(f"left out: {path}: {reason}", err=True)
    if len(unreadable) > 10:
        click.echo(f"left out: {len(unreadable) - 10:,} more", err=True)


def _fit_line(model: Any) -> str:
    chosen = ", ".join(f"{name} {value}" for name, value in model.best_parameters_.items())
    return chosen or "nothing to choose"


def _print_table(table: Any, as_json: bool, out: Path) -> None:
    if as_json:
        _print(table.rows, as_json, "")
        return
    from rich.console import Console

    from featx.report.tables import to_terminal

    Console().print(to_terminal(table.rows))
    for note in table.notes:
        click.echo(note)
    click.echo(f"Tables, scores and models are in {out}")


def _print(value: Any, as_json: bool, text: str) -> None:
    if not as_json:
        click.echo(text)
        return
    from featx.benchmarking.ledger import plain_json

    click.echo(plain_json(json.loads(json.dumps(value, default=_plain))))


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


if __name__ == "__main__":
    main()
