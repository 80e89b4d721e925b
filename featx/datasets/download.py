"""Download of a large file that resumes after an interruption.

pooch (1.9) would be the library for this, but it sends no Range header and deletes what an
interrupted download has written: users would start again from zero, up to 1.2 GB at a time.
"""

from __future__ import annotations

import http.client
import logging
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from featx.errors import FeatxError
from featx.runtime.progress import progress

logger = logging.getLogger(__name__)

# Seconds without a byte after which a connection counts as broken.
TIMEOUT = 60.0
MEGABYTE = 10**6


def download(address: str, path: Path, size: int) -> None:
    """Download a file over HTTP, resuming an earlier attempt kept as ``path.part``."""
    partial = path.with_name(f"{path.name}.part")
    furthest = had = _size_of(partial)
    if had:
        logger.info(f"Resuming the download of {path.name} at {had:,} bytes.")
    with progress(f"Downloading {path.name}", -(-(size - had) // MEGABYTE), "MB") as advance:
        while _size_of(partial) < size:
            reason = _fetch_rest(address, partial, size, advance)
            if reason is not None and _size_of(partial) <= furthest:
                raise FeatxError(f"{address} cannot be downloaded ({reason})")
            furthest = max(furthest, _size_of(partial))
    partial.replace(path)


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_rest(address: str, partial: Path, size: int, advance: Callable[..., None]) -> str | None:
    """Download missing bytes; return the reason of an interruption."""
    have = _size_of(partial)
    headers = {"User-Agent": "featx", **({"Range": f"bytes={have}-"} if have else {})}
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            # A server without ranges answers 200 and sends everything again.
            start = have if response.status == http.client.PARTIAL_CONTENT else 0
            length = response.headers.get("Content-Length")
            if length is not None and int(length) != size - start:
                raise FeatxError(
                    f"{address} offers {int(length):,} bytes where {size - start:,} are expected: "
                    "another file, or a login page"
                )
            with partial.open("ab" if start else "wb") as file:
                _write(file, response, start, size, advance)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                partial.unlink()
            return f"the server answers {error.code} {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", None) or error or type(error).__name__)
    return None if _size_of(partial) == size else "the connection was cut"


def _write(
    file: BinaryIO,
    response: http.client.HTTPResponse,
    position: int,
    size: int,
    advance: Callable[..., None],
) -> None:
    while position < size and (piece := response.read1(min(MEGABYTE, size - position))):
        try:
            file.write(piece)
            # A kill must lose nothing that has arrived.
            file.flush()
        except OSError as error:
            raise FeatxError(f"{file.name} cannot be written: {error.strerror}") from error
        position += len(piece)
        advance(position // MEGABYTE - (position - len(piece)) // MEGABYTE)
