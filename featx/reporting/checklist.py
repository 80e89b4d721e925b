"""The checklists of TRIPOD+AI, CLAIM and STARD-AI, answered from the records of a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from string import Formatter

from featx.reporting.methods import figure, listed, method_answers
from featx.reporting.records import FITTED
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
    file = resources.files("featx.reporting").joinpath("templates").joinpath("checklists.json")
    content = json.loads(file.read_text(encoding="utf-8"))
    values = _values(results)
    answers = {name: _filled(text, values) for name, text in content["answers"].items()}
    return [
        Checklist(
            entry["name"],
            entry["source"],
            [Item(i["item"], i["asks"], answers.get(i["answer"], "")) for i in entry["items"]],
        )
        for entry in content["checklists"]
    ]


def _filled(template: str, values: dict[str, str]) -> str:
    """Fill in values; the result is empty if one of them is."""
    names = [name for _, name, _, _ in Formatter().parse(template) if name]
    return template.format_map(values) if all(values[name] for name in names) else ""


def _values(results: Results) -> dict[str, str]:
    """Return what answers are made of; empty where the run does not know it."""
    run, rows, flow = results.run, results.rows, results.flow
    frozen = [row for row in rows if row.kind in FITTED]
    first = frozen[0] if frozen else None
    steps = {
        role: "; ".join(step.text for step in flow if step.role == role)
        for role in ("start", "excluded", "end")
    }
    findings = {finding.kind: finding.text for finding in results.findings}
    known = results.patients_known
    level = "By patient." if known else "By image: patients are unknown."
    identifiers = "paths, patient identifiers (keyed hashes with --hash-patients)"
    divided = dict.fromkeys(each.column for row in rows for each in row.scores.subgroups)
    robustness = {
        "Shortcut controls are in the table.": any(row.kind == "control" for row in rows),
        "The standard deviation over seeds is reported.": any(row.auc_seeds for row in rows),
    }
    return {
        **method_answers(results),
        "models": listed(rows, lambda row: row.label),
        "n_published": _count(len(run.get("published", []))),
        "flow": "; ".join(step.text for step in flow),
        "found": steps["start"],
        "excluded": steps["excluded"] or ("No image was excluded" if run else ""),
        "evaluated": steps["end"],
        "split": " ".join(n.text for n in results.notes if n.kind in ("split", "groups"))
        or steps["end"],
        "level": f"{level} {findings.get('patients-across', '')}".strip(),
        "stored": identifiers if known else "paths",
        "folds": "grouped by patient" if known else "by image (patients are unknown)",
        "clusters": "clustered by patient" if known else "by image (patients are unknown)",
        "findings": " ".join(findings.values()),
        "class_proportions": findings.get("class-share", ""),
        "classes": ", ".join(results.class_names),
        "subgroups": f"Subgroups by {', '.join(divided)} are in a section of their own."
        if divided
        else "Subgroups are for the authors.",
        "robustness": " ".join(text for text, known in robustness.items() if known),
        "versions": ", ".join(f"{name} {v}" for name, v in run.get("versions", {}).items()),
        "frozen": listed(frozen, lambda row: row.backbone),
        "features": listed(frozen, lambda row: f"{row.backbone} {row.costs.n_features or 0:,}"),
        "views": _count(first.views or 1) if first else "",
        "out_of_fold": listed(frozen, lambda row: figure(row.name, row.auc_out_of_fold)),
        "externals": ", ".join(sorted({name for row in rows for name in row.externals})),
        "n_errors": _count(sum(picture.kind == "miss" for picture in results.gallery)),
        "n_heat_maps": _count(sum(bool(picture.heat_map) for picture in results.gallery)),
    }


def _count(number: int) -> str:
    return f"{number:,}" if number else ""
