"""Labels of a table's rows: a class per image, one finding of several, or several findings."""

from __future__ import annotations

import ast
from collections import Counter

from featx.datasets.inventory import look_alike
from featx.datasets.rules import UNCERTAIN, OpeningRules
from featx.datasets.tables.cells import clean, finding_of, value_of
from featx.datasets.tables.columns import Choice, finding_columns
from featx.datasets.tables.report import RowReport
from featx.datasets.tables.table import Table
from featx.errors import UsageError, check_names, listed, unknown_name

# Cells 1, 0, -1 (uncertain) or blank, by finding.
Findings = dict[str, list[str]]

ALL = "all"
"""Name of all findings of a table."""

# Labels without case that say that there is no finding.
_NORMAL = frozenset(("no finding", "no findings", "normal"))

_NO_LABEL = "without a label"


def read_labels(
    table: Table, choice: Choice, rules: OpeningRules, report: RowReport
) -> tuple[list[str], str]:
    """Return each row's label, ``""`` where it has none, and where labels come from."""
    column, positive = choice.columns.get("label"), rules.positive
    names = finding_columns(table, choice) if column is None else []
    if column is None and positive in table.columns:
        cells = [value_of(cell) or choice.blank for cell in table.columns[positive]]
        cells = _decide_uncertain(cells, rules, report)
        numbers = map(finding_of, cells)
        marked = [[] if number is None else [str(number)] for number in numbers]
        marked = _joined(table, choice, marked)
        labels = [_binary(positive, "1" in each) if each else "" for each in marked]
        _note_missing(labels, cells, report, "is neither 0 nor 1")
        return labels, f"column {positive!r}"
    if column is None:
        _ask_for_finding(table, choice, names, positive, report)
        return ["?"] * len(table.rows), ""
    cells = [*map(value_of, table.columns[column])]
    lists = [_findings_in(cell) for cell in cells]
    if positive is None and (choice.lists or any(len(each) > 1 for each in lists)):
        counts = Counter(name for each in lists for name in each)
        _ask(counts, f"column {column!r} lists several findings per image", report)
        return ["?"] * len(cells), ""
    if positive is not None:
        lists = _joined(table, choice, lists)
        known = {name for each in lists for name in each}
        if positive not in known:
            raise unknown_name(f"finding in {table.where} named", positive, sorted(known))
        labels = [_binary(positive, positive in each) if each else "" for each in lists]
        _note_missing(labels, cells, report)
        return labels, f"finding {positive!r} in column {column!r}"
    labels = _decide_uncertain(cells, rules, report)
    _note_missing(labels, table.columns[column], report)
    return labels, f"column {column!r}"


def has_labels(table: Table, choice: Choice, rules: OpeningRules) -> bool:
    """Return whether a table has labels of any kind."""
    return (
        "label" in choice.columns
        or rules.positive in table.columns
        or (choice.convention is not None and bool(finding_columns(table, choice)))
    )


def _binary(finding: str, present: bool) -> str:
    # In this order sorted, as the last of two classes is the positive one.
    return f"{finding} {'present' if present else 'absent'}"


def _note_missing(labels: list[str], cells: list[str], report: RowReport, why: str = "") -> None:
    dropped = {place for places in report.dropped.values() for place in places}
    for place, label in enumerate(labels):
        if not label and place not in dropped:
            cell = clean(cells[place])
            report.add(_NO_LABEL, place, f"{cell!r} {why}".strip() if cell else "")


def _findings_in(cell: str) -> list[str]:
    """Return the findings that a cell lists: ``A|B``, or a list as Python writes it."""
    if cell.startswith("[") and cell.endswith("]"):
        try:
            names = [str(name) for name in ast.literal_eval(cell)]
        except (ValueError, SyntaxError, TypeError):
            names = cell[1:-1].replace("'", "").split(",")
    else:
        names = cell.split("|")
    return list(dict.fromkeys(filter(None, map(value_of, names))))


def _joined(table: Table, choice: Choice, lists: list[list[str]]) -> list[list[str]]:
    """Give every row the findings of all rows of its image, where the data set lists them so."""
    if not choice.lists:
        return lists
    paths = [*map(clean, table.columns[choice.columns["path"]])]
    together: dict[str, list[str]] = {}
    for path, names in zip(paths, lists, strict=True):
        together.setdefault(path, []).extend(names)
    return [together[path] for path in paths]


