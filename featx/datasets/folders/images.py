"""Images of a folder, an archive or a URL, with classes and splits by folder name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from featx.datasets.folders.layout import Group, group_folders, say_subfolders, unwrap
from featx.datasets.folders.tree import FileTree, StoredFile, read_tree
from featx.datasets.inventory import PassedOver
from featx.datasets.listing import FOLDER_NAMES, Listing
from featx.datasets.rules import OpeningRules
from featx.errors import UsageError, listed
from featx.images.reading import SUFFIXES


def list_files(where: str, files: Path | Mapping[str, StoredFile], rules: OpeningRules) -> Listing:
    """List the images below a folder, or among the files of an archive or a URL."""
    tree = read_tree(where, files)
    groups = group_folders(tree, rules.by_class, rules.complete)
    shared = unwrap(tree) if rules.complete else ""
    remarks = []
    if rules.by_class is None and len({group.label for group in groups}) < 2:
        remarks.append(f"labels are unknown: {_without_classes(groups)}")
        groups = group_folders(tree, False, rules.complete)
    remarks += say_subfolders(tree, groups)
    listing = Listing([], [], [], [], None, tree.where, shared and f"{shared}/", remarks=remarks)
    remarks += [f"{folder} seems to be a copy" for folder in tree.copies()]
    if empty := tree.empty():
        remarks.append(f"no image in {listed(empty, 5)}")
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
    listing.labels_from = FOLDER_NAMES if any(listing.labels) else ""
    listing.splits_from = FOLDER_NAMES if any(listing.splits) else ""
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
    """Return images to which several links lead; refuse those under two classes or splits."""
    first: dict[Hashable, tuple[str, Group]] = {}
    again = set()
    for group in groups:
        for name in tree.below(group.folder):
            other, known = first.setdefault(tree.identity(name), (name, group))
            if known != group:
                raise UsageError(
                    f"{tree.name(other)} and {tree.name(name)} are the same file, reached by a "
                    "link, under different classes or splits. Remove one of them"
                )
            if other != name:
                again.add(name)
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
