"""Atomic files: written under a temporary name, fsynced, then renamed."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from featx.errors import FeatxError, UsageError
from featx.runtime.kinds import shown
from featx.runtime.posix import sync_folder

if TYPE_CHECKING:
    import h5py

_CHECKSUM_BYTES = 32

TEMPORARY_PREFIX = ".writing-"

# A file that changes twice within one step of its time stamps may keep them; FAT has the longest
# step, two seconds.
GRANULARITY_SECONDS = 2.0

_unfinished: set[Path] = set()

_IN_FILE_NAMES = str.maketrans(" :/", "---")


def file_name_of(name: str) -> str:
    """Return a name, such as that of a backbone, as part of the names of files.

    Examples
    --------
    >>> file_name_of("hf:microsoft/rad-dino-logistic")
    'hf-microsoft-rad-dino-logistic'
    """
    return name.translate(_IN_FILE_NAMES)


def check_output(
    path: str | Path, kind: Literal["file", "folder"], *, writable: bool = True
) -> Path:
    """Raise a usage error if a file or folder cannot be written, before any work.

    Examples
    --------
    >>> check_output("/", "file")
    Traceback (most recent call last):
        ...
    featx.errors.UsageError: '/' names no file; give the path of a file to write
    """
    try:
        problem = _problem(path, kind) or (_forbidden(path) if writable else "")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        problem = f"{shown(path)!r} cannot be written ({reason})"
    if problem:
        raise UsageError(f"{problem}; give the path of a {kind} to write")
    return Path(path)


def _problem(path: str | Path, kind: str) -> str:
    target, quoted = Path(os.path.realpath(path)), repr(shown(path))
    if not str(path).strip() or not target.name:
        return f"{quoted} names no {kind}"
    # What is written gets a temporary name, or a name of its own inside the folder.
    longest = target / ("x" * 64) if kind == "folder" else target.with_name("x" * 64)
    for each in (Path(path), longest):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            each.stat()
    if target.exists():
        mode = target.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return f"{quoted} is a device or pipe, not a {kind}"
        if stat.S_ISDIR(mode) != (kind == "folder"):
            other = "file" if kind == "folder" else "folder"
            return f"{quoted} exists and is not a {kind} but a {other}"
    blocking = next((each for each in target.parents if each.is_file()), None)
    if blocking is not None:
        return f"{quoted} cannot be written: {blocking} is a file, not a folder"
    return ""


def _forbidden(path: str | Path) -> str:
    target, quoted = Path(os.path.realpath(path)), repr(shown(path))
    if target.exists() and not os.access(target, os.W_OK):
        return f"{quoted} cannot be written: it is read-only"
    folder = next(each for each in (target, *target.parents) if each.is_dir())
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{quoted} cannot be written: you may not write in {folder}"
    return ""


def write_hdf5(
    path: Path,
    fill: Callable[[h5py.File], None],
    finish: Callable[[Path], None] | None = None,
    needed: int = 0,
) -> None:
    """Write an HDF5 file of at least the needed bytes atomically, also if the machine stops.

    What follows the HDF5 content is written by `finish`.
    """
    import h5py

    with writing(path, needed or None) as temporary:
        if shutil.disk_usage(temporary.parent).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with temporary.open("x+b", buffering=0) as file:
            guarded = _GuardedFile(file)
            with h5py.File(guarded, "w") as content:
                fill(content)
        if guarded.error is not None:
            raise guarded.error
        if finish is not None:
            finish(temporary)


class _GuardedFile:
    """File whose failed writes are kept for later: HDF5 crashes where it cannot flush."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, content: memoryview) -> int:
        rest = memoryview(content)
        try:
            while self.error is None and len(rest):
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
        return len(content)

    def truncate(self, size: int) -> int:
        try:
            self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
        return size


def put_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write bytes to a file atomically."""
    with writing(path, len(content)) as temporary:
        temporary.write_bytes(content)


def put_checked(path: Path, content: bytes) -> None:
    """Write bytes after their SHA-256 atomically, for `read_checked`."""
    put_bytes(path, hashlib.sha256(content).digest() + content)


def read_checked(path: Path) -> bytes | None:
    """Read what `put_checked` wrote, or None if it is missing or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    checksum, content = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
    return content if hashlib.sha256(content).digest() == checksum else None


def set_aside(path: Path) -> str:
    """Move a damaged file into the folder `damaged` beside it; return the outcome in words."""
    aside = path.parent / "damaged" / path.name
    try:
        aside.parent.mkdir(exist_ok=True)
        path.replace(aside)
    except OSError as error:
        return f"it cannot be moved away ({error.strerror}) and is skipped"
    return f"it was moved to {aside}"


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def known_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return a file's digest, computed once in this process while its size and times stay."""
    status = path.stat()
    if time.time() - max(status.st_mtime, status.st_ctime) <= GRANULARITY_SECONDS:
        return file_digest(path, algorithm)
    times = status.st_mtime_ns, status.st_ctime_ns
    return _digest_of(path, algorithm, (status.st_dev, status.st_ino, status.st_size, *times))


@functools.lru_cache(maxsize=64)
def _digest_of(path: Path, algorithm: str, _: tuple[int, ...]) -> str:
    return file_digest(path, algorithm)


@contextlib.contextmanager
def writing(path: Path, needed: int | None = None) -> Iterator[Path]:
    """Yield a temporary path with the same suffix, and rename it when the block succeeds.

    A symbolic link is followed, and stays.
    """
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}{path.suffix}")
    _unfinished.add(temporary)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        _discard(temporary)
        raise FeatxError(_explain(error, path, needed)) from error
    finally:
        _discard(temporary)


def _discard(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        temporary.unlink()
    _unfinished.discard(temporary)


def _explain(error: OSError, path: Path, needed: int | None) -> str:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        need = "more space" if needed is None else f"{needed:,} bytes"
        return (
            f"the disk is full: {path} needs {need} and {path.parent} has "
            f"{shutil.disk_usage(path.parent).free:,} free; free some space or choose another "
            "folder, and run again: finished work is kept"
        )
    return (
        f"{path} cannot be written ({error.strerror or error}); choose a writable "
        "folder (--cache, --out)"
    )


def remove_unfinished() -> None:
    """Remove every file that is being written, before the process ends."""
    for path in list(_unfinished):
        _discard(path)
