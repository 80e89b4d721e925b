"""Images named by the rows of a table: a CSV or Parquet file, or a data frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from featx.datasets.listing import Listing, shared_folder
from featx.datasets.paths import posix
from featx.datasets.rules import OpeningRules
from featx.datasets.tables.columns import Choice
from featx.datasets.tables.files import image_names, locate_rows, locate_urls
from featx.datasets.tables.rows import read_rows
from featx.datasets.tables.table import Table, read_frame, read_table
from featx.errors import UsageError
from featx.images.remote import is_url


def list_table(path: Path, rules: OpeningRules, base: str | None = None) -> Listing:
    """List the images of a table file, whose paths may be relative to a base URL."""
    return _list_rows(read_table(path), rules, base)


def list_frame(frame: Any, rules: OpeningRules) -> Listing:
    """List the images of a data frame; its paths are relative to the working directory."""
    return _list_rows(read_frame(frame), rules, None)


def _list_rows(table: Table, rules: OpeningRules, base: str | None) -> Listing:
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
    columns = rows.choice.columns
    names = image_names([rows.paths[place] for place in kept], sources)
    listing = Listing(
        names=names,
        sources=sources,
        labels=[rows.labels[place] for place in kept],
        splits=[rows.splits[place] for place in kept],
        patients=patients if any(patients) else None,
        where=table.where,
        shared=shared_folder([*map(posix, names)]),
        as_given=True,
        labels_from=rows.labels_from,
        splits_from=f"column {columns['split']!r}" if any(rows.splits) else "",
        patients_from=rows.patients_from,
        columns={n: [cells[place] for place in kept] for n, cells in rows.others.items()},
        passed_over=report.passed_over(),
        remarks=report.remarks,
    )
    if rows.choice.convention is not None:
        listing.remarks.append(_read_as(rows.choice))
    return listing


def _read_as(choice: Choice) -> str:
    convention = choice.convention
    assert convention is not None
    remark = f" ({convention.remark})" if convention.remark else ""
    named = ", ".join(f"{role} {name!r}" for role, name in choice.columns.items())
    return f"read as {convention.name}: {named}{remark}"
