"""Images of a folder, an archive or a URL, with classes and splits by folder name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from featx.datasets.file_tree import FileTree, StoredFile, read_tree
from featx.datasets.folder_layout import Group, group_folders, split_word, unwrap
from featx.datasets.inventory import PassedOver
from featx.errors import UsageError
from featx.images.reading import SUFFIXES
from featx.images.sources import Source

__all__ = ["Listing", "list_files", "list_folder", "shared_folder", "split_word"]


@dataclass
class Listing:
    """Names, sources, labels, splits and patients as found, before they are checked.

    Rules for patients and labels search names without `shared`, the folders around all images. The
    fields after it become the `Inventory`: sources such as ``"folder names"`` and ``"column
    'label'"``, and files or rows that are not used.
    """

    names: list[str]
    sources: list[Source]
    labels: list[str]
    splits: list[str]
    patients: list[str] | None
    where: str
    shared: str = ""
    labels_from: str = ""
    splits_from: str = ""
    patients_from: str = ""
    passed_over: list[PassedOver] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def searched(self) -> list[str]:
        """Names as rules search them."""
        return [name.removeprefix(self.shared) for name in self.names]

    def rename_labels(self, renamed: Mapping[str, str]) -> Listing:
        """Return the images under new labels, without those whose new label is empty."""
        unknown = sorted(set(renamed) - set(self.labels))
        if unknown:
            found = ", ".join(sorted(set(self.labels)))
            raise UsageError(
                f"{self.where} has no label {unknown[0]!r} to rename (it has: {found})"
            )
        labels = [renamed.get(label, label) for label in self.labels]
        kept = [i for i, label in enumerate(labels) if label or not self.labels[i]]
        left_out = [self.names[i] for i in set(range(len(labels))).difference(kept)]
        return replace(
            self,
            names=[self.names[i] for i in kept],
            sources=[self.sources[i] for i in kept],
            labels=[labels[i] for i in kept],
            splits=[self.splits[i] for i in kept],
            patients=None if self.patients is None else [self.patients[i] for i in kept],
            passed_over=[
                *self.passed_over,
                *([PassedOver.of("of labels to leave out", left_out)] if left_out else []),
            ],
        )

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


def list_folder(root: Path, by_class: bool | None, by_split: bool) -> Listing:
    """List the images below a folder; labels are optional where `by_class` is None."""
    return _list(read_tree(str(root), root), by_class, by_split)


def list_files(
    where: str, files: Mapping[str, StoredFile], by_class: bool | None, by_split: bool
) -> Listing:
    """List the images among files of an archive or a URL, by their folders."""
    return _list(read_tree(where, files), by_class, by_split)


def _list(tree: FileTree, by_class: bool | None, by_split: bool) -> Listing:
    groups = group_folders(tree, by_class, by_split)
    shared = unwrap(tree) if by_split else ""
    remarks = []
    if by_class is None and len({group.label for group in groups}) < 2:
        remarks.append(f"labels are unknown: {_without_classes(groups)}")
        groups, by_class = [Group("", "", "")], False
    listing = Listing([], [], [], [], None, tree.where, shared and f"{shared}/", remarks=remarks)
    remarks += [f"{folder} seems to be a copy" for folder in tree.copies()]
    if empty := tree.empty():
        more = f" and {len(empty) - 5:,} more folders" if len(empty) > 5 else ""
        remarks.append(f"no image in {', '.join(empty[:5])}{more}")
    again = _linked_twice(tree, groups)
    used: set[str] = set()
    for group in groups:
        found = [name for name in tree.below(group.folder) if name not in again]
        if group.label and not found:
            raise UsageError(
                f"the class folder {tree.name(group.folder)} has no image"
                f"{_in_words(tree, group.folder)}; add some, or remove the folder"
            )
        used.update(found)
        listing.names += found
        listing.sources += [tree.sources[name] for name in found]
        listing.labels += [group.label] * len(found)
        listing.splits += [group.split] * len(found)
    if not listing.names:
        raise UsageError(_nothing_found(tree))
    listing.labels_from = "folder names" if any(listing.labels) else ""
    listing.splits_from = "folder names" if any(listing.splits) else ""
    listing.passed_over = tree.passed_over()
    for reason, names in (
        ("beside the folders of classes and splits", sorted(set(tree.sources) - used - again)),
        ("reached by links a second time", sorted(again)),
    ):
        if names:
            folders = Counter(name.rpartition("/")[0] or "." for name in names)
            listing.passed_over.append(PassedOver.of(reason, names, kinds=folders))
    return listing


def _without_classes(groups: Sequence[Group]) -> str:
    names = ", ".join(group.folder for group in groups)
    return f"the only class folder is {names}" if groups else "there are no class folders"


def _linked_twice(tree: FileTree, groups: Sequence[Group]) -> set[str]:
    """Return images of folders that links lead to again; refuse those under two classes."""
    again: set[str] = set()
    for folder, other in tree.links:
        images = tree.below(other)
        first, second = (
            next((group for group in groups if group.holds(path)), None) for path in (folder, other)
        )
        if images and first != second:
            raise UsageError(
                f"{tree.name(folder)} and {tree.name(other)} are the same folder, reached by a "
                "link, under different classes or splits. Remove one of them"
            )
        again.update(images)
    return again


def _in_words(tree: FileTree, folder: str) -> str:
    """Return the kinds of files below a folder that are passed over, in parentheses."""
    start = f"{folder}/" if folder else ""
    names = [name for each in tree.others.values() for name in each if name.startswith(start)]
    others = Counter(PurePosixPath(name).suffix.lower() or "without suffix" for name in names)
    seen = ", ".join(f"{count:,} {suffix}" for suffix, count in others.most_common(4))
    return f" (it has {seen})" if seen else " (it is empty)"


def _nothing_found(tree: FileTree) -> str:
    if tree.sources:
        return (
            f"{tree.where} has {len(tree.sources):,} images but no class folders; put each class "
            "into a folder of its own, or list the images in a table with columns path, label"
        )
    kinds = ", ".join(sorted(SUFFIXES))
    return f"{tree.where} has no image of a kind that featx reads, {kinds}{_in_words(tree, '')}"
