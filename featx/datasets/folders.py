"""Images of a folder, an archive or a URL, with classes and splits by folder name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from featx.datasets.inventory import PassedOver
from featx.errors import UsageError
from featx.images.dicom.reader import is_dicom
from featx.images.reading import SUFFIXES
from featx.images.sources import Source, read_beginning

__all__ = ["Listing", "list_files", "list_folder", "split_word"]

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

# Folders that operating systems add.
_IGNORED_FOLDERS = ("__MACOSX",)


@dataclass
class Listing:
    """Names, sources, labels, splits and patients as found, before they are checked.

    The other fields become the `Inventory`: sources such as ``"folder names"`` and ``"column
    'label'"``, and files or rows that are not used.
    """

    names: list[str]
    sources: list[Source]
    labels: list[str]
    splits: list[str]
    patients: list[str] | None
    where: str
    labels_from: str = ""
    splits_from: str = ""
    patients_from: str = ""
    passed_over: list[PassedOver] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def check_classes(self, class_names: Sequence[str]) -> None:
        """Refuse fewer than two classes, and a class missing from training or test images."""
        if len(class_names) < 2:
            found = f"only the class {class_names[0]!r}" if class_names else "no class"
            raise UsageError(
                f"{self.where} has {found}; put the images of each class into a folder of its own, "
                "at least two (of two, the alphabetically last is the positive one)"
            )
        # Images of 'train', 'val' and no split are all training images.
        for splits in ({"test"}, set(self.splits) - {"test"}):
            pairs = zip(self.splits, self.labels, strict=True)
            present = {label for split, label in pairs if split in splits}
            missing = sorted(set(class_names) - present)
            if present and missing:
                named = ", ".join(filter(None, sorted(splits))) or "(none)"
                raise UsageError(
                    f"{self.where}: the split {named!r} has no image of class {missing[0]!r}; "
                    "training and testing both need every class"
                )


def list_folder(root: Path, by_class: bool, by_split: bool) -> Listing:
    """List the images below a folder."""
    tree = _Tree(str(root), set(), {})
    for parent, names in _walk(root):
        inside = parent.relative_to(root).as_posix()
        inside = "" if inside == "." else inside
        tree.add_folder(inside)
        for name in names:
            tree.files[f"{inside}/{name}" if inside else name] = parent / name
    return _arrange(tree, by_class, by_split)


def list_files(where: str, files: Mapping[str, Source], by_class: bool, by_split: bool) -> Listing:
    """List the images among files of an archive or a URL, by their folders."""
    tree = _Tree(where, set(), {})
    for name, source in files.items():
        parts = name.split("/")
        if not any(part.startswith(".") or part in _IGNORED_FOLDERS for part in parts[:-1]):
            tree.add_folder("/".join(parts[:-1]))
            tree.files[name] = source
    return _arrange(tree, by_class, by_split)


@dataclass
class _Tree:
    """Folders and files by path below a root; the root is the empty path."""

    where: str
    folders: set[str]
    files: dict[str, Source]

    def add_folder(self, path: str) -> None:
        while path and path not in self.folders:
            self.folders.add(path)
            path = path.rpartition("/")[0]

    def inside(self, folder: str) -> list[str]:
        """Return the direct subfolders of a folder."""
        return sorted(path for path in self.folders if path.rpartition("/")[0] == folder)

    def below(self, folder: str) -> list[str]:
        """Return the images at any depth below a folder."""
        start = f"{folder}/" if folder else ""
        return sorted(
            name
            for name, source in self.files.items()
            if name.startswith(start) and _is_image(name, source)
        )


def _is_image(name: str, source: Source) -> bool:
    path = PurePosixPath(name)
    if path.name.startswith(".") or path.name == "DICOMDIR":
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    # Hospitals name DICOM files by numbers such as 1.2.840.113619, or give them no suffix.
    no_suffix = path.suffix == "" or path.suffix[1:].isdigit()
    return no_suffix and not isinstance(source, np.ndarray) and is_dicom(read_beginning(source))


def _arrange(tree: _Tree, by_class: bool, by_split: bool) -> Listing:
    top = _unwrap(tree, "") if by_class or by_split else ""
    parts = _split_folders(tree, top) if by_class or by_split else [("", top)]
    groups = [(folder, "", split) for split, folder in parts]
    if by_class:
        groups = [
            (inner, inner.rpartition("/")[2], split)
            for split, folder in parts
            for inner in tree.inside(folder)
        ]
    listing = Listing([], [], [], [], None, tree.where)
    for folder, label, split in groups:
        found = tree.below(folder)
        if label and not found:
            raise UsageError(
                f"the class folder {tree.where}/{folder} has no image "
                f"({', '.join(sorted(SUFFIXES))}); add some, or remove the folder"
            )
        listing.names += [name.removeprefix(f"{top}/") for name in found]
        listing.sources += [tree.files[name] for name in found]
        listing.labels += [label] * len(found)
        listing.splits += [split] * len(found)
    if not listing.names:
        raise UsageError(_nothing_found(tree, by_class))
    listing.labels_from = "folder names" if by_class else ""
    listing.splits_from = "folder names" if any(listing.splits) else ""
    return listing


def _unwrap(tree: _Tree, top: str) -> str:
    """Skip single folders around the class or split folders."""
    folders = tree.inside(top)
    if len(folders) != 1 or _split_of(folders[0]) or not tree.inside(folders[0]):
        return top
    return _unwrap(tree, folders[0])


def _split_folders(tree: _Tree, top: str) -> list[tuple[str, str]]:
    folders = tree.inside(top)
    splits = [_split_of(folder) for folder in folders]
    return list(zip(splits, folders, strict=True)) if splits and all(splits) else [("", top)]


def _split_of(folder: str) -> str:
    return SPLIT_WORDS.get(folder.rpartition("/")[2].lower(), "")


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    seen = set()
    for parent, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            # A link to a folder above.
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name not in _IGNORED_FOLDERS
        )
        yield Path(parent), files


def _nothing_found(tree: _Tree, by_class: bool) -> str:
    others = Counter(PurePosixPath(name).suffix.lower() or "(no suffix)" for name in tree.files)
    seen = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(4))
    hint = f" (it has {seen})" if seen else " (it is empty)"
    what = (
        "has images but no class folders; put each class into a folder of its own"
        if by_class and tree.below("")
        else f"has no image of a kind that featx reads: {', '.join(sorted(SUFFIXES))}"
    )
    return f"{tree.where} {what}{hint}"


def split_word(text: str) -> str:
    """Return the split that a word names, or the word itself."""
    return SPLIT_WORDS.get(text.strip().lower(), text.strip())
