"""The page of a benchmark: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from featx.report.cells import MAIN, MORE, columns_of, row_label
from featx.report.checklist import fill_checklists
from featx.report.figures.model import assign_styles
from featx.report.figures.training import cost_figure, epochs_figure, learning_figure
from featx.report.panels import Figure, make_panels
from featx.report.results import Results, Row, best_place, read_results
from featx.runtime.files import put_bytes

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render", "render_page", "table_to_html", "write_page"]

PAGE = "report.html"

# Notes that begin with such a word must not be overlooked.
_ALARMS = ("SHORTCUT", "LEAK", "COLLAPSED", "SYNTHETIC")


def write_page(folder: str | Path, out: str | Path | None = None) -> Path:
    """Make the page of a benchmark from what it left in its folder.

    Neither images nor networks are needed.

    Parameters
    ----------
    folder : path-like
        With ``results.json``, and as much of the rest as there is.
    out : path-like, optional
        The page; by default ``report.html`` in the folder.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    UsageError
        If the folder is none of a benchmark.
    """
    path = Path(folder) / PAGE if out is None else Path(out)
    page = render_page(read_results(folder))
    # Names of files need not be Unicode; what is not cannot stand in a page.
    put_bytes(path, page.encode("utf-8", "replace"))
    return path


def render_page(results: Results) -> str:
    """Write a benchmark as HTML."""
    labels = [row_label(row) for row in results.rows]
    shown = _shown_at_first(results.rows)
    styles = assign_styles(len(labels), shown)
    random_state = results.run.get("settings", {}).get("random_state", 0)
    notes = results.run.get("notes", [])
    alarms = [note for note in notes if note.startswith(_ALARMS)]
    return render(
        "report.html.j2",
        results=results,
        run=results.run,
        rows=results.rows,
        labels=labels,
        styles=styles,
        shown=shown,
        best=best_place(results.rows, "auc_out_of_fold"),
        main=columns_of(MAIN, results.rows),
        more=columns_of(MORE, results.rows),
        alarms=alarms,
        notes=[note for note in notes if note not in alarms],
        panels=make_panels(results, labels, shown, random_state),
        cost=cost_figure(results.rows, labels, styles),
        learning=_learning(results, styles),
        epochs=_epochs(results, labels),
        flow=_flow(results),
        recipes=_recipes(results.rows),
        checklists=fill_checklists(results),
    )


def render(template: str, scripts: Sequence[str] = ("page.js",), **content: Any) -> str:
    """Fill a template; all text is escaped, and no script runs but the page's own."""
    style, script = _file("page.css"), "".join(map(_file, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    page = _environment().get_template(template)
    return page.render(style=Markup(style), script=Markup(script), policy=policy, **content)


def table_to_html(rows: list[Row], notes: list[str]) -> str:
    r"""Write rows as one HTML table, for a notebook.

    Examples
    --------
    >>> table_to_html([], ["<b>"]).strip()
    '<p>No rows yet.</p>\n<p>&lt;b&gt;</p>'
    """
    labels = [row_label(row) for row in rows]
    columns = columns_of(MAIN, rows)
    template = _environment().get_template("notebook.html.j2")
    return template.render(rows=rows, labels=labels, columns=columns, notes=notes)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("featx.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pretty"] = _pretty
    environment.filters["breakable"] = _breakable
    return environment


def _file(name: str) -> str:
    return (
        resources.files("featx.report")
        .joinpath("templates")
        .joinpath(name)
        .read_text(encoding="utf-8")
    )


def _breakable(text: str) -> Markup:
    """Let a long name go on in the next line where its parts meet."""
    return Markup("<wbr>").join(re.split("(?<=[:_+/])", text))


def _pretty(value: Any) -> str:
    """Write a setting: plain if it is, otherwise as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown_at_first(rows: list[Row]) -> list[int]:
    """Pick the best frozen row and baseline, not by test images, and the best control."""
    controls = [
        place
        for place, row in enumerate(rows)
        if row["kind"] == "control" and row.get("auc") is not None
    ]
    control = max(controls, key=lambda place: rows[place]["auc"], default=None)
    found = [best_place(rows, "auc_out_of_fold"), best_place(rows, "validation_auc"), control]
    return sorted({place for place in found if place is not None}) or list(range(len(rows)))[:3]


def _learning(results: Results, styles: list[str]) -> Figure | None:
    points = [p for p in results.run.get("learning_curve", []) if p.get("auc") is not None]
    if len(points) < 2:
        return None
    names = [row["name"] for row in results.rows]
    place = names.index(points[0]["name"]) if points[0]["name"] in names else 0
    caption = (
        f"{row_label(results.rows[place])}, settings kept, fitted on part of the training "
        "patients. Band: 95 % interval. Where the curve still rises, more patients would help."
    )
    return Figure("Learning curve", caption, learning_figure(points, styles[place]))


def _epochs(results: Results, labels: list[str]) -> list[Figure]:
    figures = []
    for row, label in zip(results.rows, labels, strict=True):
        log = results.logs.get(row["name"], {})
        area = "auc" if "auc" in log or "val_auc" in log else "accuracy"
        for figure, word in (("loss", "loss"), (area, "AUC" if area == "auc" else area)):
            drawing = epochs_figure(log, figure, label)
            if drawing is not None:
                figures.append(
                    Figure(f"{label}: {word}", "Solid: validation. Dashed: training.", drawing)
                )
    return figures


def _flow(results: Results) -> list[dict[str, Any]]:
    """Give the steps of the images; of early versions' folders what the rows tell."""
    if results.run.get("flow"):
        return [{**step, "role": _role(step["step"])} for step in results.run["flow"]]
    if not results.rows:
        return []
    row = results.rows[0]
    sides: dict[str, tuple[int, int | None]] = {
        "training": (row["n_train"], None),
        "test": (row["n_test"], row.get("n_patients_test")),
    }
    return [
        {"step": name, "images": images, "patients": patients, "classes": {}, "role": "end"}
        for name, (images, patients) in sides.items()
    ]


def _role(step: str) -> str:
    """Tell where in the flow a step stands."""
    if "left out" in step:
        return "aside"
    return "start" if step.startswith("found") else "end"


def _recipes(rows: list[Row]) -> list[dict[str, Any]]:
    """Every recipe once, with the digest that names its folder in the cache."""
    from featx.features.recipe import Recipe

    found = {}
    for row in rows:
        for values in row.get("recipes", []):
            # Controls' features come of no network.
            if "weights" in values and "augmentation" in values:
                digest = Recipe.from_dict(values).digest
                found[digest] = {"digest": digest, "values": values}
    return list(found.values())
