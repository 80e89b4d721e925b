"""The audit of the images, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.audit.duplicates import exact_pairs, join_patients, near_pairs
from featx.audit.fingerprints import Fingerprints, take_fingerprints
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError

__all__ = ["LEAKS", "Audit", "Finding", "Inspection", "audit_split", "inspect_images", "leaking"]

# What is done where something tested was trained on.
LEAKS = ("error", "drop", "allow")

Pairs = list[tuple[int, int]]
Mask = npt.NDArray[np.bool_]

_MOST_EXAMPLES = 10

# A class whose share differs by more between training and test makes accuracies hard to compare.
_SHARE_APART = 0.1


@dataclass(frozen=True)
class Finding:
    """One thing that a reader of the table should know of the images."""

    kind: str
    severity: str
    count: int
    text: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """What was found, and whether leaks were allowed."""

    findings: tuple[Finding, ...]
    allowed: bool

    @property
    def leaks(self) -> list[Finding]:
        """Findings that make scores too good."""
        return [finding for finding in self.findings if finding.severity == "leak"]

    def check(self) -> None:
        """Refuse leaks unless they were allowed."""
        if not self.leaks or self.allowed:
            return
        told = [f"{leak.text} Such as {'; '.join(leak.examples[:3])}." for leak in self.leaks]
        raise UsageError(
            f"what is tested has been trained on, so every score would be too good. "
            f"{' '.join(told)} Go on with --leaks drop (leaks='drop'), which leaves them out of "
            "training, or with --leaks allow, and the table will say so"
        )

    def notes(self) -> list[str]:
        """Sentences for the foot of the table."""
        leaks = [f"LEAK: {leak.text} Every score is flattered by it." for leak in self.leaks]
        others = [f.text for f in self.findings if f.severity == "warning"]
        return [*leaks, *others]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``run.json``."""
        findings = [{**vars(f), "examples": list(f.examples)} for f in self.findings]
        return {"findings": findings, "allowed": self.allowed}


@dataclass(frozen=True, eq=False)
class Inspection:
    """Images and external sets, looked at once.

    Parameters
    ----------
    owners : ndarray of str, shape (n_images,)
        Patients as they were given.
    """

    images: ImageDataset
    owners: npt.NDArray[np.str_]
    externals: dict[str, ImageDataset]
    fingerprints: Fingerprints
    exact: Pairs
    near: Pairs

    @property
    def classes(self) -> list[str]:
        """The class of each image, those of external sets after the others."""
        sets = [self.images, *self.externals.values()]
        return [own.class_names[label] for own in sets for label in own.labels]

    @property
    def names(self) -> list[str]:
        """Names of all images, those of external sets with the set's name before."""
        others = [f"{name}: {image}" for name, s in self.externals.items() for image in s.names]
        return [*self.images.names, *others]

    def unreadable(self) -> dict[str, str]:
        """Why images cannot be decoded, by name."""
        names = self.names
        return {names[index]: reason for index, reason in self.fingerprints.unreadable.items()}


def inspect_images(
    images: ImageDataset, externals: Mapping[str, ImageDataset] | None = None
) -> Inspection:
    """Decode all images once, and find copies among them."""
    sets = {"": images, **(externals or {})}
    parts = [take_fingerprints(part, f"Auditing {name or 'images'}") for name, part in sets.items()]
    fingerprints = Fingerprints.join(parts)
    # Blank films are copies of each other, but nobody is known by one.
    blank = fingerprints.constant
    exact = [pair for pair in exact_pairs(fingerprints.contents) if not blank[pair[0]]]
    near = near_pairs(list(sets.values()), fingerprints)
    own = [pair for pair in exact + near if max(pair) < len(images)]
    joined = replace(images, patients=join_patients(images.patients, own)) if own else images
    return Inspection(joined, images.patients, dict(externals or {}), fingerprints, exact, near)


def audit_split(
    inspection: Inspection,
    in_test: Mask,
    *,
    allow_leaks: bool = False,
    dropped: Mask | None = None,
) -> Audit:
    """Judge a split of inspected images.

    Parameters
    ----------
    in_test : ndarray of bool, shape (n_images,)
        Which images are for the test.
    dropped : ndarray of bool, shape (n_images,), optional
        Which images were left out of training, from `leaking`.
    """
    out = np.zeros_like(in_test) if dropped is None else dropped
    in_training = ~in_test & ~out
    sides = _sides(in_test, out)
    for name, external in inspection.externals.items():
        sides += [f"external set {name}"] * len(external)
    exact = _expand(inspection.exact)
    findings = [
        *_copies_across(inspection, sides, "exact-duplicates-across", "pixel-identical", exact),
        *_copies_across(
            inspection, sides, "near-duplicates-across", "nearly the same", inspection.near
        ),
        *_patients_across(inspection.owners, in_test, in_training),
        *_left_out(inspection, out),
        *_labels_differ(inspection, exact + inspection.near),
        *_copies_within(inspection, sides, exact + inspection.near),
        *_odd_images(inspection),
        _class_shares(inspection.images, in_test, in_training),
    ]
    return Audit(tuple(findings), allow_leaks)


