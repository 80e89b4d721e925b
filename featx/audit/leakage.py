"""Audit of images before training: leakage between training and test, duplicates, odd images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.audit.duplicates import exact_pairs, join_patients, near_pairs
from featx.audit.findings import Finding, leak_error, make_finding
from featx.audit.fingerprints import Fingerprints, take_fingerprints
from featx.audit.pixels import pixel_findings
from featx.datasets.dataset import ImageDataset
from featx.images.pixel_facts import CONSTANT

Pairs = list[tuple[int, int]]
Mask = npt.NDArray[np.bool_]

# Accuracies are hard to compare where a class's proportion differs by more.
_PROPORTION_TOLERANCE = 0.1


@dataclass(frozen=True)
class Audit:
    """Findings of an audit, and whether leaks are allowed."""

    findings: tuple[Finding, ...]
    allowed: bool

    @property
    def leaks(self) -> list[Finding]:
        """Findings that make scores too good."""
        return [finding for finding in self.findings if finding.severity == "leak"]

    @property
    def warnings(self) -> list[Finding]:
        """Findings that a reader of the table should know."""
        return [finding for finding in self.findings if finding.severity == "warning"]

    def check(self) -> None:
        """Raise `UsageError` for leaks unless they are allowed."""
        if not self.leaks or self.allowed:
            return
        raise leak_error(
            "test images leak into training, so every score would be too good",
            self.leaks,
            "leave them out of training",
            "continue with a note below the table",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for ``run.json``."""
        return {"findings": [f.to_dict() for f in self.findings], "allowed": self.allowed}


