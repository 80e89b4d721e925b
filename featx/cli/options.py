"""Options that commands share, and the checks that need no library.

An option has the name of the argument or config field that it sets. Only options that the user
gave are passed on (`given_settings`); the others keep the default of the config.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import featx
from featx.images.remote import is_url

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

logger = logging.getLogger(__name__)


class Option(click.Option):
    """Option with accepted spellings that its help leaves out: all but the first."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Write the first spelling and the text."""
        shown = copy.copy(self)
        shown.opts = self.opts[:1]
        return super(Option, shown).get_help_record(ctx)


class OutputPath(click.ParamType):
    """Path to write, refused before any work where it cannot be written."""

    name = "path"

    def __init__(self, kind: str, example: str) -> None:
        self.kind, self.example = kind, example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Check that the path has a name, and is not something else already."""
        text, path = str(value), Path(value)
        if not text.strip() or not path.resolve().name:
            self.fail(f"{text!r} names no {self.kind}; give one such as {self.example}", param, ctx)
        if self.kind == "file" and path.exists() and not path.is_file():
            problem = f"{text!r} exists and is not a file"
            self.fail(f"{problem}; give a file such as {self.example}", param, ctx)
        if self.kind == "folder" and path.exists() and not path.is_dir():
            self.fail(f"{text!r} is a file; give a folder such as {self.example}", param, ctx)
        return path


def path_or_url(text: str) -> str | Path:
    """Take a path, or a URL, which stays as it was typed."""
    return text if is_url(text) else Path(text)


def _names(_: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> list[str]:
    names = [name.strip() for text in value for name in text.split(",") if name.strip()]
    if parameter.required and not names:
        raise click.BadParameter("name at least one")
    return [] if names == ["none"] else names


def names_option(name: str, default: Sequence[str], text: str) -> Decorator:
    """Make an option of several names; its singular is accepted, too."""
    return click.option(
        f"--{name}",
        f"--{name.removesuffix('s')}",
        name,
        cls=Option,
        multiple=True,
        default=default,
        show_default=True,
        callback=_names,
        help=f"{text} Separate names by commas, or repeat the option.",
    )


def _amounts(
    _: click.Context, __: click.Parameter, value: tuple[str, ...]
) -> dict[str, float] | None:
    amounts: dict[str, float] = {}
    for text in value:
        name, _separator, amount = text.partition("=")
        try:
            amounts[name] = float(amount)
        except ValueError:
            raise click.BadParameter(f"{text!r} is not NAME=AMOUNT, such as GPU=1") from None
    return amounts or None


def _sets(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> dict[str, Path]:
    sets: dict[str, Path] = {}
    for text in value:
        name, separator, folder = text.partition("=")
        if not (name and separator and folder):
            raise click.BadParameter(f"{text!r} is not NAME=FOLDER")
        if name in sets:
            raise click.BadParameter(f"{name!r} is given twice; name each set once")
        sets[name] = Path(folder)
    return sets


def _part(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise click.BadParameter(f"{text!r} is not K/N; write 2/8 for the second of eight parts")
    return int(number), int(count)


def _set_verbose(_: click.Context, __: click.Parameter, value: bool) -> None:
    if value:
        from featx.cli.output import log_versions

        logging.getLogger("featx").setLevel(logging.DEBUG)
        log_versions()


def _set_quiet(_: click.Context, __: click.Parameter, value: bool) -> None:
    if value:
        logging.getLogger("featx").setLevel(logging.WARNING)


def _set_jobs(_: click.Context, __: click.Parameter, value: int | None) -> None:
    from featx.runtime.parallel import set_jobs

    set_jobs(value)


def together(*options: Decorator) -> Decorator:
    """Combine options into one decorator that keeps their order in the help."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _choice(name: str, choices: Sequence[str], text: str) -> Decorator:
    kind = click.Choice(choices)
    return click.option(f"--{name}", type=kind, default=choices[0], show_default=True, help=text)


input_path = click.Path(path_type=Path)
images_argument = click.argument("images", type=path_or_url)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON to standard output.")
seed_option = click.option(
    "--seed",
    "random_state",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Random seed.",
)
jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1),
    expose_value=False,
    callback=_set_jobs,
    envvar="FEATX_JOBS",
    show_envvar=True,
    help="Number of fits, and of images read, at once; changes no result.  [default: cores]",
)
message_options = together(
    click.option(
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_set_quiet,
        help="Only warnings, errors and results.",
    ),
    click.option(
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_set_verbose,
        help="Also versions, engine, weights, state of the cache, and tracebacks of errors.",
    ),
)
running_options = together(jobs_option, message_options, json_option)

weights_option = click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    help="'imagenet', 'random', or a weights file.",
)
weights_dir_option = click.option(
    "--weights-dir",
    type=input_path,
    envvar="FEATX_WEIGHTS_DIR",
    show_envvar=True,
    help="Folder of weights files.",
)
cache_option = click.option(
    "--cache",
    type=input_path,
    envvar="FEATX_CACHE",
    show_envvar=True,
    help="Folder of cached features.  [default: ~/.cache/featx]",
)
engine_option = _choice("engine", ["auto", "keras", "openvino"], "Library that runs the network.")