def leaking(inspection: Inspection, in_test: Mask) -> Mask:
    """Find the training images that tell of what is tested.

    Parameters
    ----------
    in_test : ndarray of bool, shape (n_images,)
        Which images are for the test.

    Returns
    -------
    ndarray of bool, shape (n_images,)
        Copies of images of the test or of an external set, and images of tested patients.
    """
    n = len(in_test)
    found = np.isin(inspection.owners, np.unique(inspection.owners[in_test]))
    tested = np.ones(len(inspection.names), dtype=bool)
    tested[:n] = in_test
    for pair in _expand(inspection.exact) + inspection.near:
        for one, other in (pair, pair[::-1]):
            if one < n and tested[other]:
                found[one] = True
    return found & ~in_test


def _sides(in_test: Mask, dropped: Mask) -> list[str]:
    words = np.where(in_test, "test", np.where(dropped, "left out", "training"))
    return words.tolist()


def _expand(exact: Pairs) -> Pairs:
    """Pair all images of one content with each other, not just with the first."""
    groups: dict[int, list[int]] = {}
    for first, other in exact:
        groups.setdefault(first, [first]).append(other)
    return [
        (one, another)
        for group in groups.values()
        for place, one in enumerate(group)
        for another in group[place + 1 :]
    ]


def _copies_across(
    inspection: Inspection, sides: list[str], kind: str, how: str, pairs: Pairs
) -> list[Finding]:
    names = inspection.names
    across: dict[str, list[str]] = {}
    for i, j in pairs:
        if "training" in (sides[i], sides[j]) and sides[i] != sides[j]:
            seen, tested = (i, j) if sides[i] == "training" else (j, i)
            across.setdefault(sides[tested], []).append(f"{names[seen]} = {names[tested]}")
    return [
        Finding(
            kind,
            "leak",
            len(copies),
            f"{_count(len(copies), 'pair')} of {how} images {_stand(len(copies))} on both sides of "
            f"the split, training and {side}.",
            tuple(copies[:_MOST_EXAMPLES]),
        )
        for side, copies in across.items()
    ]


def _patients_across(
    owners: npt.NDArray[np.str_], in_test: Mask, in_training: Mask
) -> list[Finding]:
    shared = np.intersect1d(owners[in_test], owners[in_training]).tolist()
    if not shared:
        return []
    text = (
        f"{_count(len(shared), 'patient')} {_stand(len(shared))} on both sides of the split, "
        "training and test."
    )
    examples = tuple(f"patient {name}" for name in shared[:_MOST_EXAMPLES])
    return [Finding("patients-across", "leak", len(shared), text, examples)]


def _left_out(inspection: Inspection, dropped: Mask) -> list[Finding]:
    names = [inspection.names[index] for index in np.flatnonzero(dropped)]
    if not names:
        return []
    text = (
        f"{_count(len(names), 'training image')} {'was' if len(names) == 1 else 'were'} left out: "
        "copies of tested images, or images of tested patients."
    )
    return [Finding("leaks-left-out", "warning", len(names), text, tuple(names[:_MOST_EXAMPLES]))]


def _labels_differ(inspection: Inspection, pairs: Pairs) -> list[Finding]:
    names, classes = inspection.names, inspection.classes
    apart = [
        f"{names[i]} ({classes[i]}) = {names[j]} ({classes[j]})"
        for i, j in pairs
        if classes[i] != classes[j]
    ]
    if not apart:
        return []
    have = "has" if len(apart) == 1 else "have"
    text = f"{_count(len(apart), 'pair')} of copies {have} two classes: one label is wrong."
    return [Finding("labels-differ", "warning", len(apart), text, tuple(apart[:_MOST_EXAMPLES]))]


def _copies_within(inspection: Inspection, sides: list[str], pairs: Pairs) -> list[Finding]:
    names = inspection.names
    within = [f"{names[i]} = {names[j]}" for i, j in pairs if sides[i] == sides[j]]
    if not within:
        return []
    text = (
        f"{_count(len(within), 'pair')} of images on one side of the split are copies; patients "
        "who share one are kept together."
    )
    return [
        Finding(
            "duplicates-within", "information", len(within), text, tuple(within[:_MOST_EXAMPLES])
        )
    ]


def _odd_images(inspection: Inspection) -> list[Finding]:
    names = inspection.names
    unreadable = [f"{name}: {reason}" for name, reason in inspection.unreadable().items()]
    constant = [names[index] for index in np.flatnonzero(inspection.fingerprints.constant)]
    findings = []
    if unreadable:
        text = f"{_count(len(unreadable), 'image')} could not be read and were left out."
        examples = tuple(unreadable[:_MOST_EXAMPLES])
        findings.append(Finding("unreadable", "warning", len(unreadable), text, examples))
    if constant:
        text = f"{_count(len(constant), 'image')} have the same intensity everywhere."
        examples = tuple(constant[:_MOST_EXAMPLES])
        findings.append(Finding("constant", "warning", len(constant), text, examples))
    return findings


def _class_shares(images: ImageDataset, in_test: Mask, in_training: Mask) -> Finding:
    k = len(images.class_names)
    training, test = (
        np.bincount(images.labels[side], minlength=k) / side.sum()
        for side in (in_training, in_test)
    )
    apart = np.abs(training - test).max() > _SHARE_APART

    def listed(shares: npt.NDArray[np.float64]) -> str:
        parts = zip(images.class_names, shares, strict=True)
        return ", ".join(f"{100 * share:.1f} % {name}" for name, share in parts)

    text = f"Training images are {listed(training)}; test images are {listed(test)}."
    return Finding("class-share", "warning" if apart else "information", k, text)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _stand(number: int) -> str:
    return "stands" if number == 1 else "stand"
