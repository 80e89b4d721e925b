"""Files that paths name: below a folder, by their ends, or near a table."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from featx.datasets.folders.walk import identity_of, joined, walk_folders
from featx.datasets.tables.cells import clean
from featx.images.reading import SUFFIXES

# Enough for the largest public collections, and soon reached in a home folder.
_MOST_FILES = 1_000_000
# Fewer to propose a folder, which the user may not want.
_MOST_TO_PROPOSE = 200_000
_SAMPLE = 50

# A file and its identity.
Located = tuple[Path, Hashable]


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
    for folder in walk_folders(root, lambda *_: None):
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
