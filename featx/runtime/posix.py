"""POSIX facilities, each with its answer on systems that lack it (Windows).

The module `resource` is imported here only, and not before it is needed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from types import ModuleType


def _resource() -> ModuleType | None:
    try:
        import resource
    except ImportError:
        return None
    return resource


def physical_memory() -> int:
    """Return the machine's memory in bytes, or the largest integer where it is unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


def memory_limit(name: str) -> int | None:
    """Return the soft limit ``RLIMIT_AS`` or ``RLIMIT_DATA`` in bytes, or None without one."""
    resource = _resource()
    if resource is None:
        return None
    limit: int = resource.getrlimit(getattr(resource, name))[0]
    return None if limit == resource.RLIM_INFINITY else limit


def peak_memory() -> int:
    """Return this process's largest resident memory so far in bytes, or 0 if unknown."""
    resource = _resource()
    if resource is None:
        return 0
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux kibibytes.
    return peak if sys.platform == "darwin" else peak * 1024


def limit_memory(size: int) -> None:
    """Limit this process's address space in bytes, and write no core files."""
    resource = _resource()
    if resource is None:
        return
    # Refused where the system already allows less, and on macOS.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_cpu_seconds(seconds: int) -> None:
    """Let the system end this process (SIGXCPU) after further seconds of CPU time."""
    resource = _resource()
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + seconds
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (limit if most < 0 else min(limit, most), most))


def describe_exit(code: int) -> str:
    """Describe how a worker process ended.

    Examples
    --------
    >>> describe_exit(3), describe_exit(-9)
    ('ended with code 3', 'was ended by SIGKILL')
    """
    if code == -getattr(signal, "SIGXCPU", 0):
        return "exceeded its time limit"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to disk, so that a renamed file survives a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        # Windows opens no folders; its rename is durable by itself.
        if sys.platform == "win32":
            return
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Return whether another program has locked a file for writing."""
    try:
        import fcntl
    except ImportError:
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        # Of file systems without locks.
        except OSError:
            return False
    return False
