"""Images among the files of a folder, an archive or a URL, recognized by their first bytes."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from featx.datasets.inventory import PassedOver
from featx.errors import UsageError, printable
from featx.images.archives import Member
from featx.images.layouts import is_other_image
from featx.images.reading import SUFFIXES, begins_as_image
from featx.images.remote import RemoteFile
from featx.images.sources import read_beginning

StoredFile = Path | Member | RemoteFile

_DEEPEST = 100

# Added by operating systems, network storage and tools; passed over without a word.
_LITTER = frozenset(
    (
        *("__macosx", ".ds_store", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini"),
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),
        *("$recycle.bin", "system volume information", "lost+found", "dicomdir"),
        ".ipynb_checkpoints",
    )
)

# Annotations, one per image in many collections; not worth a look into each.
_NO_IMAGES = frozenset({".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".md", ".npy"})

_HIDDEN = "hidden"
_TOO_DEEP = f"in more than {_DEEPEST} nested folders"
_BY_SUFFIX = "with a suffix that no image has"
_EXPECTED = (_HIDDEN, _BY_SUFFIX)


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


def _is_passed_over(folder: str) -> bool:
    return folder.startswith(".") or folder.lower() in _LITTER


def joined(folder: str, name: str) -> str:
    """Return the path of a name in a folder, of which the root is the empty path."""
    return f"{folder}/{name}" if folder else name


def walk_folders(root: Path, *, strict: bool) -> Iterator[Folder]:
    """Yield a folder and those below it, in order; one that links lead to is yielded twice.

    A folder that cannot be listed is an error where `strict`, and else left out.
    """
    pending: list[tuple[str, tuple[Hashable, ...]]] = [("", ())]
    first: dict[Hashable, str] = {}
    again: set[Hashable] = set()
    while pending:
        path, above = pending.pop()
        if len(above) > _DEEPEST:
            yield Folder(path, [], [], too_deep=True)
            continue
        try:
            identity, folders, files = _entries(root / path)
        except OSError as error:
            if strict:
                raise UsageError(
                    f"the folder {printable(str(root / path))} cannot be listed "
                    f"({error.strerror}); make it readable, or move it away"
                ) from error
            continue
        # A link to a folder above, or to one that two paths have led to.
        if identity in above or identity in again:
            continue
        if identity in first:
            again.add(identity)
        yield Folder(path, folders, files, first.get(identity))
        first.setdefault(identity, path)
        inner = [joined(path, name) for name in reversed(folders) if not _is_passed_over(name)]
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


@dataclass
class FileTree:
    """Images and folders by path below a root, which is the empty path.

    `folders` maps each folder to its subfolders, `images` each folder to the images in it, and
    `others` reasons to the files that are passed over.
    """

    where: str
    folders: dict[str, list[str]] = field(default_factory=lambda: {"": []})
    images: dict[str, list[str]] = field(default_factory=dict)
    sources: dict[str, StoredFile] = field(default_factory=dict)
    others: dict[str, dict[str, None]] = field(default_factory=dict)

    def add_folder(self, path: str) -> None:
        """Add a folder and those that lead to it."""
        if path not in self.folders:
            above = path.rpartition("/")[0]
            self.add_folder(above)
            self.folders[above].append(path)
            self.folders[path] = []

    def add_file(self, path: str, source: StoredFile) -> None:
        """Add a file as an image or as one that is passed over."""
        if path.rpartition("/")[2].lower() in _LITTER:
            return
        reason = _why_no_image(path, source)
        if reason:
            self.pass_over(reason, path)
            return
        self.sources[path] = source
        self.images.setdefault(path.rpartition("/")[0], []).append(path)

    def pass_over(self, reason: str, path: str) -> None:
        """Count a file, or a folder as a whole, that is not used."""
        self.others.setdefault(reason, {})[path] = None

    def inside(self, folder: str) -> list[str]:
        """Return the direct subfolders of a folder."""
        return sorted(self.folders[folder])

    def below(self, folder: str) -> list[str]:
        """Return the images at any depth below a folder."""
        found = list(self.images.get(folder, ()))
        for inner in self.folders[folder]:
            found += self.below(inner)
        return sorted(found)

    def identity(self, image: str) -> Hashable:
        """Return what all links to an image share."""
        source = self.sources[image]
        if isinstance(source, Path):
            with contextlib.suppress(OSError):
                return identity_of(source, source.stat())
        # Links in tar archives lead to the same bytes; zip archives have none.
        return source.start if isinstance(source, Member) and source.start > 0 else image

    def has_images(self, folder: str) -> bool:
        """Return whether there is an image at any depth below a folder."""
        return bool(self.images.get(folder)) or any(map(self.has_images, self.folders[folder]))

    def empty(self) -> list[str]:
        """Return the folders without images inside folders that have some."""
        return sorted(
            inner
            for folder in self.folders
            if self.has_images(folder)
            for inner in self.folders[folder]
            if not self.has_images(inner)
        )

    def copies(self) -> list[str]:
        """Return folders with the same files as those beside them, as in Kaggle's chest_xray."""
        counts: Counter[str] = Counter()
        for folder, images in self.images.items():
            path = folder
            counts[path] += len(images)
            while path:
                path = path.rpartition("/")[0]
                counts[path] += len(images)
        found = []
        for folder in filter(None, self.folders):
            above = folder.rpartition("/")[0]
            # Counts are compared first, since names are slower.
            if 0 < 2 * counts[folder] == counts[above]:
                start = len(above) + 1 if above else 0
                own = {name[len(folder) + 1 :] for name in self.below(folder)}
                every = {name[start:] for name in self.below(above)}
                if own < every and len(own) == counts[folder]:
                    found.append(folder)
        return found

    def passed_over(self) -> list[PassedOver]:
        """Return the files not recognized as images, by reason."""
        return [
            PassedOver.of(reason, sorted(names), expected=reason in _EXPECTED)
            for reason, names in self.others.items()
        ]

    def name(self, folder: str) -> str:
        """Return a folder's path with that of the root."""
        return printable(f"{self.where}/{folder}" if folder else self.where)


