"""The page of a benchmark: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup

from featx.metrics.intervals import Interval
from featx.reporting import figures
from featx.reporting.checklist import fill_checklists
from featx.reporting.columns import MAIN, MORE, columns_of, make_cell
from featx.reporting.differences import pick_reference
from featx.reporting.forest import COLUMNS as FOREST_COLUMNS
from featx.reporting.forest import find_forests
from featx.reporting.notes import Note
from featx.reporting.panels import LOSSES, assign_styles, make_panels, operating_cost
from featx.reporting.records import BenchmarkRow
from featx.reporting.results_folder import (
    FINDINGS,
    GROUPS,
    Results,
    best_place,
    damaged,
    part_folders,
    read_results,
)
from featx.runtime.files import check_output, put_bytes

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE = "report.html"

logger = logging.getLogger(__name__)


def report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the page of a finished benchmark as one HTML file.

    Use it to make the page again after an update of featx, or to write it elsewhere; `benchmark`
    calls it at the end. Neither images nor networks are needed.

    Parameters
    ----------
    folder : path-like
        Folder that `featx.benchmark` or ``featx benchmark --out`` wrote, of any version.
    out : path-like, optional
        File to write; by default ``report.html`` in the folder.

    Returns
    -------
    Path
        Path of the page.

    Raises
    ------
    UsageError
        If the folder holds no benchmark.

    Examples
    --------
    >>> featx.report("results", out="results.html")  # doctest: +SKIP
    PosixPath('results.html')
    """
    path = check_output(Path(folder) / PAGE if out is None else out, "file")
    results = write_page(folder, path)
    for kind in (FINDINGS, GROUPS) if out is None else ():
        for place in part_folders(folder, results.run, kind).values():
            if place.is_dir():
                write_page(place, place / PAGE)
    return path


def write_page(folder: str | Path, path: Path) -> Results:
    """Write the page of one results folder; return what it was made of."""
    results = read_results(folder)
    for note in results.notes:
        if note.kind == "unfinished":
            logger.warning(note.text)
    # Values of wrong types show here at the latest.
    with damaged(Path(folder)):
        page = render_results(results)
    # File names need not be valid Unicode, a page must be.
    put_bytes(path, page.encode("utf-8", "replace"))
    return results


def render_results(results: Results) -> str:
    """Render the page of one results folder."""
    shown = shown_at_first(results.rows)
    styles = assign_styles(len(results.rows), shown)
    points = [p for p in results.run.get("learning_curve", []) if p.get("auc") is not None]
    if not results.patients_known:
        # Early versions counted each image as a patient.
        points = [{**point, "n_patients": None} for point in points]
    names = [row.name for row in results.rows]
    learner = names.index(points[0]["name"]) if points and points[0]["name"] in names else 0
    return render(
        "report.html.j2",
        results=results,
        run=results.run,
        rows=results.rows,
        several=PartsTable.of(results.rows, results.run),
        styles=styles,
        shown=shown,
        best=best_place(results.rows),
        main=columns_of(MAIN, results.rows),
        more=columns_of(MORE, results.rows),
        scores=MAIN[:5],
        per_class=[column for column in MAIN[:5] if column.field != "accuracy"],
        panels=make_panels(results, styles, shown),
        cost=figures.cost_figure(results.rows, styles),
        learning=figures.learning_figure(points, styles[learner]) if len(points) > 1 else None,
        learning_of=results.rows[learner].label if points else "",
        robustness=figures.robustness_figures(results.rows, styles, shown),
        forests=find_forests(results.rows, styles, shown),
        forest_columns=FOREST_COLUMNS,
        draw=figures,
        operating_cost=partial(operating_cost, point=results.operating_point),
        loss=LOSSES.get(results.operating_point.criterion),
        recipes=_recipes(results.rows),
        checklists=fill_checklists(results),
    )


