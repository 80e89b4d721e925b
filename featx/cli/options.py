"""Options that several commands share, and what they mean."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

import featx
from featx.images.remote import is_url

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

PathArgument = click.Path(path_type=Path)

quantization_option = click.option(
    "--quantization",
    metavar="MATRIX",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="int8 matrix of the training images, whose quantized networks to use.  "
    "[default: quantize on the IMAGES outside test splits]",
)


def path_or_url(text: str) -> str | Path:
    """Take a path, or a URL, which stays as it was typed."""
    return text if is_url(text) else Path(text)


def several(_: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> list[str]:
    """Take names given by repeating an option, or parted by commas, or both."""
    names = [name.strip() for text in value for name in text.split(",") if name.strip()]
    if parameter.required and not names:
        raise click.BadParameter("name at least one")
    return [] if names == ["none"] else names


def names_option(*flags: str, default: Sequence[str], text: str) -> Decorator:
    """Make an option that takes several names."""
    return click.option(
        *flags,
        multiple=True,
        default=default,
        show_default=True,
        callback=several,
        help=f"{text} Repeat it or part names by commas.",
    )


def _amounts(
    _: click.Context, __: click.Parameter, value: tuple[str, ...]
) -> dict[str, float] | None:
    """Take NAME=AMOUNT, given any number of times."""
    amounts: dict[str, float] = {}
    for text in value:
        name, _separator, amount = text.partition("=")
        try:
            amounts[name] = float(amount)
        except ValueError:
            raise click.BadParameter(f"{text!r} is not NAME=AMOUNT, such as GPU=1") from None
    return amounts or None


images_argument = click.argument("images", type=path_or_url)
patients_option = click.option(
    "--patients",
    help="Whose image it is: 'kermany', 'dicom' (PatientID of the headers, kept as a keyed hash "
    "only), a regular expression with one group searched in each path, such as "
    r"'(person\d+)_', or a column of the table.",
)
labels_option = click.option(
    "--labels",
    metavar="RULE",
    help="What an image shows, by its path in place of its folder: 'kermany-subtype' (normal, "
    "bacteria, virus) or a regular expression with one group.",
)
hash_patients_option = click.option(
    "--hash-patients",
    metavar="SECRET",
    envvar="FEATX_PATIENT_SECRET",
    show_envvar=True,
    help="Store patients as hashes keyed with SECRET. File names are stored as they are.",
)
scheduler_option = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Dask cluster that does the work, such as tls://HOST:8786; its workers must see IMAGES "
    "and the cache. Needs featx[dask].",
)
allow_open_option = click.option(
    "--allow-open-scheduler",
    is_flag=True,
    help="Accept a scheduler without TLS on another machine; anyone who reaches it can run code.",
)


def _part(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise click.BadParameter(f"{text!r} is not K/N; write 2/8 for the second of eight parts")
    return int(number), int(count)


part_option = click.option(
    "--part",
    metavar="K/N",
    callback=_part,
    help="Compute only every N-th image from the K-th into the cache, as one of N processes "
    "(Slurm arrays, GNU parallel). The same command without --part then writes the matrix.",
)
resources_option = click.option(
    "--resources",
    metavar="NAME=AMOUNT",
    multiple=True,
    callback=_amounts,
    help="What each batch takes of a worker of the cluster: GPU=1 goes to those with a GPU only.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON to standard output.")
seed_option = click.option(
    "--seed", "random_state", default=0, show_default=True, help="Decides whatever is drawn."
)


def _set_verbose(_: click.Context, __: click.Parameter, value: bool) -> None:
    if value:
        from featx.cli.output import log_versions

        logging.getLogger("featx").setLevel(logging.DEBUG)
        log_versions()


def _set_quiet(_: click.Context, __: click.Parameter, value: bool) -> None:
    if value:
        logging.getLogger("featx").setLevel(logging.WARNING)


def _heed_jobs(_: click.Context, __: click.Parameter, value: int | None) -> None:
    from featx.runtime.parallel import set_jobs

    set_jobs(value)


def quiet_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that talks while it works."""
    command = click.option(
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_set_verbose,
        help="Also say versions, engine, weights, what the cache holds; where errors come from.",
    )(command)
    return click.option(
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_set_quiet,
        help="Only warnings, errors and results.",
    )(command)


jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1),
    expose_value=False,
    callback=_heed_jobs,
    envvar="FEATX_JOBS",
    show_envvar=True,
    help="Fits, and images read, at a time. Changes no result.  [default: one a core]",
)
adapt_option = click.option(
    "--adapt",
    is_flag=True,
    help="Put the threshold where the scores of IMAGES fall into two groups; sees all at once.",
)
weights_dir_option = click.option(
    "--weights-dir",
    type=PathArgument,
    envvar="FEATX_WEIGHTS_DIR",
    show_envvar=True,
    help="Folder to look for weights files in.",
)
cache_option = click.option(
    "--cache",
    type=PathArgument,
    envvar="FEATX_CACHE",
    show_envvar=True,
    help="Folder of cached features.  [default: ~/.cache/featx]",
)
strict_option = click.option("--strict", is_flag=True, help="Stop at an unreadable image.")


