"""Images of a collection as found, before rules are applied and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.datasets.inventory import Inventory, PassedOver, look_alike
from featx.datasets.paths import posix
from featx.datasets.rules import OpeningRules
from featx.datasets.tables.cells import text_of
from featx.datasets.words import SPLITS
from featx.errors import UsageError
from featx.images.sources import Source
from featx.metrics.labels import check_codes, check_of_rows, is_missing

# Where labels or splits come from, if from folders.
FOLDER_NAMES = "folder names"


@dataclass
class Listing:
    """Names, sources, labels, splits and patients as found, before they are checked.

    Rules for patients and labels search names without `shared`, the folders around all images;
    names `as_given` in a table or list are searched as plain paths. The fields after these become
    the `Inventory`: sources such as ``"folder names"`` and ``"column 'label'"``, and files or rows
    that are not used.
    """

    names: list[str]
    sources: list[Source]
    labels: list[str]
    splits: list[str]
    patients: list[str] | None
    where: str
    shared: str = ""
    as_given: bool = False
    labels_from: str = ""
    splits_from: str = ""
    patients_from: str = ""
    columns: dict[str, list[str]] = field(default_factory=dict)
    passed_over: list[PassedOver] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def searched(self) -> list[str]:
        """Names as rules search them."""
        names = map(posix, self.names) if self.as_given else self.names
        return [name.removeprefix(self.shared) for name in names]

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
            columns={name: [cells[i] for i in kept] for name, cells in self.columns.items()},
            passed_over=[
                *self.passed_over,
                *([PassedOver.of("of labels to leave out", left_out)] if left_out else []),
            ],
        )

    def check_classes(self, class_names: Sequence[str]) -> None:
        """Refuse fewer than two classes, and a class missing from training or test images."""
        if len(class_names) < 2:
            found = f"only the class {class_names[0]!r}" if class_names else "no class"
            by_folder = self.labels_from in ("", FOLDER_NAMES)
            remedy = (
                "Put the images of each class into a folder of its own"
                if by_folder
                else "Add images of another class, or correct the labels"
            )
            raise UsageError(
                f"{self.where} has {found}{'' if by_folder else f' by {self.labels_from}'}, and at "
                "least two are needed (of two, the alphabetically last is the positive one). "
                f"{remedy}"
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

    def check_known(self, class_names: Sequence[str], option: str) -> None:
        """Refuse labels that are none of the classes; `option` renames labels."""
        others = sorted(set(self.labels) - {"", *class_names})
        if others:
            pairs = ",".join(f"{name}:CLASS" for name in others)
            raise UsageError(
                f"{self.where} has images of class {', '.join(map(repr, others))}; the classes "
                f"here are {', '.join(class_names)}. Rename them: {option}{pairs}, "
                "each CLASS one of these, or nothing to leave its images out"
            )

    def check_splits(self) -> None:
        """Refuse unknown splits."""
        unknown = sorted(set(self.splits) - set(SPLITS))
        if unknown:
            raise UsageError(
                f"{self.where} has a split {unknown[0]!r}; use train, val, test or none"
            )

    def take_inventory(self, patients: Sequence[str] | None, rules: OpeningRules) -> Inventory:
        """Count what was found; `patients` are those that the rules gave, None if unknown."""
        counts: dict[str, dict[str, int]] = {}
        pairs = Counter(zip(self.labels, self.splits, strict=True))
        for (label, split), count in sorted(pairs.items()):
            counts.setdefault(label, {})[split] = count
        patients_from = ""
        if patients is not None:
            in_headers = self.patients is None and str(rules.patients).lower() == "dicom"
            by_rule = "DICOM headers" if in_headers else f"rule '{rules.patients}'"
            patients_from = by_rule if self.patients is None else self.patients_from
            patients_from += ", hashed" if in_headers or rules.hash_patients is not None else ""
        return Inventory(
            where=self.where,
            counts=counts,
            n_patients=None if patients is None else len(set(patients)),
            labels_from=self.labels_from,
            splits_from=self.splits_from,
            patients_from=patients_from,
            passed_over=tuple(self.passed_over),
            similar_classes=look_alike(self.labels),
            similar_patients=look_alike(patients or ()),
            remarks=tuple(self.remarks),
        )


def list_arrays(
    arrays: Sequence[npt.NDArray] | npt.NDArray,
    labels: Sequence[str | int] | npt.NDArray | None,
    class_names: Sequence[str] | None,
    patients: Sequence[str] | npt.NDArray | None,
    splits: Sequence[str] | npt.NDArray | None,
    columns: Mapping[str, Sequence[Any] | npt.NDArray],
) -> Listing:
    """List the arguments of `ImageDataset.from_arrays`."""
    count = len(arrays)
    given = {"labels": labels, "patients": patients, "splits": splits}
    given |= {f"values of {name}": values for name, values in columns.items()}
    for what, values in given.items():
        if values is not None and len(values) != count:
            raise UsageError(f"there are {count} images but {len(values)} {what}")
    if labels is not None and class_names is not None and np.asarray(labels).dtype.kind in "biuf":
        codes = check_codes(labels, len(class_names), unknown=True)
        labels = np.array([*class_names, ""], dtype=object)[codes]
    if patients is not None:
        patients = check_of_rows("patients", patients, count)
    blank = [""] * count
    return Listing(
        names=[f"array-{number:06d}" for number in range(count)],
        sources=[np.asarray(array) for array in arrays],
        labels=blank
        if labels is None
        else ["" if is_missing(label) else str(label) for label in labels],
        splits=blank if splits is None else [str(split) for split in splits],
        patients=None if patients is None else [str(patient) for patient in patients],
        where="the arrays given",
        labels_from="" if labels is None else "given labels",
        splits_from="" if splits is None else "given splits",
        patients_from="" if patients is None else "given patients",
        columns={name: [*map(text_of, values)] for name, values in columns.items()},
    )
