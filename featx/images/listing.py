"""Which images a folder or a CSV file names."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy.typing as npt

from featx.errors import UsageError
from featx.images.reading import SUFFIXES

__all__ = ["Listing", "list_csv", "list_folder"]

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

# What the Finder and file servers leave beside images.
_LITTER = ("__MACOSX",)


@dataclass
class Listing:
    """Images by name, before classes and patients are made of it."""

    names: list[str]
    sources: list[Path | npt.NDArray]
    labels: list[str]
    splits: list[str]
    patients: list[str] | None
    where: str

    def check_classes(self, class_names: Sequence[str]) -> None:
        """Refuse what no classifier can be trained on.

        Raises
        ------
        UsageError
            If there are fewer than two classes, or a split lacks one.
        """
        if len(class_names) < 2:
            found = f"only the class {class_names[0]!r}" if class_names else "no class"
            raise UsageError(
                f"{self.where} has {found}; put the images of each class into a folder of its own, "
                "at least two (of two, the last in the alphabet is the positive one)"
            )
        counts = Counter(zip(self.splits, self.labels, strict=True))
        for split in sorted(set(self.splits)):
            for name in class_names:
                if counts[split, name] == 0:
                    raise UsageError(
                        f"{self.where}: the split {split or '(none)'!r} has no image of class "
                        f"{name!r}; every split needs every class"
                    )


def list_folder(root: Path, labelled: bool) -> Listing:
    """List the images below a folder.

    Parameters
    ----------
    root : Path
        Class folders, or split folders that hold them; a single folder around them is looked
        through, as unpacked archives often have one.
    labelled : bool
        If false, folder names mean nothing.

    Raises
    ------
    UsageError
        If it is no folder, or holds no image.
    """
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise UsageError(f"{root} {problem}; give the folder that holds the images")
    listing = Listing([], [], [], [], None, str(root))
    top = _unwrap(root) if labelled else root
    if not labelled:
        _add(listing, top, top, "", "")
    else:
        for split, folder in _split_folders(top):
            for class_folder in _folders(folder):
                before = len(listing.names)
                _add(listing, top, class_folder, class_folder.name, split)
                if len(listing.names) == before:
                    raise UsageError(
                        f"the class folder {class_folder} has no image "
                        f"({', '.join(sorted(SUFFIXES))}); add some, or move the folder elsewhere"
                    )
    if not listing.names:
        raise UsageError(_nothing_found(root, labelled))
    return listing


def _unwrap(root: Path) -> Path:
    folders = _folders(root)
    if len(folders) == 1 and folders[0].name.lower() not in SPLIT_WORDS and _folders(folders[0]):
        return _unwrap(folders[0])
    return root


def _folders(parent: Path) -> list[Path]:
    return sorted(
        path
        for path in parent.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in _LITTER
    )


def _split_folders(top: Path) -> list[tuple[str, Path]]:
    folders = _folders(top)
    if folders and all(folder.name.lower() in SPLIT_WORDS for folder in folders):
        return [(SPLIT_WORDS[folder.name.lower()], folder) for folder in folders]
    return [("", top)]


def _add(listing: Listing, root: Path, folder: Path, label: str, split: str) -> None:
    for path in sorted(_files(folder), key=lambda path: path.relative_to(root).as_posix()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            listing.names.append(path.relative_to(root).as_posix())
            listing.sources.append(path)
            listing.labels.append(label)
            listing.splits.append(split)


def _files(folder: Path) -> Iterator[Path]:
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            # A link back to a folder above.
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _LITTER]
        yield from (Path(parent, name) for name in files)


def _nothing_found(root: Path, labelled: bool) -> str:
    others = Counter(path.suffix.lower() or "(no suffix)" for path in _files(root))
    seen = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(4))
    hint = f" (it has {seen})" if seen else " (it is empty)"
    loose = labelled and any(suffix in SUFFIXES for suffix in others)
    what = (
        "has images but no class folders; put each class into a folder of its own"
        if loose
        else f"has no image of a kind that featx reads: {', '.join(sorted(SUFFIXES))}"
    )
    return f"{root} {what}{hint}"


def list_csv(path: Path, labelled: bool, patients: str | None = None) -> Listing:
    """List the images that a CSV file names.

    Parameters
    ----------
    path : Path
        With a header; columns ``path``, ``label`` and optionally ``patient``, ``split``.
    labelled : bool
        Whether the column ``label`` is needed.
    patients : str, optional
        A column to take patients from, if there is one of this name.

    Raises
    ------
    UsageError
        If the file, a column, or an image that it names is missing.
    """
    rows, columns = _read_rows(path)
    for column in ("path", "label") if labelled else ("path",):
        if column not in columns:
            raise UsageError(
                f"{path} has no column {column!r} (it has: {', '.join(columns) or 'none'}); the "
                "columns are path, label, and optionally patient, split"
            )
    files = [path.parent / row["path"] for row in rows]
    missing = [file for file in files if not file.exists()]
    if missing:
        raise UsageError(
            f"{path} names {len(missing):,} files that do not exist, {missing[0]} for one; paths "
            "are relative to the CSV file's folder"
        )
    patient_column = patients if patients in columns else "patient"
    # Absolute paths would carry the names of this machine's folders into matrices.
    root = os.path.commonpath([file.parent.absolute() for file in files])
    return Listing(
        names=[Path(os.path.relpath(file, root)).as_posix() for file in files],
        sources=list(files),
        labels=[row["label"] if labelled else "" for row in rows],
        splits=[_split_word(row.get("split") or "") for row in rows],
        patients=[row[patient_column] for row in rows] if patient_column in columns else None,
        where=str(path),
    )


def _read_rows(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    if not path.exists():
        raise UsageError(f"{path} does not exist; give a CSV file with columns path, label")
    try:
        # A byte-order mark, which spreadsheets write, is not part of the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = list(reader.fieldnames or [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a CSV file in UTF-8 ({error})") from error
    if not rows:
        raise UsageError(f"{path} lists no image")
    return rows, columns


def _split_word(text: str) -> str:
    return SPLIT_WORDS.get(text.strip().lower(), text.strip())