computing_options = together(
    weights_option,
    weights_dir_option,
    cache_option,
    engine_option,
    click.option(
        "--rehash",
        is_flag=True,
        help="Read every image file again, also those that look unchanged.",
    ),
    click.option("--strict", is_flag=True, help="Stop at an unreadable image."),
)
feature_options = together(
    click.option(
        "--augmentation",
        type=click.Choice(["none", "ramirez", "radiograph"]),
        default="radiograph",
        show_default=True,
        help="Policy of augmented views.",
    ),
    click.option(
        "--views",
        type=click.IntRange(1),
        help="Views per image: itself and VIEWS - 1 augmented ones.  "
        "[default: 4, or 1 with --augmentation none]",
    ),
    _choice(
        "precision",
        ["float32", "float16", "bfloat16", "int8"],
        "Numeric type of the networks: int8 is faster on CPUs, float16 and bfloat16 on GPUs; "
        "features of different types are not comparable.",
    ),
    _choice(
        "normalization",
        ["none", "percentile", "equalize", "clahe"],
        "Normalization of each image's intensities.",
    ),
    _choice(
        "pooling",
        ["average", "max", "gem", "quadrants"],
        "Pooling of feature maps into one vector.",
    ),
)
fitting_options = together(
    click.option(
        "--operating-point",
        default="youden",
        show_default=True,
        help="How the threshold is chosen on training images: youden, 0.5, f1, sensitivity=0.95, "
        "specificity=0.9 or cost=FALSE_NEGATIVE:FALSE_POSITIVE.",
    ),
    _choice(
        "calibration",
        ["sigmoid", "isotonic", "none"],
        "Calibration of probabilities on out-of-fold scores.",
    ),
    click.option(
        "--cv",
        "--folds",
        "cv",
        cls=Option,
        type=click.IntRange(2),
        default=5,
        show_default=True,
        help="Cross-validation folds, grouped by patient.",
    ),
    click.option(
        "--memory",
        metavar="SIZE",
        help="Memory that a fit may use, such as 8GiB; a larger matrix is read block by block.  "
        "[default: what is free]",
    ),
)
inference_options = together(
    click.option(
        "--views",
        type=click.IntRange(1),
        help="Views whose scores are averaged.  [default: as in training]",
    ),
    click.option(
        "--adapt",
        is_flag=True,
        help="Move the threshold to where the scores of IMAGES fall into two groups.",
    ),
    computing_options,
)
naming_options = together(
    click.option(
        "--patients",
        metavar="RULE",
        help="Patient of an image: 'kermany', 'dicom' (PatientID, kept as a keyed hash only), a "
        r"regular expression with one group searched in each path, such as '(person\d+)_', or a "
        "column of the table.",
    ),
    click.option(
        "--labels",
        metavar="RULE",
        help="Label of an image by its path instead of its folder: 'kermany-subtype' (normal, "
        "bacteria, virus) or a regular expression with one group.",
    ),
)
hash_patients_option = click.option(
    "--hash-patients",
    metavar="SECRET",
    envvar="FEATX_PATIENT_SECRET",
    show_envvar=True,
    help="Store patients as hashes keyed with SECRET. File names are stored as they are.",
)
externals_option = click.option(
    "--external",
    "externals",
    metavar="NAME=FOLDER",
    multiple=True,
    callback=_sets,
    help="External validation set of the same classes; repeat it for more.",
)
part_option = click.option(
    "--part",
    metavar="K/N",
    callback=_part,
    help="Compute only every N-th image from the K-th into the cache, as one of N processes "
    "(Slurm arrays, GNU parallel). The same command without --part then writes the matrix.",
)
cluster_options = together(
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask cluster that does the work, such as tls://HOST:8786; its workers must see "
        "IMAGES and the cache. Needs featx[dask].",
    ),
    click.option(
        "--allow-open-scheduler",
        is_flag=True,
        help="Accept a scheduler without TLS on another machine; anyone who reaches it can run "
        "code.",
    ),
)
resources_option = click.option(
    "--resources",
    metavar="NAME=AMOUNT",
    multiple=True,
    callback=_amounts,
    help="Resources of a worker that each batch needs: GPU=1 uses workers with a GPU only.",
)


def given_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Keep the options that the user gave, on the command line or by a variable."""
    context = click.get_current_context()
    return {
        name: value
        for name, value in options.items()
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }


def with_views(settings: dict[str, Any]) -> dict[str, Any]:
    """Ask for one view where a policy draws no others."""
    return {"views": 1, **settings} if settings.get("augmentation") == "none" else settings


def open_images(
    images: str | Path,
    patients: str | None = None,
    labels: str | None = None,
    hash_patients: str | None = None,
    **rules: Any,
) -> featx.ImageDataset:
    """Open images, and log classes, patients and splits."""
    dataset = featx.ImageDataset.open(
        images, patients, labels=labels, hash_patients=hash_patients, **rules
    )
    logger.info(dataset.summary())
    return dataset