@dataclass(frozen=True, eq=False)
class Inspection:
    """Images and external validation sets with their fingerprints and duplicates."""

    # Patients who share an image have one name in it.
    images: ImageDataset
    # As given.
    patients: npt.NDArray[np.str_]
    externals: dict[str, ImageDataset]
    fingerprints: Fingerprints
    # All pairs; indices of external sets follow those of the images.
    exact: Pairs
    near: Pairs

    @property
    def pairs(self) -> Pairs:
        """All pairs of duplicates."""
        return self.exact + self.near

    @property
    def classes(self) -> list[str]:
        """Class of each image, external sets after the others."""
        sets = [self.images, *self.externals.values()]
        return [each.class_names[label] for each in sets for label in each.labels]

    @property
    def names(self) -> list[str]:
        """Name of each image, in external sets after the name of the set."""
        others = [f"{name}: {image}" for name, s in self.externals.items() for image in s.names]
        return [*self.images.names, *others]

    def restricted(
        self, images: ImageDataset, externals: dict[str, ImageDataset], kept: Mask
    ) -> Inspection:
        """Return what is known of some images, perhaps with other labels.

        The mask is of all images, those of external sets after the others.
        """
        places = np.cumsum(kept) - 1

        def among(pairs: Pairs) -> Pairs:
            return [(int(places[i]), int(places[j])) for i, j in pairs if kept[i] and kept[j]]

        return Inspection(
            images=images,
            patients=self.patients[kept[: len(self.patients)]],
            externals=externals,
            fingerprints=self.fingerprints.select(kept),
            exact=among(self.exact),
            near=among(self.near),
        )

    def readable(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Return which images can be decoded, by set: all under ``""``, external ones by name."""
        found = np.ones(len(self.fingerprints), dtype=bool)
        found[list(self.fingerprints.unreadable)] = False
        sizes = [len(self.images), *map(len, self.externals.values())]
        masks = np.split(found, np.cumsum(sizes)[:-1])
        return dict(zip(["", *self.externals], masks, strict=True))

    def unreadable(self) -> dict[str, str]:
        """Return why images cannot be decoded, by name."""
        names = self.names
        return {names[index]: reason for index, reason in self.fingerprints.unreadable.items()}


def inspect_images(
    images: ImageDataset, externals: Mapping[str, ImageDataset] | None = None
) -> Inspection:
    """Decode all images once and find duplicates among them."""
    externals = dict(externals or {})
    sets = [images, *externals.values()]
    fingerprints = take_fingerprints(sets)
    # Blank images are equal, but do not identify a patient.
    blank = (fingerprints.facts & CONSTANT) > 0
    exact = [pair for pair in exact_pairs(fingerprints.contents) if not blank[pair[0]]]
    near = near_pairs(sets, fingerprints)
    own = [pair for pair in exact + near if max(pair) < len(images)]
    joined = replace(images, patients=join_patients(images.patients, own)) if own else images
    return Inspection(joined, images.patients, externals, fingerprints, exact, near)


def audit_split(
    inspection: Inspection, in_test: Mask, in_train: Mask, *, allow_leaks: bool = False
) -> Audit:
    """Audit a split of inspected images; those of neither mask were left out of training."""
    left_out = ~in_test & ~in_train
    parts = np.select([in_test, in_train], ["test", "training"], "left out").tolist()
    for name, external in inspection.externals.items():
        parts += [f"external set {name}"] * len(external)
    names, classes, pairs = inspection.names, inspection.classes, inspection.pairs
    patients = inspection.patients
    shared = np.intersect1d(patients[in_test], patients[in_train]).tolist()
    known = inspection.images.patients_known
    links = "duplicates or patients" if known else "duplicates"
    gone = [names[i] for i in np.flatnonzero(left_out)]
    differing = [
        f"{names[i]} ({classes[i]}) = {names[j]} ({classes[j]})"
        for i, j in pairs
        if classes[i] != classes[j]
    ]
    within = [f"{names[i]} = {names[j]}" for i, j in pairs if parts[i] == parts[j]]
    unreadable = [f"{name}: {reason}" for name, reason in inspection.unreadable().items()]
    findings = [
        *_duplicates_across(names, parts, "exact-duplicates-across", inspection.exact),
        *_duplicates_across(names, parts, "near-duplicates-across", inspection.near),
        *make_finding("patients-across", "leak", [f"patient {name}" for name in shared]),
        *_sets_overlap(inspection, parts),
        *_patients_joined(inspection),
        *make_finding("leaks-left-out", "warning", gone, {"links": links}),
        *make_finding("labels-differ", "warning", differing),
        *make_finding("duplicates-within", "information", within),
        *make_finding("unreadable", "warning", unreadable),
        *pixel_findings(names, inspection.fingerprints.facts),
        *_depths_differ(inspection),
        _class_proportions(inspection.images, in_test, in_train),
    ]
    return Audit(tuple(findings), allow_leaks)


def find_leaks(inspection: Inspection, in_test: Mask) -> Mask:
    """Find the images that a chain of patients and duplicates connects with evaluated images.

    Those are the images of the test set and of external sets.
    """
    n = len(in_test)
    # Patients who share an image have one name here, also along chains.
    patients = inspection.images.patients
    tainted = in_test.copy()
    for i, j in inspection.pairs:
        if min(i, j) < n <= max(i, j):
            tainted[min(i, j)] = True
    return np.isin(patients, patients[tainted]) & ~in_test


def _duplicates_across(
    names: list[str], parts: list[str], kind: str, pairs: Pairs
) -> list[Finding]:
    """Find duplicates between training and what is evaluated, which images left out are not."""
    across: dict[str, list[str]] = {}
    for i, j in pairs:
        if "training" in (parts[i], parts[j]) and not {parts[i], parts[j]} <= {
            "training",
            "left out",
        }:
            train, test = (i, j) if parts[i] == "training" else (j, i)
            across.setdefault(parts[test], []).append(f"{names[train]} = {names[test]}")
    return [
        finding
        for part, examples in across.items()
        for finding in make_finding(kind, "leak", examples, {"set": part})
    ]


def _sets_overlap(inspection: Inspection, parts: list[str]) -> list[Finding]:
    """Find what external sets share with the other images, besides duplicates of training images.

    Two hospitals may number patients alike, so that equal names are no proof of a leak.
    """
    found = []
    names, n = inspection.names, len(inspection.images)
    shared: dict[tuple[str, str], list[str]] = {}
    for i, j in inspection.pairs:
        if (
            max(i, j) >= n
            and parts[i] != parts[j]
            and not {"training", "left out"} & {parts[i], parts[j]}
        ):
            shared.setdefault((parts[i], parts[j]), []).append(f"{names[i]} = {names[j]}")
    for pair, examples in shared.items():
        details = dict(zip(("first", "second"), pair, strict=True))
        found += make_finding("duplicates-between-sets", "warning", examples, details)
    patients: dict[str, set[str]] = {}
    if inspection.images.patients_known:
        for part, patient in zip(parts, inspection.patients.tolist(), strict=False):
            if part != "left out":
                patients.setdefault(part, set()).add(patient)
    for name, external in inspection.externals.items():
        if external.patients_known:
            patients[f"external set {name}"] = set(external.patients.tolist())
    for one, other in combinations(patients, 2):
        if other not in ("training", "test"):
            examples = [f"patient {name}" for name in sorted(patients[one] & patients[other])]
            details = {"first": one, "second": other}
            found += make_finding("patients-between-sets", "warning", examples, details)
    return found


def _patients_joined(inspection: Inspection) -> list[Finding]:
    if not inspection.images.patients_known:
        return []
    given, counted = inspection.patients, inspection.images.patients
    names = [f"patient {name}" for name in np.unique(given[given != counted]).tolist()]
    return make_finding("patients-joined", "information", names)


def _depths_differ(inspection: Inspection) -> list[Finding]:
    depths = inspection.fingerprints.depths[: len(inspection.images)]
    found, counts = np.unique(depths[depths > 0], return_counts=True)
    if len(found) < 2:
        return []
    others = np.flatnonzero((depths > 0) & (depths != found[counts.argmax()]))
    counted = zip(found.tolist(), counts.tolist(), strict=True)
    details = {"depths": ", ".join(f"{bits} bits: {count:,}" for bits, count in counted)}
    names = [inspection.names[index] for index in others]
    return make_finding("depths-differ", "warning", names, details)


def _class_proportions(images: ImageDataset, in_test: Mask, in_train: Mask) -> Finding:
    k = len(images.class_names)
    training, test = (
        np.bincount(images.labels[part], minlength=k) / part.sum() for part in (in_train, in_test)
    )
    shifted = np.abs(training - test).max() > _PROPORTION_TOLERANCE
    details = {
        "training": dict(zip(images.class_names, training.tolist(), strict=True)),
        "test": dict(zip(images.class_names, test.tolist(), strict=True)),
    }
    severity = "warning" if shifted else "information"
    return Finding("class-share", severity, k, details=details)