def render(template: str, scripts: Sequence[str] = ("page.js",), **content: Any) -> str:
    """Fill a template; all text is escaped, and only the page's own script runs."""
    style, script = _file("page.css"), "".join(map(_file, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    page = environment().get_template(template)
    return page.render(style=Markup(style), script=Markup(script), policy=policy, **content)


def table_to_html(rows: Sequence[BenchmarkRow], notes: Sequence[Note] = ()) -> str:
    r"""Write rows and notes as one HTML table, for a notebook.

    Examples
    --------
    >>> table_to_html([], [Note("text", {"text": "<b>"})]).strip()
    '<p>No rows yet.</p>\n<p>&lt;b&gt;</p>'
    """
    template = environment().get_template("notebook.html.j2")
    return template.render(rows=rows, columns=columns_of(MAIN, rows), notes=notes)


@cache
def environment() -> Environment:
    """Return the templates of pages, whose text is escaped, and their filters."""
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("featx.reporting")
    made = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    made.filters |= {"plain": _plain, "breakable": _breakable, "cell": make_cell}
    made.filters |= {"number": "{:,}".format, "listed": _listed}
    return made


def _file(name: str) -> str:
    file = resources.files("featx.reporting").joinpath("templates").joinpath(name)
    return file.read_text(encoding="utf-8")


def _breakable(text: str) -> Markup:
    """Allow line breaks in a long name after its separators."""
    return Markup("<wbr>").join(re.split("(?<=[:_+/])", text))


def _plain(value: Any) -> str:
    """Write a setting as text: strings as they are, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def shown_at_first(rows: Sequence[BenchmarkRow]) -> list[int]:
    """Choose the best frozen row and baseline, not by test images, and the best control."""
    controls = [i for i, row in enumerate(rows) if row.kind == "control" and row.auc == row.auc]
    control = max(controls, key=lambda place: rows[place].auc, default=None)
    reference = pick_reference(rows)
    baseline = None if reference is None else rows.index(reference)
    found = [best_place(rows), baseline, control]
    return sorted({place for place in found if place is not None}) or list(range(len(rows)))[:3]


def _recipes(rows: Sequence[BenchmarkRow]) -> dict[str, Mapping[str, Any]]:
    """Return every recipe once, by the digest that names its folder in the cache."""
    from featx.features.recipe import Recipe

    # The features of controls come from no network.
    networks = [r for row in rows for r in row.recipes if {"weights", "augmentation"} <= r.keys()]
    return {Recipe.from_dict(dict(recipe)).digest: recipe for recipe in networks}


@dataclass(frozen=True)
class Part:
    """One finding or group: its page, AUC by row, and counts in the order of the table's titles."""

    name: str
    page: str
    areas: tuple[Interval | None, ...]
    counts: tuple[int | None, ...]


@dataclass(frozen=True)
class PartsTable:
    """All findings, or all groups that were left out, with the words around them."""

    title: str
    word: str
    rows: tuple[BenchmarkRow, ...]
    counts: tuple[str, ...]
    parts: tuple[Part, ...]
    hint: str

    @classmethod
    def of(cls, rows: Sequence[BenchmarkRow], run: Mapping[str, Any]) -> PartsTable | None:
        """Lay out the parts that a run lists; None where it is one benchmark."""
        models = tuple(row for row in rows if row.kind != "control")
        if run.get(FINDINGS):
            return _of_findings(models, run[FINDINGS])
        return _of_groups(models, run[GROUPS]) if run.get(GROUPS) else None


def _of_findings(
    rows: tuple[BenchmarkRow, ...], findings: Sequence[Mapping[str, Any]]
) -> PartsTable:
    return PartsTable(
        "Findings",
        "finding",
        rows,
        ("Training images", "with it", "Test images", "with it", "Patients with it", "Not known"),
        tuple(
            Part(
                each["name"],
                _page(FINDINGS, each["folder"]),
                tuple(row.scores.per_class.get(each["name"], {}).get("auc") for row in rows),
                (
                    *(each["train_images"], each["train_positive"], each["test_images"]),
                    *(each["test_positive"], each["test_positive_patients"]),
                    each["uncertain"] + each["unknown"],
                ),
            )
            for each in findings
        ),
        "Patients with it: of the test images. Not known: uncertain or missing in the table, left "
        "out of that finding's task.",
    )


def _of_groups(rows: tuple[BenchmarkRow, ...], groups: Sequence[Mapping[str, Any]]) -> PartsTable:
    classes = [*groups[0]["test_classes"]]
    own = [{s.group: s.scores.metrics["auc"] for s in row.scores.subgroups} for row in rows]
    return PartsTable(
        "Groups",
        "group",
        rows,
        ("Test images", "Test patients", *classes, "Training images", "Leaking, left out"),
        tuple(
            Part(
                each["name"],
                _page(GROUPS, each["folder"]),
                tuple(areas.get(each["name"]) for areas in own),
                (
                    *(each["test_images"], each["test_patients"]),
                    *(each["test_classes"][name] for name in classes),
                    *(each["train_images"], each["leaking_left_out"]),
                ),
            )
            for each in groups
        ),
        "Each group is tested by models trained on the images of the others. Leaking: images of "
        "the others that patients or duplicates connect with those of the group.",
    )


def _page(kind: str, folder: str) -> str:
    return f"{kind}/{quote(folder)}/{PAGE}"
