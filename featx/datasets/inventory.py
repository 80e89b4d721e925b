"""Inventory of a collection: what was found when it was opened, and what was passed over."""

from __future__ import annotations

import dataclasses
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from featx.datasets.words import SPLITS
from featx.errors import printable

logger = logging.getLogger(__name__)

_MOST_EXAMPLES = 10
# Cyrillic and Greek letters that are drawn as Latin ones.
_LOOK_LATIN = str.maketrans(
    "АВЕКМНОРСТХаеорсухΑΒΕΖΗΙΚΜΝΟΡΤΥΧο",  # noqa: RUF001
    "ABEKMHOPCTXaeopcyxABEZHIKMNOPTYXo",
)


@dataclass(frozen=True)
class PassedOver:
    """Hold files or rows that are not used, for one reason.

    Examples
    --------
    >>> PassedOver.of("not an image that featx reads", ["a/1.webp", "a/2.webp", "b/x"]).text
    '3 files not an image that featx reads: 2 .webp, 1 without suffix'
    """

    reason: str
    count: int
    # At most ten.
    examples: tuple[str, ...] = ()
    # Number by suffix, such as ``{".webp": 6}``.
    kinds: Mapping[str, int] = field(default_factory=dict)
    # Or "rows".
    unit: str = "files"
    # Whether such files are usual beside images, as hidden ones are.
    expected: bool = False

    @classmethod
    def of(
        cls,
        reason: str,
        names: Sequence[str],
        unit: str = "files",
        kinds: Counter[str] | None = None,
        *,
        expected: bool = False,
    ) -> PassedOver:
        """Count names, and by suffix where they are files, unless other kinds are given."""
        if kinds is None:
            suffixes = (PurePosixPath(name).suffix.lower() for name in names)
            kinds = Counter(suffixes if unit == "files" else ())
        examples = tuple(names[:_MOST_EXAMPLES])
        return cls(reason, len(names), examples, dict(kinds.most_common()), unit, expected)

    @property
    def text(self) -> str:
        """Number, reason and suffixes, or the first example."""
        unit = self.unit if self.count != 1 else self.unit.removesuffix("s")
        text = f"{self.count:,} {unit} {self.reason}"
        kinds = [f"{n:,} {name or 'without suffix'}" for name, n in self.kinds.items()]
        shown = kinds[:5] or list(self.examples[:3])
        more = ", ..." if shown and not kinds and self.count > len(shown) else ""
        return printable(f"{text}{': ' if shown else ''}{', '.join(shown)}{more}")


