"""Fetching one large file, going on where an earlier attempt stopped."""

from __future__ import annotations

import hashlib
import http.client
import logging
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from featx.errors import FeatxError
from featx.runtime.progress import progress

__all__ = ["digest_of", "download"]

logger = logging.getLogger(__name__)

# Seconds without a byte after which a connection counts as dead.
PATIENCE = 60.0

_PIECE = 1 << 20
_MEGABYTE = 10**6


def download(address: str, path: Path, size: int) -> None:
    """Fetch a file over HTTP; what an earlier attempt brought is not fetched again."""
    part = path.with_name(f"{path.name}.part")
    furthest = had = _size_of(part)
    if had:
        logger.info(f"{had:,} bytes of {path.name} are here already.")
    with progress(f"Downloading {path.name}", -(-(size - had) // _MEGABYTE), "MB") as advance:
        while _size_of(part) < size:
            reason = _fetch_rest(address, part, size, advance)
            if reason is not None and _size_of(part) <= furthest:
                raise FeatxError(f"{address} could not be reached or broke off ({reason})")
            furthest = max(furthest, _size_of(part))
    part.replace(path)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    total = -(-path.stat().st_size // _MEGABYTE)
    with path.open("rb") as file, progress(f"Checking {path.name}", total, "MB") as advance:
        done = _Megabytes(advance)
        while piece := file.read(_PIECE):
            digest.update(piece)
            done.add(len(piece))
    return digest.hexdigest()


class _Megabytes:
    """Turns bytes into whole steps of a bar that counts megabytes."""

    def __init__(self, advance: Callable[..., None]) -> None:
        self._advance, self._bytes = advance, 0

    def add(self, count: int) -> None:
        before, self._bytes = self._bytes // _MEGABYTE, self._bytes + count
        self._advance(self._bytes // _MEGABYTE - before)


def _size_of(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _fetch_rest(address: str, part: Path, size: int, advance: Callable[..., None]) -> str | None:
    """Fetch what is missing; return why it broke off, if it did."""
    have = _size_of(part)
    headers = {"User-Agent": "featx", **({"Range": f"bytes={have}-"} if have else {})}
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            # A server that knows no ranges answers 200 and sends everything again.
            start = have if answer.status == http.client.PARTIAL_CONTENT else 0
            _check_length(address, answer.headers.get("Content-Length"), size - start)
            _write_to(part, "ab" if start else "wb", answer, size - start, advance)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink()
            return f"the server answers {error.code} {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", None) or error or type(error).__name__)
    return None if _size_of(part) == size else "the connection was cut"


def _check_length(address: str, stated: str | None, expected: int) -> None:
    if stated is not None and int(stated) != expected:
        raise FeatxError(
            f"{address} offers {int(stated):,} bytes where {expected:,} are expected: "
            "another file, or a page that asks for something"
        )


def _write_to(
    part: Path,
    mode: str,
    answer: http.client.HTTPResponse,
    wanted: int,
    advance: Callable[..., None],
) -> None:
    done = _Megabytes(advance)
    with part.open(mode) as file:
        # What has come is on its way to the disk at once, so that a kill loses nothing of it.
        while wanted and (piece := answer.read1(min(_PIECE, wanted))):
            try:
                file.write(piece)
                file.flush()
            except OSError as error:
                raise FeatxError(f"{part} cannot be written: {error.strerror}") from error
            wanted -= len(piece)
            done.add(len(piece))
