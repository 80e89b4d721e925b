"""Files of a table's rows, of lists of paths, and their names."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from os import PathLike
from pathlib import Path, PureWindowsPath

from featx.datasets.listing import shared_folder
from featx.datasets.paths import FileFinder, find_root, posix
from featx.datasets.tables.report import RowReport
from featx.errors import UsageError
from featx.images.remote import RemoteFile, is_url
from featx.images.sources import Source

_NO_FILE = "whose file is missing"
_SEVERAL_FILES = "whose file name is found in several folders"

# A source and its identity, which links to the same file share.
Located = tuple[Source, Hashable]


def locate_rows(
    given: list[str], folder: Path, root: str | PathLike[str] | None, report: RowReport
) -> list[Located | None]:
    """Find the file of each path, relative to a table's folder or a root; note missing ones."""
    start = folder if root is None else Path(root)
    if not start.is_dir():
        raise UsageError(f"--root {start} is not a folder; give the folder of the table's images")
    direct = FileFinder(start).find
    located: list[Located | None] = [direct(path) if path else None for path in given]
    absent = [place for place, path in enumerate(given) if path and located[place] is None]
    if absent and root is None and any(located):
        # To search a home folder for one file would take minutes, and find copies.
        report.hints.append(
            f"With --root {_shown(folder)} files are also searched in the folders below it."
        )
        _note_missing(given, absent, report)
    elif absent:
        _search(given, absent, located, folder, root, report)
    return located


def _search(
    given: list[str],
    absent: list[int],
    located: list[Located | None],
    folder: Path,
    root: str | PathLike[str] | None,
    report: RowReport,
) -> None:
    """Find absent files below the root, or below a folder near the table to propose as root."""
    paths = _without_shared_folder(given)
    start = Path(root) if root else find_root(folder, [paths[place] for place in absent])[0]
    finder = FileFinder(start)
    for place in absent:
        located[place] = finder.search(paths[place])
    missing = [place for place in absent if located[place] is None]
    found = len(absent) - len(missing)
    if found:
        report.remarks.append(f"{found:,} files were found by name in folders below the root")
    if found and root is None:
        report.ask(
            f"{len(absent):,} paths are no files relative to {_shown(folder)}, the table's folder, "
            f"but {found:,} of them are found below {_shown(start)}",
            root=_shown(start),
        )
    if missing and not any(located):
        where = "the table's folder" if root is None else "--root"
        report.hints.append(
            f"Paths are relative to {_shown(start)}, {where}; if the images are elsewhere, give "
            "their folder by --root."
        )
    several = {place for place in missing if len(finder.below(paths[place])) > 1}
    _note_missing(given, missing, report, several)


def _note_missing(
    given: list[str], missing: Sequence[int], report: RowReport, several: Collection[int] = ()
) -> None:
    for place in missing:
        report.add(_SEVERAL_FILES if place in several else _NO_FILE, place, given[place])


def _without_shared_folder(paths: list[str]) -> list[str]:
    """Cut absolute paths, as another machine has them, to what follows their common folder."""
    plain = [posix(path) for path in paths]
    shared = shared_folder([path for path in plain if PureWindowsPath(path).anchor])
    return [path.removeprefix(shared) if PureWindowsPath(path).anchor else path for path in plain]


def _shown(folder: Path) -> str:
    """Write a folder relative to the working directory if it is below."""
    absolute, here = folder.absolute(), Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)


def locate_urls(paths: list[str], where: str, base: str | None) -> list[Located | None]:
    """Return the URL of each path below a base URL."""
    known = [posix(path) if path and not is_url(path) else path for path in paths]
    urls = _urls([path for path in known if path], where, base)
    queue = iter(urls)
    found = [next(queue) if path else None for path in known]
    return [None if url is None else (RemoteFile(url), url) for url in found]


def image_names(paths: list[str], sources: list[Source]) -> list[str]:
    """Name images as the table does, so that results can be joined with it.

    URLs are named by what they do not share, which keeps buckets out of the names.
    """
    urls = [s.url.partition("::")[0] for s in sources if isinstance(s, RemoteFile)]
    shared = shared_folder(urls)
    return [url.removeprefix(shared) for url in urls] or paths


def locate_files(paths: Sequence[str], where: str) -> list[Source]:
    """Return files given by path or URL."""
    if any(map(is_url, paths)):
        return [RemoteFile(url) for url in _urls(paths, where, None)]
    finder = FileFinder(Path())
    found = [finder.find(path) for path in paths]
    missing = [path for path, file in zip(paths, found, strict=True) if file is None]
    if missing:
        raise UsageError(
            f"{where} names {len(missing):,} files that do not exist, {missing[0]} for one; paths "
            f"are absolute or relative to {Path.cwd()}"
        )
    return [file[0] for file in found if file is not None]


def _urls(paths: Sequence[str], where: str, base: str | None) -> list[str]:
    """Return URLs of files; missing ones are found when read, as a million requests take hours."""
    urls = [path if base is None or is_url(path) else f"{base}/{path}" for path in paths]
    local = [url for url in urls if not is_url(url)]
    if local:
        raise UsageError(
            f"{where} mixes URLs with paths, {local[0]} for one; give all of them as URLs "
            "(file:///… for files of this machine)"
        )
    return urls
