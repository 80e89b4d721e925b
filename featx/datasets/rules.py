"""Rules by which images of any form are opened."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from featx.errors import UsageError, check_names

ROLES = ("path", "label", "patient", "split")
UNCERTAIN = ("positive", "negative", "skip")


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
    rename_labels : mapping of str to str, or str, default={}
        New name of each label to rename, also as text: ``"No_finding:NORMAL"``; an empty name
        leaves the images of a label out.
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
    root: str | os.PathLike[str] | None = None
    positive: str | None = None
    uncertain: str | None = None
    skip_problems: bool = False
    rename_labels: Mapping[str, str] = field(default_factory=dict)
    hash_patients: str | None = field(default=None, repr=False)
    external: str = ""
    inherited: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", read_columns(self.columns))
        object.__setattr__(self, "rename_labels", read_pairs(self.rename_labels))
        check_names("role of a column", self.columns, ROLES)
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

    @property
    def by_class(self) -> bool | None:
        """Whether folders or columns name the classes; None where they need not."""
        return self.labeled if self.labels is None else False

    @property
    def complete(self) -> bool:
        """Whether patients and splits matter, as they do of labeled images."""
        return self.labeled is not False

    def check_no_table(self, where: str) -> None:
        """Refuse rules that only tables have."""
        for name in ("columns", "root", "positive", "uncertain"):
            if getattr(self, name) and name not in self.inherited:
                raise UsageError(
                    f"{where} is not a table, and --{name.replace('_', '-')} is for tables only; "
                    "leave it out"
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
