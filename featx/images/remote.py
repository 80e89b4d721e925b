"""Images behind URLs, read with fsspec: object stores, web servers, and zip archives there.

Beyond fsspec: failed requests are repeated, an archive's table of contents is read once a thread
and again when the archive was replaced, and error messages hold no bucket or path.
"""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import dataclass
from typing import Any

from featx.errors import FeatxError, MissingExtraError, UnreadableImageError, UsageError
from featx.images.file_limits import LARGEST_FILE, check_file_size

# Names that object stores use for a value that changes whenever the bytes do.
_MARKS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "generation")

_ATTEMPTS = 3

_PER_THREAD = threading.local()


@dataclass(frozen=True)
class RemoteFile:
    """A file behind a URL that fsspec reads; `mark` changes with its bytes, or is empty."""

    url: str
    mark: str = ""

    def read(self, length: int | None = None) -> bytes:
        """Return its bytes, or the first `length` of them."""
        wanted = LARGEST_FILE + 1 if length is None else length
        for attempt in range(_ATTEMPTS):
            try:
                filesystem, path = _open(self.url, anew=attempt > 0)
                content = filesystem.cat_file(path, start=0, end=wanted)
                break
            except FeatxError:
                raise
            # Each store raises exceptions of its own.
            except Exception as error:
                # A file missing from an archive may be in one that has replaced it.
                certain = attempt > 0 or "::" not in self.url
                denied = certain and isinstance(error, FileNotFoundError | PermissionError)
                if denied or attempt == _ATTEMPTS - 1:
                    # The exception's own text may hold bucket and path.
                    reason = f"it cannot be fetched ({type(error).__name__})"
                    raise UnreadableImageError(reason) from error
                time.sleep(0.5 * 2**attempt)
        if length is None:
            check_file_size(len(content))
        return bytes(content)


def is_url(path: object) -> bool:
    """Return whether this is a URL rather than a path.

    Examples
    --------
    >>> is_url("s3://bucket/xrays"), is_url("zip://a.png::s3://b/c.zip"), is_url("xrays/a.png")
    (True, True, False)
    """
    return isinstance(path, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path) is not None


def find_files(url: str) -> dict[str, RemoteFile]:
    """List the files below a URL, or inside a zip archive behind it."""
    if url.lower().endswith(".zip") and "::" not in url:
        url = f"zip://::{url}"
    first, chained, rest = url.partition("::")
    try:
        filesystem, root = _open(url, anew=True)
        found = filesystem.find(root, detail=True)
        mark = ""
        if chained:
            store, path = _open(rest)
            mark = _mark(store.info(path))
    except FeatxError:
        raise
    # Each store raises exceptions of its own.
    except Exception as error:
        raise UsageError(f"{url} cannot be listed ({type(error).__name__}: {error})") from error
    kind = first.partition("://")[0]
    return {
        path[len(root) :].strip("/"): RemoteFile(
            f"{kind}://{path}::{rest}" if chained else filesystem.unstrip_protocol(path),
            mark or _mark(info),
        )
        for path, info in found.items()
    }


def _mark(info: dict[str, Any]) -> str:
    return next((str(info[name]) for name in _MARKS if info.get(name)), "")


def _open(url: str, anew: bool = False) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError("reading images from URLs", "featx[dask]") from error
    first, chained, rest = url.partition("::")
    kind, _, inside = first.partition("://")
    key = (os.getpid(), kind, rest)
    try:
        if not chained:
            return url_to_fs(url)
        # fsspec opens a chained archive at every call, and threads cannot share one.
        if anew or getattr(_PER_THREAD, "key", None) != key:
            _PER_THREAD.archive = url_to_fs(f"{kind}://::{rest}")[0]
            _PER_THREAD.key = key
    except (ImportError, ValueError) as error:
        raise UsageError(f"{kind}: URLs cannot be read here: {error}") from error
    return _PER_THREAD.archive, inside