@dataclass(frozen=True)
class Inventory:
    """Hold what was found when a collection was opened, and what was passed over or looks odd.

    `counts` are images by class and split, ``""`` being none; the number of patients is None where
    they are unknown. Labels, splits and patients come from ``"folder names"``,
    ``"column 'label'"``, ``"rule 'kermany'"``, ..., or ``""`` where there are none.

    Examples
    --------
    >>> counts = {"ill": {"": 2}, "well": {"": 3}}
    >>> print(Inventory("xrays", counts, labels_from="folder names").text)
    xrays: 5 images: ill 2, well 3
      labels: folder names; positive class: well; patients: unknown
    """

    where: str
    counts: Mapping[str, Mapping[str, int]]
    n_patients: int | None = None
    labels_from: str = ""
    splits_from: str = ""
    patients_from: str = ""
    passed_over: tuple[PassedOver, ...] = ()
    similar_classes: tuple[tuple[str, ...], ...] = ()
    similar_patients: tuple[tuple[str, ...], ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def n_images(self) -> int:
        """Number of images."""
        return sum(sum(splits.values()) for splits in self.counts.values())

    @property
    def positive(self) -> str:
        """The positive class of two, otherwise nothing."""
        classes = sorted(filter(None, self.counts))
        return classes[-1] if len(classes) == 2 else ""

    @property
    def summary(self) -> str:
        """Classes, splits, and where they come from."""
        totals = {name: sum(by.values()) for name, by in self.counts.items()}
        lines = [f"{self.where}: {self.n_images:,} images: {_listed(totals)}"]
        splits = list(dict.fromkeys(split for by in self.counts.values() for split in by))
        for split in splits if any(splits) else ():
            inside = {name: by[split] for name, by in self.counts.items() if split in by}
            lines.append(f"{split or 'no split'}: {sum(inside.values()):,}: {_listed(inside)}")
        return "\n  ".join([*map(printable, lines), *self.facts])

    @property
    def facts(self) -> list[str]:
        """Origins of labels, splits and patients, and files that are passed over as expected."""
        passed = [f"passed over: {each.text}" for each in self.passed_over if each.expected]
        return [printable(line) for line in [*self._origins(), *passed]]

    @property
    def warnings(self) -> list[str]:
        """What is missing or doubtful, a fact a line."""
        lines = [f"passed over: {each.text}" for each in self.passed_over if not each.expected]
        for what, groups in (
            ("classes", self.similar_classes),
            ("patients", self.similar_patients),
        ):
            if groups:
                spelled = "; ".join(" = ".join(map(repr, group)) for group in groups[:3])
                more = f" and {len(groups) - 3:,} more" if len(groups) > 3 else ""
                lines.append(f"{what} that look alike: {spelled}{more}")
        return [printable(line) for line in [*lines, *self.remarks]]

    def _origins(self) -> list[str]:
        """Return where labels, splits and patients come from, in one line."""
        known = [
            f"{what}: {origin}"
            for what, origin in (
                ("labels", self.labels_from),
                ("positive class", self.positive),
                ("splits", self.splits_from),
            )
            if origin
        ]
        if self.n_patients is not None:
            origin = f" by {self.patients_from}" if self.patients_from else ""
            known.append(f"patients: {self.n_patients:,}{origin}")
        elif self.labels_from:
            known.append("patients: unknown")
        return ["; ".join(known)] if known else []

    @property
    def text(self) -> str:
        """Summary and warnings in a few lines."""
        return "\n  ".join([self.summary, *self.warnings])

    def log(self) -> None:
        """Log the summary, and a warning of what is missing or doubtful."""
        logger.info(self.summary)
        if self.warnings:
            logger.warning(f"{printable(self.where)}: " + "\n  ".join(self.warnings))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without the folders that lead to the collection."""
        name = PurePosixPath(self.where.replace("\\", "/")).name
        return {**dataclasses.asdict(self), "where": name}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Inventory:
        """Read what `to_dict` returned, also from JSON."""
        known = {n: _frozen(values[n]) for n in cls.__dataclass_fields__ if n in values}
        known["passed_over"] = tuple(
            PassedOver(**{name: _frozen(value) for name, value in each.items()})
            for each in known.get("passed_over", ())
        )
        return cls(**known)


def _frozen(value: Any) -> Any:
    """Return lists in lists as tuples, as they were before JSON."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def summarize(images: Any) -> str:
    """Describe classes, patients and splits of a data set or a matrix in one line."""
    labels, n = images.labels, len(images.labels)
    classes = [*zip(images.class_names, range(len(images.class_names)), strict=True)]
    if (labels < 0).any():
        classes.append(("unlabeled", -1))
    counts = ", ".join(f"{name} {(labels == code).sum():,}" for name, code in classes)
    number = len(np.unique(images.patients))
    patients = f"{number:,} patients" if images.patients_known else "patients unknown"
    sizes = [(name or "no split", int((images.splits == name).sum())) for name in SPLITS]
    splits = ", ".join(f"{name} {size:,}" for name, size in sizes if size)
    text = f"{n:,} images: {counts}; {patients}" if n else "no images"
    return f"{text}; {splits}" if any(images.splits) else text


def look_alike(names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Group names that differ only in case, spaces, separators, leading zeros or encoding.

    Examples
    --------
    >>> look_alike(["No Finding", "no_finding", "P7", "p007", "-1.0", "1", "+", "-"])
    (('No Finding', 'no_finding'), ('P7', 'p007'))
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        groups.setdefault(_plain(name), []).append(name)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _plain(name: str) -> str:
    text = unicodedata.normalize("NFKC", name.translate(_LOOK_LATIN)).casefold().strip()
    text = re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"\.0+$", "", text))
    # Signs tell apart: 'COVID+' and 'COVID-', 1 and -1.
    return " ".join(re.findall(r"[^\W_]+|\+|^-|-$", text))


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name or 'unlabeled'} {n:,}" for name, n in counts.items())