def _decide_uncertain(cells: list[str], rules: OpeningRules, report: RowReport) -> list[str]:
    """Give -1 the meaning that the user chose, where labels are -1, 0 and 1."""
    if any(cell in rules.rename_labels for cell in cells):
        return cells
    values = {finding_of(cell) for cell in cells if cell}
    uncertain = [place for place, cell in enumerate(cells) if finding_of(cell) == -1]
    if None in values or not uncertain or len(values) == 1:
        return cells
    if rules.uncertain is None:
        report.ask(
            f"{len(uncertain):,} of {len(cells):,} labels are -1, CheXpert's sign for uncertain; "
            f"decide what it means: --uncertain {', '.join(UNCERTAIN[:-1])} or {UNCERTAIN[-1]}; "
            "or name the classes, where -1 is one: --rename-labels -1:NAME,1:NAME",
            uncertain="skip",
        )
        return cells
    meant = {"positive": 1, "negative": 0}.get(rules.uncertain)
    if meant is None:
        report.drop("with the uncertain label -1", uncertain)
    spelled = next((cell for cell in cells if finding_of(cell) == meant), str(meant))
    new = "" if meant is None else spelled
    return [new if finding_of(cell) == -1 else cell for cell in cells]


def _ask_for_finding(
    table: Table, choice: Choice, names: list[str], positive: str | None, report: RowReport
) -> None:
    convention = choice.convention
    if not names:
        elsewhere = convention.labels_elsewhere if convention else "add a column `label`"
        raise UsageError(f"{table.where} has no labels: {elsewhere}")
    if positive is not None:
        raise unknown_name(f"finding in {table.where} named", positive, names)
    counts = {
        name: sum(finding_of(clean(cell)) == 1 for cell in table.columns[name]) for name in names
    }
    _ask(counts, "it has one column per finding", report)


def _ask(counts: dict[str, int], problem: str, report: RowReport) -> None:
    names = sorted(counts, key=lambda name: -counts[name])
    shown = listed((f"{name} {counts[name]:,}" for name in names), 20)
    normal = ("no finding", "normal")
    best = next((name for name in names if name.lower() not in normal), names[0])
    report.ask(
        f"{problem}; choose the one that is positive, all other images being negative, by "
        f"--positive, one of: {shown}; or compare several, each with a task of its own: featx "
        "benchmark --findings A,B (or all)",
        positive=best,
    )


def read_findings(
    table: Table, choice: Choice, rules: OpeningRules, report: RowReport
) -> tuple[Findings, str]:
    """Return the cells of the findings that were asked for, and where they come from."""
    column = choice.columns.get("label")
    known_lists = column is not None and choice.lists
    columns = [] if known_lists else finding_columns(table, choice)
    wanted = [] if rules.findings == (ALL,) else list(rules.findings)
    in_columns = [name for name in wanted if name in table.columns]
    if column is None and not columns and not in_columns:
        raise UsageError(f"{table.where} has no findings: {_no_findings(choice)}")
    lists = [] if column is None else [_findings_in(value_of(c)) for c in table.columns[column]]
    names = [*dict.fromkeys(name for each in lists for name in each)]
    if column is not None and not in_columns:
        several = known_lists or any(len(each) > 1 for each in lists)
        _refuse_unclear(table, column, columns, several, bool({*wanted} & {*names}))
    if in_columns or column is None:
        known = [name for name in columns if name.lower() not in _NORMAL]
        cells = {
            name: _of_column(table, choice, name, report)
            for name in wanted or known
            if name in table.columns
        }
        return _complete(table, cells, wanted, known, rules), f"a column a finding ({len(cells)})"
    report.note_spelling("finding", lists, look_alike(names))
    lists = _joined(table, choice, lists)
    for place, each in enumerate(lists):
        if not each:
            report.add(_NO_LABEL, place)
    known = sorted(name for name in names if name.lower() not in _NORMAL)
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
    cells = [value_of(cell) or choice.blank for cell in table.columns[name]]
    numbers = [*map(finding_of, cells)]
    for place, (cell, number) in enumerate(zip(cells, numbers, strict=True)):
        if cell and number is None:
            report.add(f"whose finding {name!r} is none of 1, 0, -1 and blank", place, repr(cell))
    lists = _joined(table, choice, [[] if n is None else [str(n)] for n in numbers])
    # Of several readers of an image, one is enough.
    return [next((c for c in ("1", "-1", "0") if c in each), "") for each in lists]


def _complete(
    table: Table,
    cells: Findings,
    wanted: list[str],
    known: list[str],
    rules: OpeningRules,
) -> Findings:
    """Put the findings in the order asked for; an external set may lack some."""
    if rules.external:
        blank = [""] * len(table.rows)
        return {name: cells.get(name, blank) for name in wanted or cells}
    check_names(f"finding in {table.where} named", [n for n in wanted if n not in cells], known)
    if not cells:
        raise UsageError(f"{table.where} has no finding but {listed(_NORMAL, 3)}")
    return {name: cells[name] for name in wanted or cells}
