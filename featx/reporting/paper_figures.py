"""Figures for a paper, drawn by Matplotlib in sizes of journals, each with its numbers as CSV."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from featx.errors import MissingExtraError, UsageError, find_name
from featx.metrics.curves import Curve, precision_recall_curve, roc_curve
from featx.metrics.decision import net_benefit, net_benefit_of_treating_all, risk_coverage
from featx.reporting.figures import DrawnModel, reliability_bins
from featx.reporting.forest import draw_forest, find_forests
from featx.reporting.page import shown_at_first
from featx.reporting.panels import Panel, assign_styles, make_panels
from featx.reporting.records import BenchmarkRow
from featx.reporting.results_folder import FINDINGS, Results, damaged, part_folders, read_results
from featx.runtime.csv_text import write_csv
from featx.runtime.files import put_bytes

FORMATS = ("pdf", "svg", "png")

# Inches: one column of most journals, and a page.
_COLUMN, _PAGE = 3.5, 7.2

# Colors of the page, which differ in lightness, too.
_COLORS = ("#0067a5", "#c24400", "#007a58", "#a0337f", "#8a6200", "#4a4f57")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))

# Text stays text, so that journals can edit it.
_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "featx",
    "savefig.dpi": 600,
}

Numbers = list[Sequence[Any]]
"""Rows of a CSV file, the first of which names the columns."""


@dataclass(frozen=True)
class PaperFigure:
    """One figure: name of its files, what draws it and returns its numbers, inches, axes."""

    name: str
    draw: Callable[[Any], Numbers]
    size: tuple[float, float] = (_COLUMN, 3.2)
    grid: tuple[int, int] | None = None


def figures(
    folder: str | Path,
    out: str | Path | None = None,
    formats: str | Sequence[str] = ("pdf",),
) -> list[Path]:
    """Draw the figures of a benchmark for a paper.

    Models are those that the page shows at first: the best frozen one and the best baseline, chosen
    without test images, and the best control.

    Parameters
    ----------
    folder : path-like
        Folder that `featx.benchmark` or ``featx benchmark --out`` wrote.
    out : path-like, optional
        Folder to write, by default ``figures`` in the folder.
    formats : str or sequence of str, default=("pdf",)
        Of ``"pdf"``, ``"svg"`` and ``"png"`` (600 dots an inch).

    Returns
    -------
    list of Path
        Files written: each figure in each format, and its numbers as CSV.

    Raises
    ------
    UsageError
        If the folder holds no benchmark, or a format is unknown.
    MissingExtraError
        If Matplotlib is not installed.

    Examples
    --------
    >>> featx.figures("results", formats=["pdf", "png"])  # doctest: +SKIP
    [PosixPath('results/figures/roc.csv'), PosixPath('results/figures/roc.pdf'), ...]
    """
    named = [formats] if isinstance(formats, str) else formats
    kinds = [find_name("format of figures", each, FORMATS) for each in named]
    results, target = read_results(folder), Path(out or Path(folder) / "figures")
    own = [*part_folders(folder, results.run, FINDINGS).values()]
    if own:
        raise UsageError(
            f"{folder} holds averages over findings, which have no curves; give the folder of a "
            f"finding, such as {own[0]}"
        )
    with damaged(Path(folder)):
        return [path for each in _figures(results) for path in _write(each, target, kinds)]


def panel_of(results: Results, positive: str | None = None) -> Panel:
    """Return the models of one class on the test images, all of them."""
    everyone = range(len(results.rows))
    panels = make_panels(results, assign_styles(len(results.rows)), everyone)
    own = [p for p in panels if p.positive == (p.title if positive is None else positive)]
    if not own or own[0].title != own[0].positive:
        raise UsageError("this table has no predictions to draw; load it from a results folder")
    return own[0]


def _figures(results: Results) -> Iterator[PaperFigure]:
    shown = shown_at_first(results.rows)
    styles = assign_styles(len(results.rows), shown)
    panels = make_panels(results, styles, shown)
    binary = len(results.class_names) == 2
    for panel in panels:
        suffix = panel.title if not binary else panel.title.partition(" on ")[2]
        ending = _as_file(f"-{suffix}" if suffix else "")
        for name, draw in PANELS.items():
            yield PaperFigure(name + ending, partial(draw, panel=panel))
    rows = [results.rows[place] for place in shown if results.rows[place].scores.confusion.size]
    if rows:
        draw = partial(draw_confusion, rows=rows, names=results.class_names)
        yield PaperFigure("confusion", draw, (min(_PAGE, 2.4 * len(rows)), 2.6), (1, len(rows)))
    points = [p for p in results.run.get("learning_curve", []) if p.get("auc") is not None]
    if len(points) > 1:
        yield PaperFigure("learning-curve", lambda ax: draw_learning(ax, points))
    yield from _forests(results, styles, shown)
    robust = [row for row in results.rows if row.robustness]
    if robust:
        n = len({p["degradation"] for row in robust for p in row.robustness if p["grade"]})
        grid = ((n + 4) // 5, min(n, 5))
        size = (_PAGE, 1.7 * grid[0] + 0.4)
        yield PaperFigure("robustness", lambda axes: draw_robustness(axes, robust), size, grid)


def _forests(
    results: Results, styles: Sequence[str], shown: Sequence[int]
) -> Iterator[PaperFigure]:
    for forest in find_forests(results.rows, styles, shown):
        models = {place: each for place, each in forest.models.items() if each.shown}
        if models:
            drawn = replace(forest, models=models)
            n = len(drawn.figures)
            height = 1.0 + len(drawn.groups) * max(0.2, 0.09 * len(models))
            suffix = f"{forest.column}{'-' if forest.external else ''}{forest.external}"
            draw = partial(draw_forest, forest=drawn, colors=_COLORS)
            yield PaperFigure(f"subgroups-{_as_file(suffix)}", draw, (_PAGE, height), (1, n))


def _as_file(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)


def _write(figure: PaperFigure, folder: Path, kinds: Sequence[str]) -> Iterator[Path]:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("figures for a paper", "featx[figures]") from error
    with rc_context(_STYLE):
        drawing = Figure(figsize=figure.size, layout="constrained")
        numbers = figure.draw(drawing.subplots(*(figure.grid or (1, 1))))
        contents = {"csv": write_csv(numbers)}
        for kind in kinds:
            stream = BytesIO()
            # Without the time, the same numbers give the same bytes.
            date = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
            drawing.savefig(stream, format=kind, metadata=date)
            contents[kind] = stream.getvalue()
    for kind, content in contents.items():
        path = folder / f"{figure.name}.{kind}"
        put_bytes(path, content)
        yield path


def _look(model: DrawnModel) -> dict[str, Any]:
    color, dashes = (int(part[1:]) for part in model.style.split())
    return {"color": _COLORS[color], "linestyle": _DASHES[dashes]}


def _shown(panel: Panel) -> list[DrawnModel]:
    return [model for model in panel.models.values() if model.shown]


def _curves(
    ax: Any, panel: Panel, curve_of: Callable[..., Curve], columns: Sequence[str], step: str
) -> Numbers:
    """Draw curves with bands."""
    numbers: Numbers = [("model", "part", *columns, "low", "high")]
    for model in _shown(panel):
        curve = curve_of(model.positive, model.probability, model.patients, **panel.bootstrap)
        drawstyle: Any = {"drawstyle": step} if step else {}
        label = f"{model.label} (AUC {model.auc_text})"
        ax.plot(curve.x, curve.y, label=label, **_look(model), **drawstyle)
        ax.fill_between(curve.grid, curve.low, curve.high, color=_look(model)["color"], alpha=0.15)
        numbers += [(model.label, "curve", x, y, "", "") for x, y in _pairs(curve.x, curve.y)]
        bands = zip(curve.grid.tolist(), curve.low.tolist(), curve.high.tolist(), strict=True)
        numbers += [(model.label, "band", x, "", low, high) for x, low, high in bands]
    return numbers


def _pairs(x: Any, y: Any) -> list[tuple[float, float]]:
    return list(zip(np.asarray(x).tolist(), np.asarray(y).tolist(), strict=True))


def _finish(ax: Any, x: str, y: str, *, legend: str | None = "above") -> None:
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    if legend == "above":
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.3)
    elif legend:
        ax.legend(loc=legend)


def draw_roc(ax: Any, panel: Panel) -> Numbers:
    """Draw ROC curves with bands and operating points."""
    columns = ("1 - specificity", "sensitivity")
    ax.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    numbers = _curves(ax, panel, roc_curve, columns, "")
    for model in _shown(panel):
        if model.threshold is not None:
            y, x = model.rates(model.threshold)
            ax.plot([x], [y], marker="o", markersize=4, color=_look(model)["color"])
            numbers.append((model.label, "operating point", x, y, "", ""))
    _finish(ax, "1 - specificity", "Sensitivity", legend="lower right")
    return numbers


def draw_precision_recall(ax: Any, panel: Panel) -> Numbers:
    """Draw precision-recall curves with bands."""
    numbers = _curves(ax, panel, precision_recall_curve, ("recall", "precision"), "steps-pre")
    ax.set_ylim(0, 1.02)
    _finish(ax, "Sensitivity (recall)", "Positive predictive value", legend="lower left")
    return numbers


def draw_calibration(ax: Any, panel: Panel) -> Numbers:
    """Draw proportions of positives against probabilities, with Wilson's intervals."""
    ax.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    numbers: Numbers = [("model", "mean probability", "positives", "low", "high", "images")]
    for model in _shown(panel):
        bins = reliability_bins(model)
        x, y = [each[0] for each in bins], np.array([found.value for _, found, _ in bins])
        bounds = np.array([(found.low, found.high) for _, found, _ in bins]).T
        look = {**_look(model), "label": model.label, "marker": "o", "markersize": 3}
        ax.errorbar(x, y, np.abs(bounds - y), capsize=1.5, elinewidth=0.8, **look)
        numbers += [(model.label, x, p.value, p.low, p.high, n) for x, p, n in bins]
    _finish(ax, f"Mean probability of {panel.positive}", "Proportion of positives")
    return numbers


