"""The checklists of TRIPOD+AI and CLAIM, filled in as far as a run knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from featx.report.results import Results, Row

__all__ = ["Checklist", "Item", "fill_checklists"]

FOR_THE_AUTHORS = "for the authors"


@dataclass(frozen=True)
class Item:
    """One item of a checklist."""

    item: str
    asks: str
    answer: str

    @property
    def known(self) -> bool:
        """Whether the run knows an answer."""
        return self.answer != FOR_THE_AUTHORS


@dataclass(frozen=True)
class Checklist:
    """A checklist with its answers."""

    name: str
    source: str
    items: list[Item]

    @property
    def n_known(self) -> int:
        """How many items the run knows something of."""
        return sum(item.known for item in self.items)


def fill_checklists(results: Results) -> list[Checklist]:
    """Answer what a run can answer; it never guesses the rest.

    References
    ----------
    Collins GS et al. (2024). TRIPOD+AI statement. BMJ 385:e078378.

    Tejani AS et al. (2024). Checklist for artificial intelligence in medical imaging (CLAIM):
    2024 update. Radiology: Artificial Intelligence 6:e240300.
    """
    file = resources.files("featx.report").joinpath("templates").joinpath("checklists.json")
    facts = {**_of_data(results), **_of_models(results), **_of_figures(results)}
    return [
        Checklist(
            entry["name"],
            entry["source"],
            [
                Item(item["item"], item["asks"], facts.get(item["fact"]) or FOR_THE_AUTHORS)
                for item in entry["items"]
            ],
        )
        for entry in json.loads(file.read_text(encoding="utf-8"))
    ]


def _of_data(results: Results) -> dict[str, str]:
    run, rows = results.run, results.rows
    flow = {step["step"]: step for step in run.get("flow", [])}
    counts = [_counted(step) for step in run.get("flow", [])]
    audit = run.get("audit", {}).get("findings", [])
    told = [finding["text"] for finding in audit]
    by_kind = {finding["kind"]: finding["text"] for finding in audit}
    found = flow.get("found in the folder")
    facts = {
        "flow": "; ".join(counts),
        "sources": f"As given: {_counted(found)}. Their origin is for the authors."
        if found
        else "",
        "sizes": f"All images that were there: {_counted(found)}." if found else "",
        "preparation": " ".join(told),
        "shift": by_kind.get("class-share", ""),
        "classes": f"Classes as the labels have them: {', '.join(results.class_names)}. How they "
        "were assessed is for the authors.",
        "published": f"{len(run['published'])} published figures are listed apart."
        if run.get("published")
        else "",
        "privacy": "Stored are paths, patients' marks, labels, scores and small images without "
        "metadata; --hash-patients stores marks as keyed hashes. De-identification before "
        "that, of file names and of what is burned into images, is for the authors.",
    }
    if run:
        steps = [step for step in run.get("flow", []) if "left out" in step["step"]]
        left_out = "; ".join(f"{step['step']}: {step['images']:,} images" for step in steps)
        facts["exclusions"] = (
            f"{left_out or 'No image was left out'}. Every other image was used; eligibility "
            "before that is for the authors."
        )
    note = next((n for n in run.get("notes", []) if n.startswith("Trained on")), "")
    facts["partition"] = note
    if found:
        known = found["patients"] is not None
        level = "By patient." if known else "By image: patients were not told."
        facts["disjoint"] = " ".join([level, by_kind.get("patients-across", "")]).strip()
    if rows:
        facts["numbers"] = _numbers(rows[0])
    return facts


def _of_models(results: Results) -> dict[str, str]:
    run, rows = results.run, results.rows
    kinds = {row["kind"] for row in rows}
    frozen = [row for row in rows if row["kind"] == "frozen"]
    facts = {
        "objective": "Development, and evaluation on images held out, of "
        + ", ".join(f"{row['backbone']} with {row['classifier']}" for row in rows)
        + ".",
        "no_human": "No predictor takes human judgment: networks compute them from pixels.",
        "models": "; ".join(
            f"{row['backbone']}, {row['classifier']}: {row['kind']}" for row in rows
        )
        + ". Settings are under Provenance.",
        "output": "Probabilities of each class, and a class at an operating point that training "
        "images chose: "
        + ", ".join(f"{row['name']} {row['threshold']:.3f}" for row in rows if row.get("threshold"))
        + ".",
        "code": "featx is open (Apache-2.0); the command is under Provenance. Where models and "
        "data can be had is for the authors.",
        "files": "models/*.skops hold the fitted classifiers, recipes name the networks by digest.",
        "limits": "On the images given, and no others. Not a medical device. Controls, audit and "
        "notes name what flatters the figures; the rest is for the authors.",
    }
    if frozen:
        facts |= _of_frozen(frozen)
    if "control" in kinds or any("auc_seeds_sd" in row for row in rows):
        facts["robustness"] = "Controls that know nothing of lungs stand in the table" + (
            "; spread over seeds too." if any("auc_seeds_sd" in row for row in rows) else "."
        )
    if run.get("versions"):
        facts["versions"] = ", ".join(f"{name} {v}" for name, v in run["versions"].items())
    return facts


def _of_frozen(frozen: list[Row]) -> dict[str, str]:
    first = frozen[0]
    return {
        "predictors": "All features of the frozen networks' last layer, none chosen by hand: "
        + ", ".join(f"{row['backbone']} {row['n_features']:,}" for row in _once(frozen))
        + ".",
        "recipes": "Fixed by the recipes under Provenance: size, gray or color, resizing, "
        "preprocessing, pooling, augmentation.",
        "handling": "Features standardized within each cross-validation fold where the "
        "classifier asks for it; nothing is fitted on test images.",
        "imbalance": "Classes weighted by n / (k n_class) in fitting; the operating point is "
        f"chosen afterwards. {_calibration(first)}".strip(),
        "calibration": _calibration(first),
        "prediction": f"Probabilities averaged over {first.get('test_views', 1)} views of each "
        "test image.",
        "initial": "Frozen networks: weights by SHA-256, random ones by seed, under Provenance.",
        "training": f"{first.get('views', 1)} views of each training image; hyper-parameters "
        "by cross-validation grouped by patient. Chosen ones are under Provenance.",
        "selection": "By cross-validation on training patients; test images have no say.",
        "internal": "Cross-validation grouped by patient: "
        + ", ".join(
            f"{row['name']} {row['auc_out_of_fold']:.3f}"
            for row in frozen
            if row.get("auc_out_of_fold") is not None
        )
        + " (AUC out of fold).",
    }


def _of_figures(results: Results) -> dict[str, str]:
    externals = sorted({name for row in results.rows for name in row.get("externals", {})})
    facts = {
        "measures": "AUC, accuracy, sensitivity, specificity, predictive values, F1, average "
        "precision, Brier score, calibration slope, intercept and error; ROC, precision-recall, "
        "calibration and decision curves.",
        "uncertainty": "95 % intervals that keep a patient's images together; DeLong's and "
        "McNemar's tests with Holm's correction against the reference CNN, where there is one.",
        "performance": "In the table and figures, with 95 % intervals. Subgroups are for the "
        "authors.",
    }
    if externals:
        facts["externals"] = f"Models were shown unchanged external sets: {', '.join(externals)}."
    if results.gallery:
        facts["failures"] = "The worst misses are in the gallery; their reading is for the authors."
    if any(picture.heat_map for picture in results.gallery):
        facts["explanations"] = "Heat maps stand beside the gallery's images."
    return facts


def _counted(step: Mapping[str, Any]) -> str:
    patients = "" if step["patients"] is None else f" of {step['patients']:,} patients"
    classes = ", ".join(f"{n:,} {name}" for name, n in step["classes"].items())
    return f"{step['step']}: {step['images']:,} images{patients} ({classes})"


def _numbers(row: Mapping[str, Any]) -> str:
    patients = row.get("n_patients_test")
    known = "" if patients is None else f" of {patients:,} patients"
    return f"{row['n_train']:,} training images, {row['n_test']:,} test images{known}."


def _once(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({row["backbone"]: row for row in rows}.values())


def _calibration(row: Mapping[str, Any]) -> str:
    kind = row.get("settings", {}).get("calibration")
    return "" if kind is None else f"Calibration: {kind}, on out-of-fold scores of training images."
