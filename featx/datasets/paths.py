"""Files that lists and tables name: below a folder, by their ends, near a table, or by URL."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

from featx.datasets.file_tree import identity_of, joined, walk_folders
from featx.datasets.tables.cells import clean
from featx.datasets.tables.report import RowReport
from featx.errors import UsageError
from featx.images.reading import SUFFIXES
from featx.images.remote import RemoteFile, is_url
from featx.images.sources import Source

# Enough for the largest public collections, and soon reached in a home folder.
_MOST_FILES = 1_000_000
# Fewer to propose a folder, which the user may not want.
_MOST_TO_PROPOSE = 200_000
_SAMPLE = 50

_NO_FILE = "whose file is missing"
_SEVERAL_FILES = "whose file name is found in several folders"

# A source and its identity, which links to the same file share.
Located = tuple[Source, Hashable]


def posix(path: str) -> str:
    r"""Write a path with slashes, without ``.`` and doubled slashes.

    Examples
    --------
    >>> posix(r".\scans\a.png"), posix("/x//y"), posix("../x")
    ('scans/a.png', '/x/y', '../x')
    """
    text = clean(path).replace("\\", "/")
    # Most paths are plain, and tables may have a million.
    plain = "//" not in text and "./" not in text and not text.endswith(("/", "."))
    return text if plain and text else PurePosixPath(text).as_posix()


def shared_folder(paths: Sequence[str]) -> str:
    """Return the folders that all paths begin with.

    Examples
    --------
    >>> shared_folder(["/data/x/a/1.png", "/data/x/b/1.png"]), shared_folder(["a.png", "b.png"])
    ('/data/x/', '')
    """
    steps = [path.split("/")[:-1] for path in paths]
    # Of lists of steps, not of characters.
    shared = os.path.commonprefix(steps)  # noqa: RUF071
    return "/".join([*shared, ""]) if shared else ""


class PathEnds:
    """Paths by file name, to be found by their ends.

    Examples
    --------
    >>> ends = PathEnds(["a/1.png", "b/1.png", "b/2.dcm"])
    >>> ends.find("2.dcm"), ends.find("1.png"), ends.find("b/1.png"), ends.find("c/1.png")
    ([2], [0, 1], [1], [])
    >>> ends.find("2"), ends.find("x/b/1.png"), ends.find("x/b/1.png", shortened=True)
    ([2], [], [1])
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._parts: list[list[str]] = []
        self._by_name: dict[str, list[int]] = {}
        self._by_stem: dict[str, list[int]] = {}
        for place, path in enumerate(paths):
            # Other systems ignore case, and so do the tables that they export.
            parts = unicodedata.normalize("NFC", path).casefold().split("/")
            self._parts.append(parts[:-1])
            self._by_name.setdefault(parts[-1], []).append(place)
            # Some tables list identifiers without the suffix of the file.
            self._by_stem.setdefault(parts[-1].rpartition(".")[0], []).append(place)

    def find(self, path: str, *, shortened: bool = False) -> list[int]:
        """Return the places of the paths that end with this one, or that are its end."""
        *folders, name = posix(path).casefold().split("/")
        places = self._by_name.get(name, [])
        if not places and PurePosixPath(name).suffix not in SUFFIXES:
            places = self._by_stem.get(name, [])
        return [place for place in places if _ends(self._parts[place], folders, shortened)]


def _ends(known: list[str], given: list[str], shortened: bool) -> bool:
    """Return whether a path's folders end with the given ones, or also the other way around."""
    shared = min(len(known), len(given))
    same = known[len(known) - shared :] == given[len(given) - shared :]
    return same and (shortened or len(given) <= len(known))


