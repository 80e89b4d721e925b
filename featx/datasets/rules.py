"""Rules by which images of any form are opened."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from featx.errors import UsageError, check_names

PATIENT = "patient"
ROLES = ("path", "label", PATIENT, "split")
UNCERTAIN = ("positive", "negative", "skip")

# Before a field of DICOM headers, in place of a table's column.
IN_HEADER = "dicom:"


@dataclass(frozen=True)
class OpeningRules:
    """Set how labels, patients, splits and files are found when images are opened.

    Every function that opens images takes these by name. Pairs may also be written as text.

    Parameters
    ----------
    patients, labels, labeled, class_names, root, positive, uncertain, skip_problems, hash_patients
        As in `ImageDataset.open`.
    columns : mapping of str to str, or str, default={}
        Columns of a table by role, also as text: ``"path=Filename,label=Finding"``.
    keep_columns : sequence of str, or str, default=()
        Further columns to keep, also as text: ``"age,sex"``; they are roles of `columns`, too.
    rename_labels : mapping of str to str, or str, default={}
        New name of each label to rename, also as text: ``"No_finding:NORMAL"``; an empty name
        leaves the images of a label out.
    findings : sequence of str, or str, default=()
        Findings to read from a table, each as a column of `ImageDataset.columns`; ``"all"`` for
        all of them. Images then have no labels.
    external : str, default=""
        Name of the external set that is opened.
    inherited : frozenset of str, default=frozenset()
        Rules taken over from the main set, which apply where the external set has nothing of its
        own.

    Raises
    ------
    UsageError
        If a role of `columns` or a value of `uncertain` is unknown.

    Examples
    --------
    >>> OpeningRules.of(columns="path=Filename,patient=Patient ID").columns
    {'path': 'Filename', 'patient': 'Patient ID'}
    """

    patients: str | None = None
    labels: str | None = None
    labeled: bool | None = True
    class_names: Sequence[str] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    keep_columns: Sequence[str] = ()
    root: str | os.PathLike[str] | None = None
    positive: str | None = None
    uncertain: str | None = None
    skip_problems: bool = False
    rename_labels: Mapping[str, str] = field(default_factory=dict)
    hash_patients: str | None = field(default=None, repr=False)
    findings: Sequence[str] = ()
    external: str = ""
    inherited: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", read_columns(self.columns))
        object.__setattr__(self, "rename_labels", read_pairs(self.rename_labels))
        object.__setattr__(self, "findings", read_names(self.findings))
        self._check_kept()
        self._check_findings()
        check_names("role of a column", self.columns, (*ROLES, *self.keep_columns))
        check_names("meaning of uncertain labels", filter(None, [self.uncertain]), UNCERTAIN)
        if self.labels is not None and self.positive is not None:
            raise UsageError(
                f"labels are given twice, by the rule {self.labels!r} for paths and by the finding "
                f"{self.positive!r} of a table; leave out --labels or --positive"
            )

    @classmethod
    def of(cls, **rules: Any) -> OpeningRules:
        """Return the rules that are given by name; pairs may be texts, and None is the default."""
        check_names("rule to open images by", rules, cls.__dataclass_fields__)
        given = {n: value for n, value in rules.items() if value is not None or n == "labeled"}
        return cls(**given)

    @classmethod
    def take(cls, settings: dict[str, Any], **rules: Any) -> OpeningRules:
        """Take rules out of settings by name, and add others."""
        names = [n for n in cls.__dataclass_fields__ if n in settings and n not in rules]
        return cls.of(**{name: settings.pop(name) for name in names}, **rules)

    def _check_kept(self) -> None:
        object.__setattr__(self, "keep_columns", read_names(self.keep_columns))
        for name in self.keep_columns:
            if name in ROLES:
                raise UsageError(
                    f"the column {name!r} is that of each image's {name}; name another column"
                )
        for role, name in self.columns.items():
            if role in ROLES and name.startswith(IN_HEADER):
                raise UsageError(
                    f"{role}={name}: of {', '.join(ROLES)}, only patients are read from DICOM "
                    "headers, by --patients dicom"
                )

    def _check_findings(self) -> None:
        replacing = ("labels", "positive", "rename_labels")
        other = next((name for name in replacing if getattr(self, name)), None)
        if self.findings and other is not None:
            raise UsageError(
                f"findings are of a table's own labels, and {other} would replace them; leave out "
                f"--findings or --{other.replace('_', '-')}"
            )
        both = sorted({*self.findings} & {*self.keep_columns})
        if both:
            raise UsageError(f"{both[0]!r} is a finding and a column to keep or join; name it once")

    @property
    def header_fields(self) -> dict[str, str]:
        """Columns to keep that are in DICOM headers, with their fields."""
        found = {name: self.columns.get(name, name) for name in self.keep_columns}
        start = IN_HEADER
        return {n: each[len(start) :] for n, each in found.items() if each.startswith(start)}

    @property
    def by_class(self) -> bool | None:
        """Whether folders or columns name the classes; None where they need not."""
        return self.labeled if self.labels is None and not self.findings else False

    @property
    def complete(self) -> bool:
        """Whether patients and splits matter, as they do of labeled images."""
        return self.labeled is not False

    def check_no_table(self, where: str) -> None:
        """Refuse rules that only tables have."""
        fields_only = {*self.columns} <= {*self.header_fields}
        for name in ("columns", "root", "positive", "uncertain", "findings"):
            if name == "columns" and fields_only:
                continue
            if getattr(self, name) and name not in self.inherited:
                raise UsageError(
                    f"{where} is not a table, and --{name.replace('_', '-')} is for tables only; "
                    "leave it out"
                )
        missing = [name for name in self.keep_columns if name not in self.header_fields]
        if missing and not self.external:
            raise UsageError(
                f"{where} is not a table, and has no column {missing[0]!r}; list its images in a "
                "table that has it, or name a field of DICOM headers: --columns "
                f"{missing[0]}={IN_HEADER}KEYWORD"
            )

    def option(self, name: str, value: str) -> str:
        """Write the option that changes a rule, for messages."""
        if self.external:
            return f"--external-{name} {self.external}={value}"
        return f"--{'rename-labels' if name == 'labels' else name} {value}"

    @property
    def patient_remedy(self) -> str:
        """What to give instead of a rule for patients that does not fit, for messages."""
        if not self.external:
            return ""
        return (
            f"the external set a rule of its own, {self.option('patients', 'REGEX')} "
            f"({self.option('patients', 'none')} if its patients are unknown)"
        )

    def for_external(self, name: str, **own: Any) -> OpeningRules:
        """Return the rules of an external set: its own, otherwise those of the main set."""
        given = {rule: value for rule, value in own.items() if value is not None}
        inherited = frozenset(each.name for each in fields(self)) - set(given)
        if given.get("patients") == "none":
            given["patients"] = None
        # Another set has other folders and other labels.
        others: dict[str, Any] = {"root": None, "rename_labels": {}}
        return replace(self, **others | given, external=name, inherited=inherited)


def read_names(names: str | Sequence[str]) -> tuple[str, ...]:
    """Read names once each, given as a sequence or separated by commas.

    Examples
    --------
    >>> read_names("age, sex,age")
    ('age', 'sex')
    """
    items = names.split(",") if isinstance(names, str) else names
    return tuple(dict.fromkeys(filter(None, map(str.strip, items))))


def read_columns(pairs: Any) -> dict[str, str]:
    """Read ``path=Filename,label=Finding``, or a mapping."""
    return read_pairs(pairs, "=")


def read_pairs(pairs: Any, separator: str = ":") -> dict[str, str]:
    """Read a mapping, or ``NAME=VALUE,NAME=VALUE`` with quotes around a pair that holds commas.

    Examples
    --------
    >>> read_pairs('path=File,"label=Finding, main"', "=")
    {'path': 'File', 'label': 'Finding, main'}
    """
    if not isinstance(pairs, str):
        return {str(name): str(value) for name, value in (pairs or {}).items()}
    text, pairs = pairs, {}
    for item in next(csv.reader([text]), []):
        name, found, value = (part.strip() for part in item.partition(separator))
        if not (name and found) or name in pairs:
            problem = "names it twice" if name in pairs else f"is not NAME{separator}VALUE"
            raise UsageError(
                f"in {text!r}, {item!r} {problem}; separate pairs by commas, and enclose a "
                "pair with a comma in double quotes"
            )
        pairs[name] = value
    return pairs
