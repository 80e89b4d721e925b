"""Rows of a table by role, what is wrong with them, and the images that they name."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from featx.datasets.inventory import look_alike
from featx.datasets.listing import Listing
from featx.datasets.paths import image_names, locate_rows, locate_urls, posix, shared_folder
from featx.datasets.rules import OpeningRules
from featx.datasets.tables.cells import value_of
from featx.datasets.tables.columns import Choice, choose_columns
from featx.datasets.tables.conventions import Convention
from featx.datasets.tables.labels import has_labels, read_findings, read_labels
from featx.datasets.tables.report import RowReport
from featx.datasets.tables.table import Table
from featx.datasets.words import SPLITS, split_of
from featx.errors import UsageError
from featx.images.remote import is_url

_CONTRADICTION = "contradicting another row of the same image"
_REPEATED = "repeating another row"

# Patients of unknown number, who would be one person.
_NOBODY = frozenset(("unknown", "anonymous", "anonymized", "anonymised", "tbd"))


@dataclass(frozen=True)
class TableRows:
    """Rows of a table by role; a cell is empty where its role has no column."""

    table: Table
    choice: Choice
    paths: list[str]
    labels: list[str]
    patients: list[str]
    splits: list[str]
    # Further columns that are kept.
    others: dict[str, list[str]]
    labels_from: str
    patients_from: str
    report: RowReport

    @property
    def _facts(self) -> dict[str, list[str]]:
        """Cells that all rows of an image must agree in."""
        known = {"label": self.labels, "patient": self.patients, "split": self.splits}
        return known | self.others

    def keep_one_each(self, identities: Sequence[Hashable | None]) -> list[int]:
        """Return the first row of each image; rows that contradict each other are problems."""
        first: dict[Hashable, int] = {}
        repeated = []
        facts = [*zip(*self._facts.values(), strict=True)]
        bad = self.report.bad | {i for places in self.report.dropped.values() for i in places}
        for place, identity in enumerate(identities):
            if identity is None or place in bad:
                continue
            other = first.setdefault(identity, place)
            if other != place and facts[other] != facts[place]:
                self._contradict(other, place)
            elif other != place:
                repeated.append(place)
        bad |= self.report.bad
        self.report.drop(_REPEATED, [place for place in repeated if place not in bad])
        return [place for place in first.values() if place not in bad]

    def _contradict(self, other: int, place: int) -> None:
        facts = self._facts
        differ = next(name for name, of in facts.items() if of[other] != of[place])
        a, b = (facts[differ][i] or "none" for i in (other, place))
        rows = self.report.rows
        for one, mate in ((other, rows[place]), (place, rows[other])):
            kind = f"and row {mate}: {differ} {a!r} and {b!r}"
            self.report.add(_CONTRADICTION, one, kind)


def read_rows(table: Table, rules: OpeningRules) -> TableRows:
    """Read the cells of a table by role, and note what is wrong with them."""
    if not table.rows:
        raise UsageError(f"{table.where} lists no image")
    report = RowReport(table.where, table.rows)
    choice = choose_columns(table, rules, report)
    blank = [""] * len(table.rows)

    def cells(role: str) -> list[str]:
        # A column without a name is not that of a role without a column.
        column = table.columns[choice.columns[role]] if role in choice.columns else blank
        return [*map(value_of, column)]

    # File names may hold what is cleaned elsewhere.
    paths = [cell if value_of(cell) else "" for cell in table.columns[choice.columns["path"]]]
    for place, text in table.too_long.items():
        report.add("with more cells than the header", place, text)
    for place, path in enumerate(paths):
        if not path:
            report.add("without a path", place)
    labels, labels_from = blank, ""
    findings: dict[str, list[str]] = {}
    if rules.findings:
        findings, labels_from = read_findings(table, choice, rules, report)
    elif rules.by_class:
        labels, labels_from = read_labels(table, choice, rules, report)
    elif rules.by_class is None and has_labels(table, choice, rules):
        labels, labels_from = _read_known_labels(table, choice, rules, report)
    report.note_spelling("label", zip(labels), _similar_labels(labels))
    splits = [split_of(cell) or cell for cell in cells("split")]
    for place, split in enumerate(splits):
        if split not in SPLITS:
            report.add("with an unknown split (train, val, test or none)", place, repr(split))
    patients, patients_from = _read_patients(cells("patient"), paths, choice, rules, report)
    others = {name: cells(name) for name in rules.keep_columns if name in choice.columns}
    for name, values in others.items():
        report.note_spelling(name, zip(values), look_alike(filter(None, values)))
    others |= findings
    return TableRows(
        table, choice, paths, labels, patients, splits, others, labels_from, patients_from, report
    )


def list_rows(table: Table, rules: OpeningRules, base: str | None = None) -> Listing:
    """List the images that a table's rows name; their paths may be relative to a base URL."""
    rows = read_rows(table, rules)
    if base is not None or any(map(is_url, rows.paths)):
        located = locate_urls(rows.paths, table.where, base)
    else:
        located = locate_rows(rows.paths, table.folder, rules.root, rows.report)
    kept = rows.keep_one_each([None if found is None else found[1] for found in located])
    report = rows.report
    report.check(rules.skip_problems, rules.external)
    if not kept:
        raise UsageError(f"{table.where} lists no image without problems")
    sources = [found[0] for found in (located[place] for place in kept) if found is not None]
    patients = [rows.patients[place] for place in kept]
    names = image_names([rows.paths[place] for place in kept], sources)
    if rows.choice.convention is not None:
        report.remarks.append(_read_as(rows.choice.convention, rows.choice.columns))
    return Listing(
        names=names,
        sources=sources,
        labels=[rows.labels[place] for place in kept],
        splits=[rows.splits[place] for place in kept],
        patients=patients if any(patients) else None,
        where=table.where,
        shared=shared_folder([*map(posix, names)]),
        as_given=True,
        labels_from=rows.labels_from,
        splits_from=f"column {rows.choice.columns['split']!r}" if any(rows.splits) else "",
        patients_from=rows.patients_from,
        columns={n: [cells[place] for place in kept] for n, cells in rows.others.items()},
        passed_over=report.passed_over(),
        remarks=report.remarks,
    )


