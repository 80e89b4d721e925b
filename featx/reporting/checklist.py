"""The checklists of TRIPOD+AI, CLAIM and STARD-AI, answered from the records of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from featx.classifiers.registry import CLASSIFIERS
from featx.metrics.operating_point import Threshold
from featx.reporting.records import FITTED, FUSED, BenchmarkRow
from featx.reporting.results_folder import Results


@dataclass(frozen=True)
class Item:
    """One item of a checklist; its answer is empty where only the authors know it."""

    item: str
    asks: str
    answer: str


@dataclass(frozen=True)
class Checklist:
    """A checklist with its answers."""

    name: str
    source: str
    items: list[Item]


def fill_checklists(results: Results) -> list[Checklist]:
    """Answer the items whose values a run has records of; all others are for the authors.

    References
    ----------
    Collins GS et al. (2024). TRIPOD+AI statement. BMJ 385:e078378.

    Tejani AS et al. (2024). Checklist for artificial intelligence in medical imaging (CLAIM):
    2024 update. Radiology: Artificial Intelligence 6:e240300.

    Sounderajah V et al. (2025). The STARD-AI reporting guideline for diagnostic accuracy studies
    using artificial intelligence. Nature Medicine 31:3283-3289.
    """
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("featx.reporting")
    words = Environment(loader=loader)
    words.filters |= {"of": _of, "number": "{:,}".format}
    template = words.get_template("answers.md.j2")
    context = template.new_context(_known(results) | _rows(results))
    answers = {
        name: re.sub(r"\s*\n\s*", " ", "".join(answer(context))).strip()
        for name, answer in template.blocks.items()
    }
    file = resources.files("featx.reporting").joinpath("templates").joinpath("checklists.json")
    return [
        Checklist(
            entry["name"],
            entry["source"],
            [Item(i["item"], i["asks"], answers.get(i["answer"], "")) for i in entry["items"]],
        )
        for entry in json.loads(file.read_text(encoding="utf-8"))
    ]


def _known(results: Results) -> dict[str, Any]:
    """Return what a run knows of its images and settings; empty where it does not."""
    rows, known = results.rows, results.patients_known

    def notes(*kinds: str) -> str:
        return " ".join(note.text for note in results.notes if note.kind in kinds)

    return {
        "results": results,
        "run": results.run,
        "point": results.operating_point,
        "known": known,
        "folds": "grouped by patient" if known else "by image (patients are unknown)",
        "notes": notes,
        "steps": {
            role: "; ".join(step.text for step in results.flow if step.role == role)
            for role in ("start", "excluded", "end")
        },
        "findings": {finding.kind: finding.text for finding in results.findings},
        "divided": ", ".join(
            dict.fromkeys(each.column for row in rows for each in row.scores.subgroups)
        ),
        "versions": ", ".join(f"{n} {v}" for n, v in results.run.get("versions", {}).items()),
        "externals": ", ".join(sorted({name for row in rows for name in row.externals})),
        "misses": sum(picture.kind == "miss" for picture in results.gallery),
        "heat_maps": sum(bool(picture.heat_map) for picture in results.gallery),
    }


def _rows(results: Results) -> dict[str, Any]:
    """Return the rows by what is said of them, and their numbers."""
    rows = results.rows
    in_order = [row for row in rows if row.kind in FITTED]
    frozen = sorted(in_order, key=lambda row: FITTED.index(row.kind))
    fused, adapted, cnns, controls = (
        [row for row in rows if row.kind == kind]
        for kind in (FUSED, "adapted", "baseline", "control")
    )
    fitted = [*frozen, *fused, *adapted, *controls]
    groups = {
        "tuned": [row for row in frozen if row.kind == "tuned"],
        "several_views": [row for row in fitted if (row.test_views or 1) > 1],
        "one_view": [row for row in (*fitted, *cnns) if (row.test_views or 1) == 1],
        "pretrained": [row for row in cnns if _has_backbone(row)],
        "untrained": [row for row in cnns if not _has_backbone(row)],
        "joined": [r for r in rows if "+" in r.backbone and r.kind not in ("baseline", FUSED)],
        "pieces": [row for row in rows if row.settings.get("pieces")],
    }
    return groups | {
        "rows": rows,
        "frozen": frozen,
        "fused": fused,
        "adapted": adapted,
        "cnns": cnns,
        "controls": controls,
        "fitted": fitted,
        "networks": _listed(in_order, lambda row: row.backbone),
        "features": _listed(in_order, lambda row: f"{row.backbone} {row.costs.n_features or 0:,}"),
        "views": in_order[0].views or 1 if in_order else 0,
        "out_of_fold": _listed(in_order, lambda row: _figure(row.name, row.auc_out_of_fold)),
        "thresholds": _listed(rows, lambda row: _figure(row.name, row.threshold)),
        "calibrations": _listed(fitted, lambda row: str(row.settings.get("calibration") or "")),
        "weighted": _weighted(fitted, cnns, True),
        "unweighted": _weighted(fitted, cnns, False),
    }


def _listed(rows: Iterable[BenchmarkRow], text: Callable[[BenchmarkRow], str]) -> str:
    """Return the distinct texts of rows, joined."""
    return "; ".join(dict.fromkeys(filter(None, map(text, rows))))


def _of(rows: Iterable[BenchmarkRow], template: str, attribute: str = "backbone") -> str:
    """Fill in the distinct names of rows; empty without any."""
    names = _listed(rows, lambda row: str(getattr(row, attribute)))
    return template.format(names) if names else ""


def _figure(name: str, value: Threshold) -> str:
    """Return a name with its number or numbers, empty without any."""
    values = value if isinstance(value, tuple) else () if value is None else (value,)
    return f"{name} {', '.join(f'{each:.3f}' for each in values)}" if values else ""


def _weighted(fitted: list[BenchmarkRow], cnns: list[BenchmarkRow], weighted: bool) -> str:
    """Name what weights classes in fitting, or does not."""
    known = [row for row in fitted if row.classifier in CLASSIFIERS]
    rows = [row for row in known if CLASSIFIERS[row.classifier].weighted is weighted]
    trained = [row for row in cnns if row.settings.get("class_weights") is weighted]
    names = _listed(rows, lambda row: row.classifier), _listed(trained, lambda row: row.backbone)
    return "; ".join(filter(None, names))


def _has_backbone(row: BenchmarkRow) -> bool:
    networks = [row.settings, *row.settings.get("pieces", ())]
    return any(each.get("backbone") for each in networks)