@dataclass
class FileFinder:
    """Finds files of paths that are relative to a folder, or end the paths of files below it."""

    root: Path

    def find(self, path: str) -> Located | None:
        """Return a file and its identity, which links to it share."""
        # As it is written: file names may be in NFD, or end with a space.
        variants = [path, posix(path)]
        if not path.isascii():
            variants += [unicodedata.normalize(form, posix(path)) for form in ("NFC", "NFD")]
        files = (_regular_file(self.root / variant) for variant in dict.fromkeys(variants))
        return next((file for file in files if file is not None), None)

    def search(self, path: str) -> Located | None:
        """Return the only file at a path or below the folder whose path ends like this one."""
        if (file := self.find(path)) is not None:
            return file
        files = [_regular_file(self.root / name) for name in self.below(path)]
        # Links lead to one file under several paths.
        identities = {file[1] for file in files if file is not None}
        return files[0] if len(identities) == 1 else None

    def below(self, path: str) -> list[str]:
        """Return the files in folders below whose path ends like this one."""
        files, ends = self._below
        return [files[place] for place in ends.find(path)]

    @cached_property
    def _below(self) -> tuple[list[str], PathEnds]:
        files = list(_files_below(self.root))
        return files, PathEnds(files)


def _regular_file(path: Path) -> Located | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return (path, identity_of(path, status)) if stat.S_ISREG(status.st_mode) else None


def _files_below(root: Path, most: int = _MOST_FILES) -> Iterator[str]:
    """List files below a folder by relative path, without hidden ones, up to a great number."""
    count = 0
    # Folders that cannot be listed have no files to be found.
    for folder in walk_folders(root, strict=False):
        if folder.same_as is None:
            files = [name for name in folder.files if not name.startswith(".")]
            yield from (joined(folder.path, name) for name in files)
            count += len(files)
        if count > most:
            return


def find_root(folder: Path, paths: Sequence[str]) -> tuple[Path, int]:
    """Return the folder near a table below which most paths are files, and how many of a sample."""
    sample = paths[:: max(1, len(paths) // _SAMPLE)]
    folder = folder.absolute()
    hits = {
        above: sum(_regular_file(above / posix(path)) is not None for path in sample)
        for above in [folder, *list(folder.parents)[:2]]
    }
    best = max(hits, key=lambda above: hits[above])
    if hits[best]:
        return best, hits[best]
    files = list(_files_below(folder, _MOST_TO_PROPOSE))
    ends = PathEnds(files)
    roots = []
    for path in sample:
        places = ends.find(path)
        if len(places) == 1:
            file, own = files[places[0]], posix(path)
            inside = file.removesuffix(own) if file.endswith(f"/{own}") else f"{file}/.."
            roots.append(os.path.normpath(folder / inside))
    return (Path(os.path.commonpath(roots)), len(roots)) if roots else (folder, 0)


def locate_rows(
    given: list[str], folder: Path, root: str | os.PathLike[str] | None, report: RowReport
) -> list[Located | None]:
    """Find the file of each path, relative to a table's folder or a root; note missing ones."""
    start = folder if root is None else Path(root)
    if not start.is_dir():
        raise UsageError(f"--root {start} is not a folder; give the folder of the table's images")
    direct = FileFinder(start).find
    located: list[Located | None] = [direct(path) if path else None for path in given]
    absent = [place for place, path in enumerate(given) if path and located[place] is None]
    several: set[int] = set()
    if absent and root is None and any(located):
        # To search a home folder for one file would take minutes, and find copies.
        report.hints.append(
            f"With --root {_shown(folder)} files are also searched in the folders below it."
        )
    elif absent:
        absent, several = _search(given, absent, located, folder, root, report)
    for place in absent:
        report.add(_SEVERAL_FILES if place in several else _NO_FILE, place, given[place])
    return located


def _search(
    given: list[str],
    absent: list[int],
    located: list[Located | None],
    folder: Path,
    root: str | os.PathLike[str] | None,
    report: RowReport,
) -> tuple[list[int], set[int]]:
    """Find absent files below the root, or below a folder near the table to propose as root.

    Returns the places of those that are missing, and which of these several files may be.
    """
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
    return missing, {place for place in missing if len(finder.below(paths[place])) > 1}


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
    urls = iter(_urls([path for path in known if path], where, base))
    return [(RemoteFile(url := next(urls)), url) if path else None for path in known]


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
