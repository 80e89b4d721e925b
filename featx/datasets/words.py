"""Meaning of the names of folders: splits, pictures that are no radiographs, or no class."""

from __future__ import annotations

import re

SPLITS = ("train", "val", "test", "")

WORDS_OF_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validate", "validation", "dev"),
    "test": ("test", "testing", "holdout", "hold out"),
}
_WORDS = {word: split for split, words in WORDS_OF_SPLITS.items() for word in words}
# Names of splits that could be more than one, so that they are refused.
_UNCLEAR_SPLITS = frozenset({"fold", "split", "cv", "eval", "evaluation", "trainval"})
_OTHER_PICTURE = re.compile(
    "annotat(?:ed|ions?)|augment(?:ed|ations?)|bbox(?:es)?|contours?|figures?|gradcam|groundtruth|"
    "heatmaps?|masks?|outputs?|overlays?|plots?|predictions?|previews?|results?|saliency|"
    "screenshots?|segment(?:ed|ations?)|thumb(?:nail)?s?"
)
# Names of any folder of images, and of persons if they are numbered.
_IMAGES = re.compile(
    "backups?|batch|chunk|cxr|data|dataset|dir|export|files?|folder|images?|imgs?|jpe?g|parts?|"
    "pictures?|png|radiographs?|scans?|series|te?mp|todo|unlabell?ed|unsorted|xrays?"
)
_PERSON = re.compile("cases?|patients?|stud(?:y|ies)|subjects?")


def split_of(name: str) -> str:
    """Return the split that a folder's name says, or nothing.

    Examples
    --------
    >>> [split_of(name) for name in ("a/Train", "test_set", "dev", "train2", "x/NORMAL")]
    ['train', 'test', 'val', '', '']
    """
    words = [word for word in _words(name) if word not in ("set", "data", "images", "split")]
    return "" if has_digit(name) else _WORDS.get(" ".join(words), "")


def says_split(name: str) -> bool:
    """Return whether a name speaks of splits, and of nothing else."""
    words = [
        word
        for word in _words(name)
        if not _IMAGES.fullmatch(word) and word not in ("set", "stage")
    ]
    return bool(words) and all(word in _WORDS or word in _UNCLEAR_SPLITS for word in words)


def says_other_pictures(folder: str) -> bool:
    """Return whether a name is that of masks or other drawn pictures."""
    return any(map(_OTHER_PICTURE.fullmatch, _words(folder)))


def says_nothing(name: str) -> bool:
    """Return whether a name is that of any images, or of a numbered patient."""
    words = _words(name)
    known = bool(words) and all(_IMAGES.fullmatch(w) or _PERSON.fullmatch(w) for w in words)
    return known and (has_digit(name) or any(map(_IMAGES.fullmatch, words)))


def has_digit(folder: str) -> bool:
    """Return whether a folder's own name has a digit."""
    return any(letter.isdigit() for letter in last_of(folder))


def last_of(folder: str) -> str:
    """Return a folder's own name, without those above."""
    return folder.rpartition("/")[2]


def _words(folder: str) -> list[str]:
    """Return the words of a folder's own name.

    Examples
    --------
    >>> _words("xrays/stage_2_trainImages")
    ['stage', 'train', 'images']
    """
    spaced = re.sub(r"([a-z])([A-Z][a-z])", r"\1 \2", last_of(folder))
    return re.findall(r"[^\W\d_]+", spaced.lower())
