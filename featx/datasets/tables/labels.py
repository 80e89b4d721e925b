"""Labels of a table's rows: a class per image, or one finding of several."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable

from featx.datasets.rules import UNCERTAIN, OpeningRules
from featx.datasets.tables.cells import clean, finding_of, value_of
from featx.datasets.tables.columns import Choice, finding_columns
from featx.datasets.tables.report import RowReport
from featx.datasets.tables.table import Table
from featx.errors import UsageError, listed, unknown_name

NO_LABEL = "without a label"


def read_labels(
    table: Table, choice: Choice, rules: OpeningRules, report: RowReport
) -> tuple[list[str], str]:
    """Return each row's label, ``""`` where it has none, and where labels come from."""
    column, positive = choice.columns.get("label"), rules.positive
    names = finding_columns(table, choice) if column is None else []
    if column is None and positive in table.columns:
        blank = "0" if choice.convention and choice.convention.blank_is_negative else ""
        cells = [value_of(cell) or blank for cell in table.columns[positive]]
        cells = _decide_uncertain(cells, rules, report)
        numbers = map(finding_of, cells)
        marked = [[] if number is None else [str(number)] for number in numbers]
        if by_image(choice):
            marked = joined(table.columns[choice.columns["path"]], marked)
        labels = [_binary(positive, "1" in each) if each else "" for each in marked]
        _note_missing(labels, cells, report, "is neither 0 nor 1")
        return labels, f"column {positive!r}"
    if column is None:
        _ask_for_finding(table, choice, names, positive, report)
        return ["?"] * len(table.rows), ""
    cells = [*map(value_of, table.columns[column])]
    lists = [findings_in(cell) for cell in cells]
    if positive is None and (by_image(choice) or any(len(each) > 1 for each in lists)):
        counts = Counter(name for each in lists for name in each)
        _ask(counts, f"column {column!r} lists several findings per image", report)
        return ["?"] * len(cells), ""
    if positive is not None:
        if by_image(choice):
            lists = joined(table.columns[choice.columns["path"]], lists)
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


def by_image(choice: Choice) -> bool:
    """Return whether an image has the findings of all its rows."""
    return choice.convention is not None and choice.convention.lists


def _binary(finding: str, present: bool) -> str:
    # In this order sorted, as the last of two classes is the positive one.
    return f"{finding} {'present' if present else 'absent'}"


def _note_missing(labels: list[str], cells: list[str], report: RowReport, why: str = "") -> None:
    dropped = {place for places in report.dropped.values() for place in places}
    for place, label in enumerate(labels):
        if not label and place not in dropped:
            cell = clean(cells[place])
            report.add(NO_LABEL, place, f"{cell!r} {why}".strip() if cell else "")


def findings_in(cell: str) -> list[str]:
    """Return the findings that a cell lists: ``A|B``, or a list as Python writes it."""
    if cell.startswith("[") and cell.endswith("]"):
        try:
            names = [str(name) for name in ast.literal_eval(cell)]
        except (ValueError, SyntaxError, TypeError):
            names = cell[1:-1].replace("'", "").split(",")
    else:
        names = cell.split("|")
    return list(dict.fromkeys(filter(None, map(value_of, names))))


def joined(paths: list[str], lists: list[list[str]]) -> list[list[str]]:
    """Give every row the findings of all rows of its image."""
    together: dict[str, list[str]] = {}
    for path, names in zip(paths, lists, strict=True):
        together.setdefault(clean(path), []).extend(names)
    return [together[clean(path)] for path in paths]


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
    counts = {name: _count_positive(table.columns[name]) for name in names}
    _ask(counts, "it has one column per finding", report)


def _count_positive(cells: Iterable[str]) -> int:
    return sum(finding_of(clean(cell)) == 1 for cell in cells)


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