def _read_as(convention: Convention, columns: dict[str, str]) -> str:
    remark = f" ({convention.remark})" if convention.remark else ""
    named = ", ".join(f"{role} {name!r}" for role, name in columns.items())
    return f"read as {convention.name}: {named}{remark}"


def _read_known_labels(
    table: Table, choice: Choice, rules: OpeningRules, report: RowReport
) -> tuple[list[str], str]:
    """Read optional labels: those that are missing or undecided are unknown."""
    trial = RowReport(table.where, table.rows)
    labels, labels_from = read_labels(table, choice, rules, trial)
    if trial.questions:
        report.remarks.append(f"labels are not read: {'; '.join(trial.questions)}")
        return [""] * len(labels), ""
    for reason, places in trial.dropped.items():
        report.drop(reason, places)
    return labels, labels_from


def _read_patients(
    patients: list[str],
    paths: list[str],
    choice: Choice,
    rules: OpeningRules,
    report: RowReport,
) -> tuple[list[str], str]:
    """Return each row's patient, ``""`` where unknown, and where patients come from."""
    column = choice.columns.get("patient")
    convention = choice.convention
    by_rule = rules.patients is not None and rules.patients != column
    inherited = "patients" in rules.inherited
    if not any(patients):
        if column is not None and column == (rules.columns.get("patient") or rules.patients):
            raise UsageError(f"{report.where}: the column {column!r} names no patient")
        if by_rule or convention is None or convention.patient_rule is None:
            return patients, ""
        found = [re.search(convention.patient_rule, path) for path in paths]
        patients = [match[1] if match else "" for match in found]
        _note_missing_patients(patients, rules, report)
        return patients, f"{convention.patient_rule} in paths"
    if by_rule and not inherited:
        raise UsageError(
            f"{report.where}: patients are given twice, by its column {column!r} and by the rule "
            f"{rules.patients!r}; leave the rule out to use the column, or add --columns "
            "patient= to use the rule"
        )
    if not rules.complete:
        # Where patients do not matter, those that are known in part are of no use.
        return (patients, f"column {column!r}") if all(patients) else ([""] * len(patients), "")
    patients = ["" if each.lower() in _NOBODY else each for each in patients]
    _note_missing_patients(patients, rules, report)
    for place, patient in enumerate(patients):
        if re.fullmatch(r"\d[.,]\d+E\+\d+", patient):
            report.add("whose patient number a spreadsheet has rounded", place, repr(patient))
    report.note_spelling("patient", zip(patients), look_alike(filter(None, patients)))
    return patients, f"column {column!r}"


def _note_missing_patients(patients: list[str], rules: OpeningRules, report: RowReport) -> None:
    for place, patient in enumerate(patients if rules.complete else ()):
        if not patient:
            report.add("without a patient", place)


def _similar_labels(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Group labels that look alike, also when they list the same findings in another order."""
    orders: dict[str, list[str]] = {}
    for label in sorted({*labels} - {""}):
        orders.setdefault(",".join(sorted(re.split(r"\s*[,;/&]\s*", label))), []).append(label)
    alike = look_alike(orders)
    grouped = {order for group in alike for order in group}
    groups = [tuple(name for order in group for name in orders[order]) for group in alike]
    alone = (names for order, names in orders.items() if order not in grouped)
    return [*groups, *(tuple(names) for names in alone if len(names) > 1)]
