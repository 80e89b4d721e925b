"""Files that are whole or absent: written under another name, fsynced, then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import h5py

from featx.errors import FeatxError
from featx.runtime.unfinished import writing

__all__ = ["TEMPORARY_PREFIX", "file_digest", "library_versions", "put_bytes", "write_hdf5"]

TEMPORARY_PREFIX = ".writing-"

_LIBRARIES = ("featx", "numpy", "h5py", "pillow", "opencv-python-headless", "keras")


def library_versions(*others: str) -> dict[str, str]:
    """Versions of the libraries that a feature depends on, without importing them."""
    versions = {}
    for name in (*_LIBRARIES, *others):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest of a file's bytes in hexadecimal."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_hdf5(path: Path, fill: Callable[[h5py.File], None]) -> None:
    """Write an HDF5 file so that it is whole or absent, even if the machine stops."""
    with _put(path) as temporary, h5py.File(temporary, "w") as file:
        fill(file)


def put_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write bytes to a file so that it is whole or absent; see `write_hdf5`."""
    with _put(path, len(content)) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def _put(path: Path, needed: int | None = None) -> Iterator[Path]:
    """Give a place to write to, and move what was written there when all went well."""
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(temporary):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
    except OSError as error:
        raise FeatxError(_explain(error, path, needed)) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(error: OSError, path: Path, needed: int | None) -> str:
    # HDF5 words its errors itself and keeps no number.
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        status = os.statvfs(path.parent)
        need = "more room" if needed is None else f"{needed:,} bytes"
        return (
            f"the disk is full: {path} needs {need} and {path.parent} has "
            f"{status.f_bavail * status.f_frsize:,} free; make room or choose another folder, "
            "and run again: what is already computed is kept"
        )
    return (
        f"{path} cannot be written ({error.strerror or error}); choose a folder that you may "
        "write to (--cache, --out)"
    )