def read_tree(where: str, files: Path | Mapping[str, StoredFile]) -> FileTree:
    """List the images below a folder, or among the files of an archive or a URL."""
    tree = FileTree(where)
    if isinstance(files, Path):
        _add_folders(files, tree)
        return tree
    for path, source in files.items():
        parts = path.split("/")
        place = next((i for i, name in enumerate(parts[:-1]) if _is_passed_over(name)), None)
        if place is not None:
            _hide(tree, "/".join(parts[:place]), parts[place])
        elif len(parts) > _DEEPEST:
            tree.pass_over(_TOO_DEEP, path)
        else:
            tree.add_folder("/".join(parts[:-1]))
            tree.add_file(path, source)
    return tree


def _add_folders(root: Path, tree: FileTree) -> None:
    for folder in walk_folders(root, strict=True):
        if folder.too_deep:
            tree.pass_over(_TOO_DEEP, f"{folder.path}/")
            continue
        tree.add_folder(folder.path)
        for name in folder.folders:
            _hide(tree, folder.path, name)
        for name in folder.files:
            inside = joined(folder.path, name)
            tree.add_file(inside, root / inside)


def _hide(tree: FileTree, above: str, folder: str) -> None:
    """Count a hidden folder once; litter is not counted."""
    if folder.startswith(".") and folder.lower() not in _LITTER:
        tree.pass_over(_HIDDEN, f"{joined(above, folder)}/")


def _why_no_image(path: str, source: StoredFile) -> str:
    """Return why a file is passed over, or nothing of an image."""
    name = PurePosixPath(path)
    suffix = name.suffix.lower()
    if name.name.startswith("."):
        return _HIDDEN
    if isinstance(source, Member) and source.is_dangling:
        return "linked to what is not in the archive"
    if suffix in SUFFIXES:
        return ""
    # Hospitals name DICOM files by numbers such as 1.2.840.113619, or give them no suffix.
    likely = suffix == "" or suffix[1:].isdigit()
    if suffix in _NO_IMAGES:
        return _BY_SUFFIX
    # A request for each file behind a URL would take hours.
    if isinstance(source, RemoteFile) and not likely:
        return "with a suffix that featx does not read"
    beginning = read_beginning(source)
    if begins_as_image(beginning):
        return ""
    if is_other_image(beginning):
        return "in image formats that featx does not read (save them as PNG)"
    return "not recognized as images" if beginning else "empty or unreadable"
