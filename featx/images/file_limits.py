"""Bounded reading of files: no pipes, no devices, no absurd sizes."""

from __future__ import annotations

import stat
from pathlib import Path

from featx.errors import UnreadableImageError

# An uncompressed radiograph of the most pixels that are read, in three 16-bit colors.
LARGEST_FILE = 1 << 30

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_bytes(path: Path, length: int | None = None) -> bytes:
    """Read a regular file of bounded size, or its first `length` bytes."""
    try:
        # Before opening, which waits at a pipe and may disturb a device.
        status = path.stat()
        kind = next((name for matches, name in _KINDS if matches(status.st_mode)), None)
        if kind:
            raise UnreadableImageError(f"{kind}, not a file")
        if length is None:
            check_file_size(status.st_size)
        with path.open("rb") as file:
            # A file may grow, or not know its size.
            content = file.read(LARGEST_FILE + 1 if length is None else length)
    except OSError as error:
        raise UnreadableImageError(f"the file cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UnreadableImageError("its name holds a zero byte") from error
    check_file_size(len(content))
    return content


def check_file_size(size: int) -> None:
    """Refuse a number of bytes that no picture needs."""
    if size > LARGEST_FILE:
        raise UnreadableImageError(
            f"unreasonably large: {size:,} bytes (at most {LARGEST_FILE:,}); save one picture a "
            "file"
        )
