"""Options that commands share, and the checks that need no library.

An option has the name of the argument or config field that it sets. Only options that the user
gave are passed on (`given_settings`); the others keep the default of the config, which the help
repeats (tests/cli/test_environment.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import click
from click.core import ParameterSource

from featx.cli import callbacks, parameters
from featx.cli.parameters import Choice, InputPath, OutputPath, option
from featx.errors import UsageError

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]


def together(*options: Decorator) -> Decorator:
    """Combine options into one decorator that keeps their order in the help."""

    def decorate(command: Command) -> Command:
        for each in reversed(options):
            command = each(command)
        return command

    return decorate


def flag(name: str, text: str, callback: Callable[..., None] | None = None) -> Decorator:
    """Make an option without a value; a callback takes it from the command, before others."""
    own = callback is None
    name = f"--{name}"
    return option(
        name, is_flag=True, help=text, callback=callback, expose_value=own, is_eager=not own
    )


def number(name: str, text: str, default: int | None = None, least: int = 1) -> Decorator:
    """Make an option that is an integer of at least `least`."""
    return option(f"--{name}", type=click.IntRange(least), default=default, help=text)


def proportion(name: str, text: str, default: float | None = None) -> Decorator:
    """Make an option that is a number between 0 and 1."""
    kind = parameters.FloatRange(0, 1, min_open=True, max_open=True)
    return option(f"--{name}", type=kind, default=default, help=text)


def choice(name: str, choices: Sequence[str], text: str) -> Decorator:
    """Make an option with fixed choices, the first of which is the default."""
    return option(f"--{name}", type=Choice(choices), default=choices[0], help=text)


def output_option(kind: Literal["file", "folder"], example: str, **more: Any) -> Decorator:
    """Make the option of the file or folder to write, required unless `more` says otherwise."""
    settings = {"required": True, "help": f"{kind.capitalize()} to write.", **more}
    return option("--out", type=OutputPath(kind, example), **settings)


overwrite_option = flag("overwrite", "Replace what another run with other inputs wrote to --out.")


def names_option(name: str, default: Sequence[str], kind: click.ParamType, text: str) -> Decorator:
    """Make an option of several names; its singular is accepted, too."""

    def split(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> list[str]:
        names = [name.strip() for text in value for name in text.split(",") if name.strip()]
        if value and not names:
            raise click.BadParameter("name at least one")
        checked = [kind.convert(name, parameter, ctx) for name in names]
        return [] if checked == ["none"] else checked

    text = f"{text} Separate names by commas, or repeat the option."
    spellings = (f"--{name}", f"--{name.removesuffix('s')}", name)
    return option(*spellings, multiple=True, default=default, callback=split, help=text)


def pairs_option(
    name: str, metavar: str, convert: Callable[[str], Any], text: str, *variable: str
) -> Decorator:
    """Make an option of NAME=VALUE that can be repeated; further spellings follow its name."""

    def parse(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> dict[str, Any]:
        pairs: dict[str, str] = {}
        for given in value:
            name, _separator, right = given.partition("=")
            if name in pairs:
                raise click.BadParameter(f"{name!r} is given twice; name each once")
            if not (name and right):
                raise click.BadParameter(f"{given!r} is not {metavar}")
            pairs[name] = right
        try:
            return {name: convert(right) for name, right in pairs.items()}
        except UsageError as error:
            raise click.BadParameter(str(error)) from error
        except ValueError:
            raise click.BadParameter(f"{', '.join(value)!r} is not {metavar}") from None

    names = [f"--{each}" for each in name.split()]
    return option(*names, *variable, metavar=metavar, multiple=True, callback=parse, help=text)


input_folder = click.Path(path_type=Path, exists=True, file_okay=False)
input_file = click.Path(path_type=Path, exists=True, dir_okay=False)
images_argument = click.argument("images", type=InputPath("images"))

json_option = flag("json", "Print JSON to standard output.", callbacks.set_json)
seed_option = option(
    "--seed", "random_state", type=click.IntRange(0, 2**32 - 1), default=0, help="Random seed."
)
message_options = together(
    flag("quiet", "Only warnings, errors and results.", callbacks.set_quiet),
    flag(
        "verbose", "Also versions, engine, weights, cache, and tracebacks.", callbacks.set_verbose
    ),
)
jobs_option = option(
    "--jobs",
    type=click.IntRange(1),
    expose_value=False,
    callback=callbacks.set_jobs,
    envvar="FEATX_JOBS",
    help="Number of fits, and of images read, at once; changes no result.  [default: cores]",
)
running_options = together(jobs_option, message_options, json_option)

weights_option = option(
    "--weights",
    type=parameters.WEIGHTS,
    default="imagenet",
    help="'imagenet', 'random', or a weights file.",
)
weights_dir_option = option(
    "--weights-dir", type=input_folder, envvar="FEATX_WEIGHTS_DIR", help="Folder of weights files."
)
cache_option = option(
    "--cache",
    # A read-only cache serves what it has.
    type=OutputPath("folder", writable=False),
    envvar="FEATX_CACHE",
    help="Folder of cached features.  [default: ~/.cache/featx]",
)
engine_option = choice(
    "engine",
    ["auto", "keras", "openvino", "onnxruntime", "torch"],
    "Library that runs the network.",
)
trust_option = flag(
    "trust-remote-code", "Run Python code of networks hf:...; read it before.", callbacks.set_trust
)
rehash_option = flag("rehash", "Read every image file again, also those that look unchanged.")
network_options = together(weights_option, weights_dir_option, trust_option, cache_option)
computing_options = together(
    network_options,
    engine_option,
    rehash_option,
    flag("strict", "Stop at an unreadable image."),
)
input_options = together(
    choice(
        "normalization",
        ["none", "percentile", "equalize", "clahe"],
        "Intensity normalization.",
    ),
    choice(
        "color",
        ["gray", "rgb"],
        "Colors in which images are read; rgb for networks with colored images alone.",
    ),
    choice(
        "pooling",
        ["average", "max", "gem", "quadrants", "multi_depth", "class", "tokens"],
        "Pooling of the last feature maps; multi_depth: mean and standard deviation of those at "
        "the end of several stages. Of networks with tokens: class token, or mean of the others.",
    ),
)
feature_options = together(
    choice("augmentation", ["radiograph", "ramirez", "none"], "Policy of augmented views."),
    number(
        "views",
        "Views per image: itself and VIEWS - 1 augmented ones.  "
        "[default: 4, or 1 with --augmentation none]",
    ),
    choice(
        "precision",
        ["float32", "float16", "bfloat16"],
        "Numeric type of the networks; float16 and bfloat16 are for GPUs. For int8 on CPUs see "
        "`featx quantize`.",
    ),
    input_options,
)
operating_point_option = option(
    "--operating-point",
    type=parameters.OPERATING_POINT,
    default="youden",
    help="How the threshold is chosen, without test images: youden, 0.5, f1, sensitivity=0.95, "
    "specificity=0.9 or cost=FALSE_NEGATIVE:FALSE_POSITIVE.",
)
fitting_options = together(
    operating_point_option,
    choice("calibration", ["sigmoid", "isotonic", "none"], "Calibration of the probabilities."),
    option(
        *("--cv", "--folds", "cv"),
        type=click.IntRange(2),
        default=5,
        help="Cross-validation folds, grouped by patient.",
    ),
    option(
        "--memory",
        type=parameters.MEMORY,
        metavar="SIZE",
        help="Memory that a fit may use, such as 8GiB; a larger matrix is read block by block.  "
        "[default: what is free]",
    ),
)
views_option = number("views", "Views whose scores are averaged.  [default: as in training]")
inference_options = together(
    views_option,
    flag("adapt", "Move the threshold to where the scores of IMAGES fall into two groups."),
    computing_options,
)
unit_option = option(
    "--unit",
    metavar="UNIT",
    help="Decide by 'patient', or by a column of the table IMAGES such as a study, from all images "
    "of each: one row of the output a UNIT. MODEL is one that `featx benchmark --unit` saved.",
)
columns_option = option(
    "--columns",
    type=parameters.COLUMNS,
    metavar="PAIRS",
    help="Columns of a table, where they have other names, such as "
    "path=Filename,label=Finding,patient=PatientID,split=Set.",
)
skip_option = flag("skip-problems", "Leave out a table's rows with problems, and count them.")
root_option = option(
    "--root",
    type=input_folder,
    help="Folder of a table's images; a file that is not there is searched by its name in all "
    "folders below.  [default: the table's folder]",
)
table_options = together(
    columns_option,
    root_option,
    skip_option,
)
patients_option = option(
    "--patients",
    metavar="RULE",
    help="Patient of an image: 'kermany', 'dicom' (PatientID, kept as a keyed hash only), a "
    r"regular expression with one group searched in each path, such as '(person\d+)_', or a "
    "column of the table.",
)
finding_options = together(
    option(
        "--positive",
        metavar="FINDING",
        help="Finding that makes an image positive, where a table lists several per image or has "
        "a column for each.",
    ),
    option(
        "--uncertain",
        type=Choice(["positive", "negative", "skip"]),
        help="Meaning of the label -1 of CheXpert and MIMIC-CXR.",
    ),
)
rename_option = option(
    "--rename-labels",
    type=parameters.RENAMED,
    metavar="PAIRS",
    help="New names of labels, such as No_finding:NORMAL,Other: (the images of the last are "
    "left out).",
)
naming_options = together(
    table_options,
    patients_option,
    option(
        "--labels",
        metavar="RULE",
        help="Label of an image by its path instead of its folder: 'kermany-subtype' (normal, "
        "bacteria, virus) or a regular expression with one group.",
    ),
    finding_options,
    rename_option,
)
later_labels = together(
    option(
        "--table",
        type=input_file,
        help="Table of labels, patients and splits that MATRICES have not, matched by a column "
        "path or sha256.",
    ),
    columns_option,
    skip_option,
    patients_option,
    finding_options,
)
hash_patients_option = option(
    "--hash-patients",
    type=parameters.SECRET,
    metavar="SECRET",
    envvar="FEATX_PATIENT_SECRET",
    help="Store patients as hashes keyed with SECRET. File names are stored as they are.",
)
externals_option = pairs_option(
    "external",
    "NAME=PATH",
    str,
    "External validation set of the same classes; repeat it for more. One that cannot be used is "
    "left out with a warning, unless all are.",
    "externals",
)
external_root_option = pairs_option(
    "external-root", "NAME=FOLDER", Path, "--root of an external set that is a table."
)
external_rules = together(
    pairs_option(
        "external-patients",
        "NAME=RULE",
        str,
        "Rule for patients of an external set, where --patients does not fit its names; 'none' "
        "where they are unknown.",
    ),
    pairs_option(
        "external-labels external-classes",
        "NAME=THEIR:OURS,...",
        str,
        "Labels of an external set under the names of IMAGES; THEIR: alone leaves its images out.",
    ),
    pairs_option(
        "external-columns", "NAME=PAIRS", str, "--columns of an external set that is a table."
    ),
    external_root_option,
)
subgroups_option = names_option(
    "subgroups",
    ["none"],
    click.STRING,
    "Columns of the table IMAGES, such as sex,age:5,18,65, by which all figures are divided; "
    "numbers without cut points go into bands of ages, or at quartiles; or 'none'.",
)
part_option = option(
    "--part",
    type=parameters.PART,
    metavar="K/N",
    help="Compute only every N-th image from the K-th into the cache, as one of N processes "
    "(Slurm arrays, GNU parallel). The same command without --part then writes the matrix.",
)
cluster_options = together(
    option(
        "--scheduler",
        type=parameters.SCHEDULER,
        metavar="ADDRESS",
        help="Dask cluster that does the work, such as tls://HOST:8786; its workers must see "
        "IMAGES and the cache. Needs featx[dask].",
    ),
    flag(
        "allow-open-scheduler",
        "Accept a scheduler without TLS on another machine; anyone who reaches it can run code.",
    ),
)
resources_option = pairs_option(
    "resources",
    "NAME=AMOUNT",
    float,
    "Resources of a worker that each batch needs: GPU=1 uses workers with a GPU only.",
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


def naming_rules(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options by which images are opened out of the others."""
    from featx.datasets.rules import OpeningRules

    names = OpeningRules.__dataclass_fields__
    return {name: options.pop(name) for name in names if name in options}
