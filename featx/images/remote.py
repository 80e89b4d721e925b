"""Images behind URLs: object stores, web servers, and zip archives that lie there."""

from __future__ import annotations

import importlib
import os
import re
import threading
import time
from dataclasses import dataclass
from itertools import takewhile
from types import ModuleType
from typing import Any

from featx.errors import FeatxError, MissingExtraError, UnreadableImageError, UsageError
from featx.images.archives import LARGEST_MEMBER

__all__ = ["RemoteFile", "find_files", "folder_of", "is_url", "name_urls"]

# What object stores call a mark that changes whenever the bytes do.
_MARKS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "generation")

# Stores answer with errors now and then; after this many the file counts as unreadable.
_ATTEMPTS = 3

_PER_THREAD = threading.local()


@dataclass(frozen=True)
class RemoteFile:
    """A file behind a URL that fsspec understands."""

    url: str
    mark: str = ""

    def read(self, length: int | None = None) -> bytes:
        """Return its bytes, or the first `length` of them."""
        wanted = LARGEST_MEMBER + 1 if length is None else length
        for attempt in range(_ATTEMPTS):
            try:
                filesystem, path = _open(self.url, anew=attempt > 0)
                content = filesystem.cat_file(path, start=0, end=wanted)
                break
            except FeatxError:
                raise
            # Every store has exceptions of its own.
            except Exception as error:
                final = attempt == _ATTEMPTS - 1
                # What is missing in an archive may stand in the one that has replaced it.
                certain = attempt > 0 or "::" not in self.url
                if final or (certain and isinstance(error, FileNotFoundError | PermissionError)):
                    # Their texts tell buckets and paths.
                    reason = f"it cannot be fetched ({type(error).__name__})"
                    raise UnreadableImageError(reason) from error
                time.sleep(0.5 * 2**attempt)
        if length is None and len(content) > LARGEST_MEMBER:
            raise UnreadableImageError(
                f"unreasonably large: more than {LARGEST_MEMBER:,} bytes behind its URL"
            )
        return bytes(content)


def is_url(path: object) -> bool:
    """Tell whether this is a URL rather than a path.

    Examples
    --------
    >>> is_url("s3://bucket/xrays"), is_url("zip://a.png::s3://b/c.zip"), is_url("xrays/a.png")
    (True, True, False)
    """
    return isinstance(path, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path) is not None


def find_files(url: str) -> dict[str, RemoteFile]:
    """List the files below a URL, or inside a zip archive that it names."""
    if url.lower().endswith(".zip") and "::" not in url:
        url = f"zip://::{url}"
    first, chained, rest = url.partition("::")
    try:
        filesystem, root = _open(url, anew=True)
        found = filesystem.find(root, detail=True)
        mark = _mark(_info(rest)) if chained else ""
    except FeatxError:
        raise
    # Every store has exceptions of its own.
    except Exception as error:
        raise UsageError(f"{url} cannot be listed ({type(error).__name__}: {error})") from error
    files = {}
    for path, info in found.items():
        if chained:
            whole = f"{first.partition('://')[0]}://{path}::{rest}"
        else:
            whole = filesystem.unstrip_protocol(path)
        files[path[len(root) :].strip("/")] = RemoteFile(whole, mark or _mark(info))
    return files


def folder_of(url: str) -> str:
    """Return the URL of the folder that a file stands in.

    Examples
    --------
    >>> folder_of("s3://bucket/xrays/table.csv")
    's3://bucket/xrays'
    """
    return url.rpartition("/")[0]


def name_urls(urls: list[str]) -> list[str]:
    """Name files by what their URLs do not share, which keeps buckets out of the names.

    Examples
    --------
    >>> name_urls(["s3://bucket/a/x.png", "s3://bucket/a/b/y.png"])
    ['x.png', 'b/y.png']
    """
    steps = [url.partition("::")[0].split("/") for url in urls]
    # What the first and the last in order share, all share.
    ends = zip(min(steps)[:-1], max(steps)[:-1], strict=False)
    shared = len(list(takewhile(lambda pair: pair[0] == pair[1], ends)))
    return ["/".join(step[shared:]) for step in steps]


def _mark(info: dict[str, Any]) -> str:
    return next((str(info[name]) for name in _MARKS if info.get(name)), "")


def _info(url: str) -> dict[str, Any]:
    filesystem, path = _open(url, anew=True)
    info: dict[str, Any] = filesystem.info(path)
    return info


def _open(url: str, anew: bool) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it.

    An archive's table of contents is read once a thread, since a radiograph is small beside it.
    """
    first, chained, rest = url.partition("::")
    if not chained:
        return _filesystem(url)
    kind, _, inside = first.partition("://")
    key = (os.getpid(), kind, rest)
    if anew or getattr(_PER_THREAD, "key", None) != key:
        _PER_THREAD.archive = _filesystem(f"{kind}://::{rest}")[0]
        _PER_THREAD.key = key
    return _PER_THREAD.archive, inside


def _filesystem(url: str) -> tuple[Any, str]:
    try:
        filesystem, path = _fsspec().core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        if isinstance(error, MissingExtraError):
            raise
        raise UsageError(f"{url.partition('://')[0]}: URLs cannot be read here: {error}") from error
    return filesystem, path


def _fsspec() -> ModuleType:
    try:
        importlib.import_module("fsspec.core")
        return importlib.import_module("fsspec")
    except ImportError as error:
        raise MissingExtraError("reading images from URLs", "featx[dask]") from error
