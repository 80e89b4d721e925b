"""Walk of a folder: subfolders and files, through links, without hidden folders and litter."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path

DEEPEST = 100

# Added by operating systems, network storage and tools; passed over without a word.
_LITTER = frozenset(
    {
        "__macosx",
        "@eadir",
        "#recycle",
        "#snapshot",
        "@recycle",
        "@recently-snapshot",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        ".ipynb_checkpoints",
        ".ds_store",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "dicomdir",
    }
)


@dataclass(frozen=True)
class Folder:
    """A folder by its path below the root, with its subfolders and files by name.

    `same_as` is the path under which the walk has come to the same folder before.
    """

    path: str
    folders: list[str]
    files: list[str]
    same_as: str | None = None
    too_deep: bool = False


def is_litter(name: str) -> bool:
    """Return whether a file or folder was added by an operating system, storage or a tool."""
    return name.lower() in _LITTER


def is_passed_over(folder: str) -> bool:
    """Return whether a folder is hidden or litter."""
    return folder.startswith(".") or is_litter(folder)


def joined(folder: str, name: str) -> str:
    """Return the path of a name in a folder, of which the root is the empty path."""
    return f"{folder}/{name}" if folder else name


def walk_folders(root: Path, on_error: Callable[[Path, OSError], None]) -> Iterator[Folder]:
    """Yield a folder and those below it, in order; one that links lead to is yielded twice.

    A folder that cannot be listed is given to `on_error`, as in `os.walk`.
    """
    pending: list[tuple[str, tuple[Hashable, ...]]] = [("", ())]
    first: dict[Hashable, str] = {}
    again: set[Hashable] = set()
    while pending:
        path, above = pending.pop()
        if len(above) > DEEPEST:
            yield Folder(path, [], [], too_deep=True)
            continue
        try:
            identity, folders, files = _entries(root / path)
        except OSError as error:
            on_error(root / path, error)
            continue
        # A link to a folder above, or to one that two paths have led to.
        if identity in above or identity in again:
            continue
        if identity in first:
            again.add(identity)
        yield Folder(path, folders, files, first.get(identity))
        first.setdefault(identity, path)
        inner = [joined(path, name) for name in reversed(folders) if not is_passed_over(name)]
        pending += [(each, (*above, identity)) for each in inner]


def _entries(folder: Path) -> tuple[Hashable, list[str], list[str]]:
    """Return a folder's identity, its subfolders and its files."""
    identity = identity_of(folder, folder.stat())
    with os.scandir(folder) as entries:
        listed = sorted((entry.name, entry.is_dir()) for entry in entries)
    folders = [name for name, is_folder in listed if is_folder]
    return identity, folders, [name for name, is_folder in listed if not is_folder]


def identity_of(path: Path, status: os.stat_result) -> Hashable:
    """Return what all links to a file or folder share."""
    # Some file systems number no files.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)
