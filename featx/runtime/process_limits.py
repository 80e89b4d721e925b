"""Limits on this process's CPU time and memory, where the system has them (POSIX)."""

from __future__ import annotations

import contextlib

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["limit_cpu_seconds", "limit_memory"]


def limit_cpu_seconds(seconds: int) -> None:
    """Let the system end this process (SIGXCPU) after further `seconds` of CPU time."""
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + seconds
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (limit if most < 0 else min(limit, most), most))


def limit_memory(size: int) -> None:
    """Limit this process's memory to `size` bytes, and have it write no core dump."""
    if resource is None:
        return
    # Refused where the system already allows less.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