def draw_decision(ax: Any, panel: Panel) -> Numbers:
    """Draw net benefit against threshold probability, with acting on all and on none."""
    cuts = np.linspace(0, 0.99, 100)
    numbers: Numbers = [("model", "threshold probability", "net benefit")]
    models = _shown(panel)
    labels = models[0].positive
    lines: dict[str, tuple[Any, dict[str, Any]]] = {
        "act on all": (net_benefit_of_treating_all(labels, cuts), {"color": "0.5"})
    }
    lines["act on none"] = (np.zeros(len(cuts)), {"color": "0.8"})
    for model in models:
        benefit = net_benefit(model.positive, model.probability, cuts)
        lines[model.label] = (benefit, _look(model))
    for name, (benefit, look) in lines.items():
        ax.plot(cuts, benefit, label=name, **look)
        numbers += [(name, x, y) for x, y in _pairs(cuts, benefit)]
    share = float(labels.mean())
    ax.set_ylim(-0.15 * share, 1.05 * share)
    _finish(ax, "Threshold probability", "Net benefit")
    return numbers


def draw_risk(ax: Any, panel: Panel) -> Numbers:
    """Draw the proportion of errors among the most certain images."""
    numbers: Numbers = [("model", "proportion decided", "proportion of errors")]
    for model in (model for model in _shown(panel) if model.threshold is not None):
        pairs = _pairs(*risk_coverage(model.positive, model.probability, model.threshold or 0.5))
        ax.plot(*zip(*pairs, strict=True), label=model.label, **_look(model))
        numbers += [(model.label, *pair) for pair in pairs]
    legend = "above" if len(numbers) > 1 else None
    _finish(ax, "Proportion of images decided", "Proportion of errors", legend=legend)
    return numbers


