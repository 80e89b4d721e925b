"""Columns of a table by role: named by the user, usual, of a public data set, or proposed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from featx.datasets.paths import find_root
from featx.datasets.rules import IN_HEADER, ROLES, OpeningRules
from featx.datasets.tables.cells import clean, finding_of, value_of
from featx.datasets.tables.conventions import Convention, recognize
from featx.datasets.tables.report import RowReport
from featx.datasets.tables.table import Table
from featx.datasets.words import split_of
from featx.errors import UsageError, listed, unknown_name
from featx.images.reading import SUFFIXES

# Without case, spaces and punctuation; the likeliest first.
_SYNONYMS = {
    "path": "path filepath imagepath imgpath filename imagefilename imagefile file imageindex "
    "image img imageid imagename dicompath dicomfile dicomid sopinstanceuid fullpath "
    "relativepath filelocation id",
    "label": "label labels class classname finding findings findinglabel findinglabels target "
    "diagnosis category disease pathology outcome result groundtruth y",
    "patient": "patient patientid patientnumber patientno patid pid subject subjectid person "
    "personid mrn pseudonym case caseid",
    "split": "split set subset partition fold dataset",
}


@dataclass(frozen=True)
class Choice:
    """Column of each role, and the public data set whose table it is."""

    columns: dict[str, str]
    convention: Convention | None = None

    @property
    def lists(self) -> bool:
        """Whether an image has the findings of all its rows."""
        return self.convention is not None and self.convention.lists

    @property
    def blank(self) -> str:
        """What a blank cell of a finding's column says."""
        return "0" if self.convention and self.convention.blank_is_negative else ""


def choose_columns(table: Table, rules: OpeningRules, report: RowReport) -> Choice:
    """Return the columns of a table; what had to be guessed is asked for in the report."""
    given = {r: name for r, name in rules.columns.items() if not name.startswith(IN_HEADER)}
    if "columns" in rules.inherited:
        given = {role: name for role, name in given.items() if name in table.columns}
    for name in filter(None, given.values()):
        if name not in table.columns:
            raise unknown_name(f"column in {table.where} named", name, table.header)
    usual = {role: role for role in (*ROLES, *rules.keep_columns) if role in table.columns}
    convention = None
    if "path" not in given and "path" not in usual:
        convention = recognize(table.header)
        if convention is not None:
            if convention.images_elsewhere:
                raise UsageError(f"{table.where} names no images: {convention.images_elsewhere}")
            own = convention.columns.items()
            usual |= {role: name for role, name in own if name in table.columns}
    columns = usual | given
    if rules.patients in table.columns and "patient" not in given:
        columns["patient"] = str(rules.patients)
    wanted = ["path"]
    if (rules.by_class or rules.findings) and not _has_findings(
        table, Choice(columns, convention), rules
    ):
        wanted.append("label")
    if any(role not in columns for role in wanted):
        columns = _propose(table, columns, wanted, report)
    if not rules.external:
        for name in rules.keep_columns:
            if name not in columns and name not in rules.header_fields:
                raise unknown_name(f"column in {table.where} named", name, table.header)
    for role, name in columns.items():
        if name in table.repeated:
            raise UsageError(
                f"{table.where} has more than one column {name!r}, the {role}; rename one of them"
            )
    return Choice({role: name for role, name in columns.items() if name}, convention)


def _has_findings(table: Table, choice: Choice, rules: OpeningRules) -> bool:
    """Return whether labels are in columns of findings, without a column that may be the label."""
    named = {rules.positive, *rules.findings} & {*table.columns}
    if named or (choice.convention and choice.convention.findings):
        return True
    return not _likely(table.header, "label") and bool(finding_columns(table, choice))


def _propose(
    table: Table, known: dict[str, str], wanted: list[str], report: RowReport
) -> dict[str, str]:
    missing = next(role for role in wanted if role not in known)
    has = listed(table.header, 20) or "none"
    columns = dict(known)
    for role in ROLES:
        free = [name for name in table.header if name not in columns.values()]
        candidates = [name for name in _likely(free, role) if _fits(table, name, role)]
        if role == "path":
            looks = (name for name in free if _holds_paths(table.columns[name]))
            candidates = _found_first(table, [*dict.fromkeys([*candidates, *looks])])
        if role not in columns and candidates:
            columns[role] = candidates[0]
    if any(role not in columns for role in wanted):
        unknown = next(role for role in wanted if role not in columns)
        example = ",".join(f"{role}={columns.get(role, 'COLUMN')}" for role in wanted)
        raise UsageError(
            f"{table.where} has no column {unknown!r} (it has: {has}); the usual "
            "columns are path, label, and optionally patient, split. Name others by "
            f"--columns {example}{_headless(table)}"
        )
    report.ask(
        f"there is no column {missing!r} (it has: {has}), which can be named",
        columns={role: name for role, name in columns.items() if name != role},
    )
    return columns


def _likely(names: Iterable[str], role: str) -> list[str]:
    order = _SYNONYMS[role].split()
    plain = {name: re.sub(r"[^a-z0-9]", "", name.lower()) for name in names}
    return sorted((n for n in plain if plain[n] in order), key=lambda n: order.index(plain[n]))


def _fits(table: Table, name: str, role: str) -> bool:
    """Return whether the cells of a column can be of a role."""
    values = {*map(value_of, table.columns[name])} - {""}
    if role == "split":
        # Folds are often numbered, which says nothing of training and test.
        return bool(values) and all(map(split_of, values))
    return bool(values)


def _holds_paths(cells: list[str]) -> bool:
    some = [cell for cell in map(clean, cells) if cell][:20]
    named = [PurePosixPath(cell.replace("\\", "/")).suffix.lower() in SUFFIXES for cell in some]
    return sum(named) > len(some) / 2


def _found_first(table: Table, names: list[str]) -> list[str]:
    """Put the column first whose files are found, unless there is no doubt."""
    if len(names) < 2:
        return names
    paths = {name: [*filter(value_of, table.columns[name])] for name in names}
    return sorted(names, key=lambda name: -find_root(table.folder, paths[name][:20])[1])


def finding_columns(table: Table, choice: Choice) -> list[str]:
    """List the columns that hold one finding each: 0 and 1, also -1 and blanks."""
    if choice.convention is not None and choice.convention.findings:
        return [name for name in choice.convention.findings if name in table.columns]
    found = {
        name: {finding_of(value) for value in {*map(value_of, table.columns[name])} - {""}}
        for name in table.header
        if name not in choice.columns.values()
    }
    return [name for name, values in found.items() if None not in values and {0, 1} <= values]


def _headless(table: Table) -> str:
    looks = next((n for n in table.header if PurePosixPath(n).suffix.lower() in SUFFIXES), None)
    if looks is not None:
        return f". Its first row must name the columns; {looks!r} is a file"
    title = table.too_long or not {*ROLES} & {*table.columns}
    return ". Its first row must name the columns; delete the rows above" if title else ""