def extraction_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that embeds images."""
    options: list[Decorator] = [
        click.option(
            "--weights",
            default="imagenet",
            show_default=True,
            help="'imagenet', 'random', or a weights file.",
        ),
        weights_dir_option,
        cache_option,
        click.option(
            "--engine",
            type=click.Choice(["auto", "keras", "openvino"]),
            default="auto",
            show_default=True,
            help="What runs the network.",
        ),
        click.option(
            "--rehash",
            is_flag=True,
            help="Read every image file anew, also those that look unchanged.",
        ),
        strict_option,
        jobs_option,
        quiet_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def view_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say what the network sees of a training image."""
    for option in (
        click.option(
            "--pooling",
            type=click.Choice(["average", "max", "gem", "quadrants"]),
            default="average",
            show_default=True,
            help="How feature maps become one vector.",
        ),
        click.option(
            "--normalization",
            type=click.Choice(["none", "percentile", "equalize", "clahe"]),
            default="none",
            show_default=True,
            help="What is done to each image's intensities.",
        ),
        click.option(
            "--precision",
            type=click.Choice(["float32", "float16", "bfloat16", "int8"]),
            default="float32",
            show_default=True,
            help="What networks compute with: int8 is quicker on CPUs, float16 and bfloat16 on "
            "GPUs; features of each are for themselves.",
        ),
    ):
        command = option(command)
    command = click.option(
        "--views",
        default=None,
        type=int,
        help="Views of an image: itself and VIEWS - 1 augmented ones.  "
        "[default: 4, or 1 with --augmentation none]",
    )(command)
    return click.option(
        "--augmentation",
        type=click.Choice(["none", "ramirez", "radiograph"]),
        default="radiograph",
        show_default=True,
        help="How augmented views are drawn.",
    )(command)


def fitting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say how classifiers are fitted."""
    command = click.option("--folds", default=5, show_default=True, help="Cross-validation folds.")(
        command
    )
    command = click.option(
        "--calibration",
        type=click.Choice(["sigmoid", "isotonic", "none"]),
        default="sigmoid",
        show_default=True,
        help="How scores become probabilities, on out-of-fold scores.",
    )(command)
    return click.option(
        "--operating-point",
        default="youden",
        show_default=True,
        help="How the threshold is chosen on training images: youden, 0.5, f1, sensitivity=0.95, "
        "specificity=0.9 or cost=FALSE_NEGATIVE:FALSE_POSITIVE.",
    )(command)


def sets_by_name(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> dict[str, Path]:
    """Take NAME=FOLDER, given any number of times."""
    sets: dict[str, Path] = {}
    for text in value:
        name, separator, folder = text.partition("=")
        if not (name and separator and folder):
            raise click.BadParameter(f"{text!r} is not NAME=FOLDER")
        if name in sets:
            raise click.BadParameter(f"{name!r} is given twice; name each set once")
        sets[name] = Path(folder)
    return sets


def open_images(
    images: str | Path, options: dict[str, Any], class_names: list[str] | None = None
) -> featx.ImageDataset:
    """Open what the user named, taking from `options` what only this needs."""
    patients, secret = options.pop("patients"), options.pop("hash_patients", None)
    return featx.ImageDataset.open(
        images,
        patients,
        labels=options.pop("labels", None),
        class_names=class_names,
        hash_patients=secret,
    )


def benchmark_settings(context: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Return settings of a benchmark: those of --config or --preset, replaced by given options."""
    from featx.benchmarking.config import read_config
    from featx.benchmarking.presets import get_preset

    sources = {name: context.get_parameter_source(name) for name in options}
    given = {n: v for n, v in options.items() if sources[n] != click.core.ParameterSource.DEFAULT}
    preset, file = given.pop("preset", None), given.pop("config", None)
    settings = {} if preset is None else get_preset(preset).settings(options["weights_dir"])
    if file is not None:
        settings |= read_config(file)
    epochs, size = given.pop("baseline_epochs", None), given.pop("baseline_size", None)
    training = dict(settings.get("baseline_settings", {}))
    training |= {} if epochs is None else {"epochs": epochs}
    training |= {} if size is None else {"size": (size, size)}
    settings |= {**given, "baseline_settings": training}
    # The policy 'none' draws no views to default to.
    if settings.get("augmentation") == "none":
        settings.setdefault("views", 1)
    return settings


def with_views(options: dict[str, Any]) -> dict[str, Any]:
    """Fill in the number of views that suits the policy."""
    views = options["views"]
    if views is None:
        views = 1 if options["augmentation"] == "none" else 4
    return {**options, "views": views}
