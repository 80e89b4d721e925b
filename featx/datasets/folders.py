"""Images of a folder, an archive or a URL, and which folders are classes, splits, or neither."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from featx.datasets.file_tree import FileTree, StoredFile, read_tree
from featx.datasets.inventory import PassedOver, look_alike
from featx.datasets.listing import FOLDER_NAMES, Listing
from featx.datasets.rules import OpeningRules
from featx.datasets.tables.cells import clean
from featx.datasets.words import (
    WORDS_OF_SPLITS,
    has_digit,
    last_of,
    says_nothing,
    says_other_pictures,
    says_split,
    split_of,
)
from featx.errors import UsageError, listed, printable
from featx.images.archives import Member
from featx.images.reading import SUFFIXES

_OUT = (
    "list the images in a table with columns path, label and optionally split (docs: Use your own "
    "images and tables)"
)
# What file managers add to the name of a copy.
_COPIED = re.compile(r"[ _-]*(\(\d+\)|\b(copy|copia|kopie|copie)\b.*)$", re.IGNORECASE)
# More numbered folders than this are no classes.
_MOST_NUMBERED = 20
_MOST_CLASSES = 5


@dataclass(frozen=True)
class Group:
    """A folder whose images, at any depth, have one label and split."""

    folder: str
    label: str
    split: str

    def holds(self, path: str) -> bool:
        """Return whether a path is this folder or below it."""
        return not self.folder or path == self.folder or path.startswith(f"{self.folder}/")


def list_files(where: str, files: Path | Mapping[str, StoredFile], rules: OpeningRules) -> Listing:
    """List the images below a folder, or among the files of an archive or a URL."""
    tree = read_tree(where, files)
    groups = _group_folders(tree, rules.by_class, rules.complete)
    shared = _unwrap(tree) if rules.complete else ""
    remarks = []
    if rules.by_class is None and len({group.label for group in groups}) < 2:
        only = "the only class folder is " + ", ".join(group.folder for group in groups)
        why = only if groups else "there are no class folders"
        remarks.append(f"labels are unknown: {why}")
        groups = _group_folders(tree, False, rules.complete)
    remarks += _say_subfolders(tree, groups)
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


def _group_folders(tree: FileTree, by_class: bool | None, by_split: bool) -> list[Group]:
    """Find the folders of classes and splits; an empty list if there are no class folders.

    Where `by_class` is None, folders that name no class are not refused.
    """
    _check_other_pictures(tree)
    if by_class is False and not by_split:
        return [Group("", "", "")]
    top = _unwrap(tree)
    splits = _split_folders(tree, top)
    if not splits:
        groups = _split_inside(tree, [Group(each, last_of(each), "") for each in tree.inside(top)])
        if by_class is False:
            groups = [replace(each, label="") for each in groups]
            return groups if any(each.split for each in groups) else [Group("", "", "")]
    elif by_class is not False:
        groups = [
            Group(inner, last_of(inner), split.split)
            for split in splits
            for inner in tree.inside(_unwrap(tree, split.folder))
        ]
    else:
        return splits
    if by_class is None and groups and all(says_nothing(last_of(each.folder)) for each in groups):
        return []
    _check_labels(tree, groups)
    _check_subfolders(tree, groups, top)
    # As a table's cells are cleaned, so that classes of both are the same.
    return [replace(group, label=printable(clean(group.label) or group.label)) for group in groups]


def _unwrap(tree: FileTree, top: str = "") -> str:
    """Skip single folders around the class or split folders."""
    folders = tree.inside(top)
    if len(folders) != 1 or split_of(folders[0]) or not tree.inside(folders[0]):
        return top
    return _unwrap(tree, folders[0])


def _split_folders(tree: FileTree, top: str) -> list[Group]:
    """Return the split folders in a folder, or none if it has none; refuse a mixture."""
    folders = tree.inside(top)
    splits = [Group(folder, "", split_of(folder)) for folder in folders]
    named = [each.folder for each in splits if each.split or says_split(each.folder)]
    if not named:
        return []
    others = [folder for folder in folders if folder not in named]
    if others:
        copies = [folder for folder in tree.copies() if folder in others]
        said = f" {tree.name(copies[0])} seems to be a copy of the others." if copies else ""
        raise UsageError(
            f"{tree.name(top)} has {_listed(named)} beside {_listed(others)}, so which folders are "
            f"splits and which are classes is unclear.{said} {_give(tree)} the folder that "
            f"is meant, move {_listed(others)} away, or {_OUT}"
        )
    unclear = [each.folder for each in splits if not each.split]
    if unclear:
        raise UsageError(
            f"{tree.name(top)} has {_listed(unclear)}, which could be training, validation or test "
            f"images. Rename each to train, val or test; or {_OUT}"
        )
    for split in WORDS_OF_SPLITS:
        same = [each.folder for each in splits if each.split == split]
        if len(same) > 1:
            raise UsageError(
                f"{tree.name(top)} has {_listed(same)}, which all say the split {split!r}. Put "
                f"their images into one folder, rename the others, or {_OUT}"
            )
    return splits


def _split_inside(tree: FileTree, classes: list[Group]) -> list[Group]:
    """Return the split folders in class folders, if every class has only these."""
    found = {each: _split_folders(tree, each.folder) for each in classes}
    with_splits = [each.folder for each, splits in found.items() if splits]
    if not with_splits:
        return classes
    plain = [each.folder for each, splits in found.items() if not splits]
    loose = [each.folder for each in classes if tree.images.get(each.folder)]
    if plain or loose:
        raise UsageError(
            f"{tree.name(with_splits[0])} has {_listed(tree.inside(with_splits[0]))}, but "
            f"{_listed(plain or loose)} has images outside such folders, so the splits are "
            f"unclear. Sort every class into train, val and test; or {_OUT}"
        )
    parts = [replace(part, label=each.label) for each, parts in found.items() for part in parts]
    order = list(WORDS_OF_SPLITS)
    return sorted(parts, key=lambda part: (order.index(part.split), part.label))


def _check_labels(tree: FileTree, groups: Sequence[Group]) -> None:
    """Refuse folders as classes whose names say that they are none."""
    labels = list(dict.fromkeys(group.label for group in groups))
    alike = look_alike(labels)
    if alike:
        raise UsageError(
            f"the class folders {', '.join(map(ascii, alike[0]))} of {tree.where} differ only in "
            "how they are written. Give them one name"
        )
    for says, what in (
        (says_split, "speak of splits"),
        (says_other_pictures, "speak of pictures drawn from radiographs"),
        (says_nothing, "name no class"),
        (lambda label: _COPIED.sub("", label) in {*labels} - {label}, "look like copies of others"),
        (_numbered(labels), "are numbered like patients or studies"),
    ):
        wrong = [label for label in labels if says(label)]
        # A single folder of images is reported as a missing class.
        if wrong and len(labels) > 1:
            raise UsageError(
                f"the folders of {tree.where} would be classes, but {_listed(wrong)} {what}. "
                f"{_give(tree)} the folder whose subfolders are the classes; or --labels REGEX, "
                f"searched in each path; or {_OUT}"
            )


def _numbered(labels: Sequence[str]) -> Callable[[str], bool]:
    patterns = {re.sub(r"\d+", "#", label) for label in labels}
    numbered = len(labels) > _MOST_NUMBERED and len(patterns) == 1
    return lambda _: numbered


def _check_subfolders(tree: FileTree, groups: Sequence[Group], top: str) -> None:
    """Refuse subfolders that recur in several classes under different names."""
    named: dict[int, dict[str, set[str]]] = {}
    inner = {frozenset(map(last_of, tree.inside(group.folder))) for group in groups}
    # Alike in every class and few, numbers are rather classes than patients.
    few = len(inner) == 1 and 1 < len(next(iter(inner))) <= _MOST_CLASSES
    for group in groups:
        for folder, depth in _with_depth(tree, group.folder):
            own = last_of(folder) if depth else ""
            name = re.sub(r"[\W\d_]+", " ", own).strip()
            if not has_digit(own) or (few and depth == 1 and own.isdigit()):
                name = name or own
            elif len(name) <= 2:
                # The initial of patients, as in p1.
                name = ""
            if name and tree.has_images(folder):
                named.setdefault(depth, {}).setdefault(name, set()).add(group.label)
            if tree.images.get(folder):
                named.setdefault(depth + 1, {}).setdefault("", set()).add(group.label)
    for _, labels_of in sorted(named.items()):
        recurring = sorted(name for name, labels in labels_of.items() if len(labels) > 1)
        if len(recurring) > 1:
            beside = " beside images" if "" in recurring else ""
            example = groups[0]
            raise UsageError(
                f"the class folders {_listed(each.folder for each in groups)} of {tree.where} each "
                f"have the subfolders {_listed(filter(None, recurring))}{beside}. If they differ "
                f"in kind, give the folder to use or {_OUT}. If all are radiographs, --labels "
                f"takes the class from its place in the path: {_pattern(example, top)!r} for "
                f"{printable(example.label)!r}, '([^/]+)/[^/]+$' for the innermost folder"
            )


def _say_subfolders(tree: FileTree, groups: Sequence[Group], most: int = 5) -> list[str]:
    """Say which classes are made of a few named subfolders, as bacteria and virus."""
    said = []
    for group in groups:
        inner = [folder for folder in tree.inside(group.folder) if tree.has_images(folder)]
        kinds = len(inner) + bool(tree.images.get(group.folder))
        if group.label and inner and 1 < kinds <= most and not any(map(has_digit, inner)):
            said.append(f"{group.folder} includes the images in {_listed(inner)}")
    return said[:most]


def _pattern(group: Group, top: str) -> str:
    """Return the regular expression that takes the label from its place below `top`."""
    above = group.folder.removeprefix(f"{top}/").split("/")
    while above.pop() != group.label:
        pass
    return "^" + "[^/]+/" * len(above) + "([^/]+)/"


def _with_depth(tree: FileTree, folder: str, depth: int = 0) -> Iterator[tuple[str, int]]:
    yield folder, depth
    for inner in tree.inside(folder):
        yield from _with_depth(tree, inner, depth + 1)


def _check_other_pictures(tree: FileTree) -> None:
    """Refuse masks and other drawn pictures beside images."""
    odd: list[str] = []
    usual: list[str] = []
    for folder in tree.images:
        parts = folder.split("/") if folder else []
        place = next((i for i, part in enumerate(parts) if says_other_pictures(part)), None)
        (usual if place is None else odd).append("/".join(parts[: (place or 0) + 1]))
    if odd and usual:
        raise UsageError(
            f"{tree.where} has pictures in {printable(listed(dict.fromkeys(odd), 6))} that are no "
            f"radiographs by the folder's name, beside images elsewhere. {_give(tree)} the "
            f"folder of the images, move the other pictures away, or {_OUT}"
        )


def _give(tree: FileTree) -> str:
    packed = any(isinstance(source, Member) for source in tree.sources.values())
    return "Unpack it and give" if packed else "Give"


def _listed(folders: Iterable[str]) -> str:
    return printable(listed(map(last_of, folders), 6))


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
