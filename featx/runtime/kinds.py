"""What a path holds, recognized by its first bytes, so that a mix-up is named at once."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path
from typing import Literal

from featx.errors import UsageError

Kind = Literal["images", "matrix", "model", "results"]

_EXPECTED = {
    "images": (
        "images",
        "give a folder of images, a zip or tar archive of one, a CSV or Parquet file with a "
        "column `path`, or a MedMNIST .npz file",
    ),
    "matrix": ("a matrix file", "make one with `featx extract --out FILE`"),
    "model": ("a model file", "make one with `featx fit`"),
    "results": (
        "the results folder of a benchmark",
        "give the folder that `featx benchmark --out` wrote",
    ),
}

# What a command may read although it is not what it expects; its reader then says why not.
_LEFT_TO_READERS = {
    "images": ("a folder", "a folder of models", "a zip archive", "an image", "a table", "a file"),
    "matrix": ("a file",),
    "model": ("a file", "a zip archive"),
    "results": (),
}

_MAGIC = {
    b"\x89HDF\r\n\x1a\n": "a matrix file",
    b"PK\x03\x04": "a zip archive",
    b"\x89PNG\r\n\x1a\n": "an image",
    b"\xff\xd8\xff": "an image",
}
_TABLES = (".csv", ".tsv", ".parquet")


def expect(path: str | Path, kind: Kind) -> Path:
    """Raise a usage error if a path plainly holds another kind of thing.

    Examples
    --------
    >>> expect("/", "matrix")
    Traceback (most recent call last):
        ...
    featx.errors.UsageError: / is a folder, not a matrix file; make one with `featx extract ...
    """
    expected, way_out = _EXPECTED[kind]
    if not str(path).strip():
        raise UsageError(f"{str(path)!r} is no path; {way_out}")
    path = Path(path)
    try:
        found = _recognize(path)
    except FileNotFoundError:
        raise UsageError(f"{shown(path)} does not exist; {way_out}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{shown(path)} cannot be read ({reason}); {way_out}") from error
    if found not in (expected, *_LEFT_TO_READERS[kind]):
        raise UsageError(f"{shown(path)} is {found}, not {expected}; {way_out}")
    return path


def remedy(kind: Kind) -> str:
    """Return what to give, for messages."""
    return _EXPECTED[kind][1]


def shown(path: str | Path) -> str:
    """Return a path for a message, shortened if it is long."""
    text = str(path)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-20:]}"


def _recognize(path: Path) -> str:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        if any((path / name).is_file() for name in ("results.json", "run.json")):
            return "the results folder of a benchmark"
        return "a folder of models" if any(path.glob("*.skops")) else "a folder"
    # Opening a pipe would wait for its writer.
    if not stat.S_ISREG(mode):
        return "a device or pipe"
    with path.open("rb") as file:
        beginning = file.read(8)
    found = next((text for magic, text in _MAGIC.items() if beginning.startswith(magic)), "a file")
    if found == "a zip archive" and _has_schema(path):
        return "a model file"
    if found == "a file" and path.suffix.lower() in _TABLES:
        return "a table"
    return found


def _has_schema(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "schema.json" in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        # A damaged model is its reader's to explain.
        return path.suffix == ".skops"
