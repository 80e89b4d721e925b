"""Files of tuned backbones: weights as Keras saves them, and a record of their training images.

A file is named by its backbone and its digest, which recipes of features hold in full.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from featx.errors import FeatxError, UsageError
from featx.runtime.files import file_digest, known_digest, put_bytes

# Prefix of the names of tuned backbones.
TUNED = "tuned:"

_SUFFIX = ".weights.h5"

# Keras ignores it when it loads the weights.
_GROUP = "featx_tuning"


@dataclass(frozen=True, eq=False)
class TunedFile:
    """Record of a file: backbone, image size, and hashes of the images and patients that tuned it.

    The hashes are those of `featx.audit.membership`.
    """

    backbone: str
    size: int
    members: Mapping[str, Any]
    facts: Mapping[str, Any]


def is_file_name(name: str) -> bool:
    """Return whether a backbone's name is that of a file of tuned weights.

    Examples
    --------
    >>> is_file_name("tuned:vgg16@160"), is_file_name("tuned:vgg16-0a1b.weights.h5@160")
    (False, True)
    """
    return name.startswith(TUNED) and _SUFFIX in name


def write_tuned(base: Any, folder: Path, tuned: TunedFile) -> Path:
    """Write the weights of a network and their record; return the path of the file."""
    with tempfile.TemporaryDirectory(prefix="featx-") as scratch:
        saved, path = (Path(scratch, f"{name}{_SUFFIX}") for name in ("keras", "tuned"))
        base.save_weights(saved)
        with h5py.File(saved, "r") as weights, h5py.File(path, "w") as file:
            # Without attributes, in which Keras counts the layers that a process has made.
            weights.visititems(lambda name, item: _copy(file, name, item))
            for name, value in vars(tuned).items():
                content = value if name == "members" else {name: json.dumps(value, sort_keys=True)}
                for each, data in content.items():
                    file.create_dataset(f"{_GROUP}/{each}", data=data)
        target = folder / _file_name(tuned.backbone, file_digest(path))
        put_bytes(target, path.read_bytes())
    return target


def _copy(file: h5py.File, name: str, item: h5py.Group | h5py.Dataset) -> None:
    if isinstance(item, h5py.Dataset):
        file.create_dataset(name, data=item[()])


def read_tuned(path: Path) -> TunedFile:
    """Read the record of a file of tuned weights."""
    try:
        with h5py.File(path, "r") as file:
            values = {name: item[()] for name, item in file[_GROUP].items()}
        plain = {name: json.loads(values.pop(name)) for name in ("backbone", "size", "facts")}
        members = {n: v.decode() if isinstance(v, bytes) else v for n, v in values.items()}
        return TunedFile(**plain, members=members)
    except (OSError, KeyError, ValueError, TypeError) as error:
        reason = f"cannot be read ({error})" if path.is_file() else "does not exist"
        raise UsageError(
            f"the file of a tuned backbone {path} {reason}; give one that a benchmark with "
            "backbones 'tuned:NAME' wrote to the folder `tuned` of its results"
        ) from error


def find_tuned(backbone: str, digest: str, places: Iterable[Path]) -> Path:
    """Find the weights with this digest among files and in folders."""
    name = _file_name(backbone.removeprefix(TUNED), digest)
    tried = list(dict.fromkeys(p if p.is_file() else p / name for p in places))
    found = [path for path in tried if path.is_file()]
    for path in found:
        if known_digest(path) == digest:
            return path
    others = f" ({', '.join(map(str, found))}: other weights)" if found else ""
    raise FeatxError(
        f"the features are of a tuned network, whose weights {name} are not in "
        f"{', '.join(sorted({str(path.parent) for path in tried})) or 'a named folder'}{others}. "
        "Copy the file from the folder `tuned` of the results in which it was tuned to the folder "
        "of the model, or give its folder by --weights-dir (weights_dir=)"
    )


def _file_name(backbone: str, digest: str) -> str:
    return f"{backbone}-{digest[:16]}{_SUFFIX}"