PANELS: dict[str, Callable[..., Numbers]] = {
    "roc": draw_roc,
    "precision-recall": draw_precision_recall,
    "calibration": draw_calibration,
    "decision-curves": draw_decision,
    "risk-coverage": draw_risk,
}
"""What is drawn of each class and set of images, by name of the files."""


def draw_confusion(axes: Any, rows: Sequence[BenchmarkRow], names: Any) -> Numbers:
    """Draw confusion matrices, shaded by proportion of the true class."""
    numbers: Numbers = [("model", "class", *(f"predicted {name}" for name in names))]
    for ax, row in zip(np.ravel(axes), rows, strict=True):
        counts = row.scores.confusion
        ax.imshow(counts / np.maximum(counts.sum(1, keepdims=True), 1), "Blues", vmin=0, vmax=1.4)
        for (true, called), n in np.ndenumerate(counts):
            ax.text(called, true, f"{n:,}", ha="center", va="center")
        ax.set_xticks(range(len(names)), names)
        ax.set_yticks(range(len(names)), names, rotation=90, va="center")
        ax.set_title(row.label, fontsize=7)
        _finish(ax, "Predicted", "True", legend=None)
        pairs = zip(names, counts.tolist(), strict=True)
        numbers += [(row.label, name, *line) for name, line in pairs]
    return numbers


