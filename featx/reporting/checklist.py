"""The checklists of TRIPOD+AI, CLAIM and STARD-AI, answered from the records of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources
from string import Formatter

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
        **_method_answers(results),
        "models": _listed(rows, lambda row: row.label),
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
        "frozen": _listed(frozen, lambda row: row.backbone),
        "features": _listed(frozen, lambda row: f"{row.backbone} {row.costs.n_features or 0:,}"),
        "views": _count(first.views or 1) if first else "",
        "out_of_fold": _listed(frozen, lambda row: _figure(row.name, row.auc_out_of_fold)),
        "externals": ", ".join(sorted({name for row in rows for name in row.externals})),
        "n_errors": _count(sum(picture.kind == "miss" for picture in results.gallery)),
        "n_heat_maps": _count(sum(bool(picture.heat_map) for picture in results.gallery)),
    }


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def _method_answers(results: Results) -> dict[str, str]:
    """Return what was fitted on what, by kind of row; empty where no row is of the kind."""
    kinds = (*FITTED, FUSED, "adapted", "baseline", "control")
    by_kind = {kind: [r for r in results.rows if r.kind == kind] for kind in kinds}
    frozen = [row for kind in FITTED for row in by_kind[kind]]
    fused = by_kind[FUSED]
    adapted, cnns = by_kind["adapted"], by_kind["baseline"]
    fitted = [*frozen, *fused, *adapted, *by_kind["control"]]
    thresholds = _listed(results.rows, lambda row: _figure(row.name, row.threshold))
    return {
        "handling": _handling(frozen, adapted, cnns),
        "imbalance": _sentences(_weighting(fitted, cnns), _operating_point(results, fitted, cnns)),
        "calibrating": _calibrating(fitted, cnns),
        "prediction": _prediction(results, fitted, cnns),
        "output": _sentences(
            "Probabilities of each class, and a class." if results.rows else "",
            _operating_point(results, fitted, cnns),
            thresholds and f"Thresholds: {thresholds}.",
        ),
        "files": _sentences(
            "models/*.skops hold the fitted classifiers; recipes name the networks by digest."
            if frozen
            else "",
            "baselines/*/network.keras hold the trained networks." if cnns else "",
        ),
        "initial": _sentences(
            _of(frozen, "Frozen networks ({}): weights by SHA-256, or random by seed, in recipes."),
            _of(by_kind["tuned"], "First fine-tuned on some of the training patients: {}."),
            _of([r for r in cnns if _backbones(r)], "Trained from a network's weights: {}."),
            _of([r for r in cnns if not _backbones(r)], "Trained from random weights: {}."),
        ),
        "selection": _sentences(
            _of(frozen, "{}: by cross-validation on training images, without test images."),
            *_epochs(cnns),
        ),
        "ensembles": _ensembles(results.rows),
    }


def _listed(rows: Iterable[BenchmarkRow], text: Callable[[BenchmarkRow], str]) -> str:
    """Return the distinct texts of rows, joined."""
    return "; ".join(dict.fromkeys(filter(None, map(text, rows))))


def _figure(name: str, value: Threshold) -> str:
    """Return a name with its number or numbers, empty without any."""
    values = value if isinstance(value, tuple) else () if value is None else (value,)
    return f"{name} {', '.join(f'{each:.3f}' for each in values)}" if values else ""


def _sentences(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _of(rows: Iterable[BenchmarkRow], template: str) -> str:
    names = _listed(rows, lambda row: row.backbone)
    return template.format(names) if names else ""


def _handling(
    frozen: list[BenchmarkRow], adapted: list[BenchmarkRow], cnns: list[BenchmarkRow]
) -> str:
    scaled = "Features of {} are standardized in each cross-validation fold where needed."
    nothing = "Nothing is fitted on test images" if frozen or cnns else ""
    if nothing and adapted:
        labels = _listed(adapted, lambda row: row.label)
        nothing += f", except that these rows are fitted on all of them, without labels: {labels}"
    cnn = "Pixels of {} are scaled as in their recipes."
    return _sentences(_of(frozen, scaled), _of(cnns, cnn), nothing and f"{nothing}.")


def _weighting(fitted: list[BenchmarkRow], cnns: list[BenchmarkRow]) -> str:
    known = [row for row in fitted if row.classifier in CLASSIFIERS]
    groups = {True: "weighted by n / (k n_class) in fitting", False: "not weighted in"}
    found = []
    for weighted, words in groups.items():
        rows = [row for row in known if CLASSIFIERS[row.classifier].weighted is weighted]
        names = [_listed(rows, lambda row: row.classifier)]
        names.append(
            _listed(
                (row for row in cnns if row.settings.get("class_weights") is weighted),
                lambda row: row.backbone,
            )
        )
        if any(names):
            found.append(f"{words} {'; '.join(filter(None, names))}")
    return f"Classes are {', and '.join(found)}." if found else ""


def _operating_point(results: Results, fitted: list[BenchmarkRow], cnns: list[BenchmarkRow]) -> str:
    if len(results.class_names) > 2:
        probable = [row for row in (*fitted, *cnns) if row.threshold is None]
        found = {"The most probable class is predicted by": probable}
        for rows, place in ((fitted, "out of fold"), (cnns, "on validation images")):
            chosen = [row for row in rows if isinstance(row.threshold, tuple)]
            found[f"One cutoff per class is chosen {place} for"] = chosen
        names = {words: _listed(rows, lambda row: row.label) for words, rows in found.items()}
        return _sentences(*(each and f"{words} {each}." for words, each in names.items()))
    point = results.operating_point
    if point.criterion == "fixed":
        return f"The operating point is a given probability, {point.value:g}."
    where = [
        "out-of-fold probabilities of training images" if fitted else "",
        "validation images for CNNs" if cnns else "",
    ]
    rule = results.settings.get("operating_point") or "youden"
    return (
        f"The operating point is chosen by the rule {rule} on {' and '.join(filter(None, where))}."
        if any(where)
        else ""
    )


def _calibrating(fitted: list[BenchmarkRow], cnns: list[BenchmarkRow]) -> str:
    methods = _listed(fitted, lambda row: str(row.settings.get("calibration") or ""))
    fit = "Calibration of classifiers: {}, on out-of-fold scores of training images."
    return _sentences(fit.format(methods) if methods else "", _of(cnns, "Not calibrated: {}."))


def _prediction(results: Results, fitted: list[BenchmarkRow], cnns: list[BenchmarkRow]) -> str:
    several = [row for row in fitted if (row.test_views or 1) > 1]
    views = _listed(several, lambda row: f"{row.test_views}")
    one = [row for row in (*fitted, *cnns) if (row.test_views or 1) == 1]
    of_each = "one-vs-rest log-odds" if len(results.class_names) > 2 else "log-odds"
    return _sentences(
        f"Mean of the {of_each} of a test image's views, calibrated afterwards; views: {views}."
        if several
        else "",
        f"One view of each test image: {_listed(one, lambda row: row.label)}." if one else "",
        *(note.text for note in results.notes if note.kind == "unit"),
    )


def _epochs(cnns: list[BenchmarkRow]) -> list[str]:
    """Say by which images the epoch of each CNN was chosen."""
    found = []
    for unit in ("patient", "image"):
        rows = [row for row in cnns if row.settings.get("validation_by") == unit]
        best = [row for row in rows if row.settings.get("keep") != "last"]
        last = [row for row in rows if row.settings.get("keep") == "last"]
        held_out = f"training images held out by {unit}"
        found += [
            _of(best, f"{{}}: the epoch that is best on {held_out}."),
            _of(last, f"{{}}: the last epoch; {held_out} choose the operating point."),
        ]
    return found


def _backbones(row: BenchmarkRow) -> list[str]:
    networks = [row.settings, *row.settings.get("pieces", ())]
    return [str(each["backbone"]) for each in networks if each.get("backbone")]


def _ensembles(rows: list[BenchmarkRow]) -> str:
    joined = [r for r in rows if "+" in r.backbone and r.kind not in ("baseline", FUSED)]
    fused = [row for row in rows if row.kind == FUSED]
    pieces = [row for row in rows if row.settings.get("pieces")]
    if not rows:
        return ""
    return (
        _sentences(
            _of(joined, "Features of several frozen networks are concatenated: {}."),
            _of(fused, "Calibrated log-odds of several models are averaged: {}."),
            _of(pieces, "Networks trained one by one, their features combined: {}."),
        )
        or "No row combines several networks."
    )
