"""Files that are being written, so that whoever stops the process can take them away."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

__all__ = ["remove_unfinished", "writing"]

_unfinished: set[Path] = set()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Note that a file is being written, and remove it in the end if it is still there."""
    _unfinished.add(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        _unfinished.discard(path)


def remove_unfinished() -> None:
    """Remove every file that is being written; for a process that is about to end."""
    for path in list(_unfinished):
        with contextlib.suppress(OSError):
            path.unlink()