def draw_learning(ax: Any, points: Sequence[dict[str, Any]]) -> Numbers:
    """Draw AUC against the number of training patients, or images where they are unknown."""
    known = all(point.get("n_patients") is not None for point in points)
    unit = "patients" if known else "images"
    columns = [f"n_{unit}", "auc", "auc_low", "auc_high"]
    lines = sorted([point[name] for name in columns] for point in points)
    x, y, low, high = np.array(lines, dtype=float).T
    ax.plot(x, y, marker="o", markersize=3, color=_COLORS[0], label=points[0]["name"])
    ax.fill_between(x, low, high, color=_COLORS[0], alpha=0.15)
    _finish(ax, f"Training {unit}", "AUC on test", legend="lower right")
    return [columns, *lines]


def draw_robustness(axes: Any, rows: Sequence[BenchmarkRow]) -> Numbers:
    """Draw AUC by grade of each degradation."""
    figures_of = ("auc", "auc_low", "auc_high", "accuracy", "sensitivity", "specificity")
    numbers: Numbers = [("model", "degradation", "grade", *figures_of)]
    points = [(row, p) for row in rows for p in row.robustness]
    numbers += [
        (row.label, p["degradation"], p["grade"], *(p[name] for name in figures_of))
        for row, p in points
    ]
    names = dict.fromkeys(p["degradation"] for _, p in points if p["grade"])
    lowest = min(p["auc_low"] or p["auc"] or 1.0 for _, p in points)
    for ax, name in zip(np.ravel(axes), names, strict=False):
        for number, row in enumerate(rows):
            own = [p for p in row.robustness if p["degradation"] in ("none", name) and p["auc"]]
            columns = ("grade", "auc", "auc_low", "auc_high")
            lines = [[np.nan if p[c] is None else p[c] for c in columns] for p in own]
            x, y, low, high = np.array(lines, dtype=float).T
            color = _COLORS[number % len(_COLORS)]
            ax.plot(x, y, marker="o", markersize=2, color=color, label=row.label)
            ax.fill_between(x, low, high, color=color, alpha=0.15)
        ax.set_title(name, fontsize=8)
        ax.set_ylim(lowest - 0.02, 1.01)
        ax.set_xticks(range(6))
    first = np.ravel(axes)[0]
    first.figure.supxlabel("Grade", fontsize=8)
    first.figure.supylabel("AUC on test", fontsize=8)
    lines = first.get_legend_handles_labels()
    first.figure.legend(*lines, loc="outside upper center", ncols=min(2, len(rows)))
    return numbers
