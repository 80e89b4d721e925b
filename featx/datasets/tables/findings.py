"""Findings of a table with several per image: each as cells 1, 0, -1 (uncertain) or blank."""

from __future__ import annotations

from featx.datasets.inventory import look_alike
from featx.datasets.rules import OpeningRules
from featx.datasets.tables.cells import finding_of, value_of
from featx.datasets.tables.columns import Choice, finding_columns
from featx.datasets.tables.labels import NO_LABEL, by_image, findings_in, joined
from featx.datasets.tables.report import RowReport
from featx.datasets.tables.table import Table
from featx.errors import UsageError, check_names, listed

ALL = "all"
"""Name of all findings of a table."""

NORMAL = frozenset(("no finding", "no findings", "normal"))
"""Labels without case that say that there is no finding."""

Findings = dict[str, list[str]]


def read_findings(
    table: Table, choice: Choice, rules: OpeningRules, report: RowReport
) -> tuple[Findings, str]:
    """Return the cells of the findings that were asked for, and where they come from."""
    column = choice.columns.get("label")
    known_lists = column is not None and by_image(choice)
    columns = [] if known_lists else finding_columns(table, choice)
    wanted = [] if rules.findings == (ALL,) else list(rules.findings)
    in_columns = [name for name in wanted if name in table.columns]
    if column is None and not columns and not in_columns:
        raise UsageError(f"{table.where} has no findings: {_no_findings(choice)}")
    lists = [] if column is None else [findings_in(value_of(c)) for c in table.columns[column]]
    names = [*dict.fromkeys(name for each in lists for name in each)]
    if column is not None and not in_columns:
        several = known_lists or any(len(each) > 1 for each in lists)
        _refuse_unclear(table, column, columns, several, bool({*wanted} & {*names}))
    if in_columns or column is None:
        known = [name for name in columns if name.lower() not in NORMAL]
        cells = {
            name: _of_column(table, choice, name, report)
            for name in wanted or known
            if name in table.columns
        }
        return _complete(table, cells, wanted, known, rules), f"a column a finding ({len(cells)})"
    _note_spelling(lists, names, report)
    if by_image(choice):
        lists = joined(table.columns[choice.columns["path"]], lists)
    for place, each in enumerate(lists):
        if not each:
            report.add(NO_LABEL, place)
    known = sorted(name for name in names if name.lower() not in NORMAL)
    cells = {
        name: [str(int(name in each)) if each else "" for each in lists]
        for name in wanted or known
        if name in names
    }
    return _complete(table, cells, wanted, known, rules), f"findings listed in column {column!r}"


def _no_findings(choice: Choice) -> str:
    elsewhere = choice.convention.labels_elsewhere if choice.convention else ""
    return elsewhere or (
        "no column lists several per image (A|B), and none holds one finding as 0 and 1; name the "
        "column with the lists by --columns label=COLUMN"
    )


def _refuse_unclear(
    table: Table, column: str, columns: list[str], several: bool, named: bool
) -> None:
    """Refuse a column of labels beside columns of findings, and one class per image."""
    if columns and not (several and named):
        raise UsageError(
            f"{table.where} has a column {column!r} of labels and columns that may be findings "
            f"({listed(columns, 20)}); name those by --findings, or all of them by --findings all "
            "--columns label= (the empty name ignores the column of labels)"
        )
    if not several:
        raise UsageError(
            f"{table.where} has one class per image, in its column {column!r}; leave out "
            "--findings to compare the classes"
        )


def _of_column(table: Table, choice: Choice, name: str, report: RowReport) -> list[str]:
    """Return the cells of a column of one finding as 1, 0, -1 or blank."""
    blank = "0" if choice.convention and choice.convention.blank_is_negative else ""
    cells = [value_of(cell) or blank for cell in table.columns[name]]
    numbers = [*map(finding_of, cells)]
    for place, (cell, number) in enumerate(zip(cells, numbers, strict=True)):
        if cell and number is None:
            report.add(f"whose finding {name!r} is none of 1, 0, -1 and blank", place, repr(cell))
    found = ["" if number is None else str(number) for number in numbers]
    if not by_image(choice):
        return found
    lists = joined(table.columns[choice.columns["path"]], [[c] if c else [] for c in found])
    # Of several readers of an image, one is enough.
    return [next((c for c in ("1", "-1", "0") if c in each), "") for each in lists]


def _complete(
    table: Table, cells: Findings, wanted: list[str], known: list[str], rules: OpeningRules
) -> Findings:
    """Put the findings in the order asked for; an external set may lack some."""
    if rules.external:
        blank = [""] * len(table.rows)
        return {name: cells.get(name, blank) for name in wanted or cells}
    check_names(f"finding in {table.where} named", [n for n in wanted if n not in cells], known)
    if not cells:
        raise UsageError(f"{table.where} has no finding but {listed(NORMAL, 3)}")
    return {name: cells[name] for name in wanted or cells}


def _note_spelling(lists: list[list[str]], names: list[str], report: RowReport) -> None:
    """Note the rows with a finding that other rows write in another way."""
    for group in look_alike(names):
        counts = {name: sum(name in each for each in lists) for name in group}
        usual = max(group, key=lambda name: counts[name])
        for place, each in enumerate(lists):
            for name in set(group) & set(each) - {usual}:
                text = f"{name!r}, elsewhere {usual!r}"
                report.add("whose finding is spelled in two ways", place, text)
