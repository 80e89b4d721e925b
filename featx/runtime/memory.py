"""Available memory, and sizes in bytes as text."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from featx.errors import UsageError
from featx.runtime import posix

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")

# Numbers of mallopt(3), and glibc's maximum of the second.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT = 2**25


def parse_size(text: str | int) -> int:
    """Read a size in bytes.

    Examples
    --------
    >>> parse_size("2GiB"), parse_size("1.5M"), parse_size(4096)
    (2147483648, 1572864, 4096)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", str(text), re.IGNORECASE)
    size = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if size < 1:
        raise UsageError(f"{text!r} is not a size; give one such as 512MiB or 8GiB")
    return size


def readable_size(size: float) -> str:
    """Write a size in bytes with a binary unit.

    Examples
    --------
    >>> readable_size(3 * 2**30), readable_size(700 * 2**20)
    ('3.0 GiB', '700 MiB')
    """
    if size >= 2**30:
        return f"{size / 2**30:,.1f} GiB"
    return f"{size / 2**20:,.0f} MiB"


def usable_memory(limit: str | int | None = None) -> int:
    """Return how many bytes this process may still use, of a limit or of all memory."""
    if limit is None:
        return available_memory()
    return max(0, parse_size(limit) - _status("RssAnon"))


def available_memory() -> int:
    """Return the bytes that machine, control groups and resource limits leave.

    Page cache counts as free, since the system reclaims it.
    """
    machine = _field(_PROC / "meminfo", "MemAvailable") or posix.physical_memory()
    return max(0, min([machine, *_resource_limits(), *_control_groups()]))


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Keep freed memory for reuse where the environment has it returned at once (Dask workers)."""
    trimmed = os.environ.get("MALLOC_TRIM_THRESHOLD_", "")
    # mallopt is glibc's; elsewhere nothing needs to be kept.
    library: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not trimmed.isdecimal() or not hasattr(library, "mallopt"):
        yield
        return
    mapped = os.environ.get("MALLOC_MMAP_THRESHOLD_", "")
    library.mallopt(_TRIM_THRESHOLD, max(_KEPT, int(trimmed)))
    library.mallopt(_MMAP_THRESHOLD, _KEPT)
    try:
        yield
    finally:
        library.mallopt(_TRIM_THRESHOLD, int(trimmed))
        library.mallopt(_MMAP_THRESHOLD, int(mapped) if mapped.isdecimal() else 2**17)
        library.malloc_trim(0)


def start_memory_watch() -> None:
    """Reset the peak memory of this process, where Linux permits it."""
    with suppress(OSError):
        (_PROC / "self" / "clear_refs").write_text("5")


def peak_memory() -> int:
    """Return the peak memory of this process since the watch was started, in bytes."""
    return _status("VmHWM") or posix.peak_memory()


def _resource_limits() -> Iterator[int]:
    for which, taken in (("RLIMIT_AS", "VmSize"), ("RLIMIT_DATA", "VmData")):
        limit = posix.memory_limit(which)
        if limit is not None:
            yield limit - _status(taken)


def _status(name: str) -> int:
    return _field(_PROC / "self" / "status", name)


def _field(path: Path, name: str) -> int:
    """Read an entry in kibibytes as bytes, 0 where it is missing."""
    with suppress(OSError):
        for line in path.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _control_groups() -> Iterator[int]:
    """Yield the bytes that each control group of this process leaves (versions 1 and 2)."""
    with suppress(OSError):
        for line in (_PROC / "self" / "cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                yield from _left(_CGROUPS, path, "memory.max", "memory.current", "")
            elif "memory" in controllers.split(","):
                names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"
                yield from _left(_CGROUPS / "memory", path, *names)


def _left(root: Path, path: str, limit: str, usage: str, prefix: str) -> Iterator[int]:
    folder = root / path.strip("/")
    for group in (folder, *folder.parents):
        if not group.is_relative_to(root):
            return
        # "max" is no number: this group has no limit.
        with suppress(OSError, ValueError, KeyError):
            most, taken = (int((group / name).read_text()) for name in (limit, usage))
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            files = sum(int(stat[f"{prefix}{kind}_file"]) for kind in ("active", "inactive"))
            yield most - taken + files
