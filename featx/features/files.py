"""Files that are whole or absent: written under another name, fsynced, then renamed."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import uuid
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import h5py

from featx.errors import FeatxError

__all__ = ["TEMPORARY_PREFIX", "library_versions", "put_bytes", "write_atomically"]

TEMPORARY_PREFIX = ".writing-"

_LIBRARIES = ("featx", "numpy", "h5py", "pillow", "opencv-python-headless", "keras")


def library_versions(*others: str) -> dict[str, str]:
    """Versions of the libraries that a feature depends on, without importing them.

    Parameters
    ----------
    *others : str
        Distributions to name besides; those not installed are left out.
    """
    versions = {}
    for name in (*_LIBRARIES, *others):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def write_atomically(path: Path, fill: Callable[[h5py.File], None]) -> None:
    """Make an HDF5 file in memory and put it in place in one step.

    Parameters
    ----------
    path : Path
        Where the file shall stand.
    fill : callable
        Given the open file, writes its contents.

    Raises
    ------
    FeatxError
        If the folder cannot be written to, or the disk is full.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    put_bytes(path, buffer.getbuffer())


def put_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write bytes to a file so that it is whole or absent, even if the machine stops.

    Parameters
    ----------
    path : Path
        Where the file shall stand; missing folders are made.
    content : bytes-like
        All of it.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise FeatxError(_explain(error, path, len(content))) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(error: OSError, path: Path, needed: int) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        status = os.statvfs(path.parent)
        return (
            f"the disk is full: {path} needs {needed:,} bytes and {path.parent} has "
            f"{status.f_bavail * status.f_frsize:,} free; make room or choose another folder, "
            "and run again: what is already computed is kept"
        )
    return (
        f"{path} cannot be written ({error.strerror}); choose a folder that you may write to "
        "(--cache, --out)"
    )
