"""The card of a model file: its data, recipe, operating point, figures and limits."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from featx.backbones.registry import BACKBONES
from featx.classifiers.calibration import probabilities
from featx.classifiers.registry import CLASSIFIERS
from featx.features.matrix import FeatureMatrix
from featx.features.recipe import Recipe
from featx.metrics.scores import METRICS, Scores, evaluate, flatten
from featx.reporting.columns import MAIN, MORE, make_cell
from featx.reporting.notes import Note
from featx.reporting.page import environment
from featx.reporting.records import BenchmarkRow, current_names

if TYPE_CHECKING:
    from jinja2 import Template

    from featx.classifiers.classifier import FeatureClassifier

_FRAMINGS = {
    "squash": "squashed to",
    "shorter": "resized by the shorter side and cropped to",
    "square": "cropped to a square and resized to",
}

# Of what `card_facts` returns: a benchmark keeps it.
CARD_FORMAT = 1


def card_facts(model: FeatureClassifier, matrix: FeatureMatrix) -> dict[str, Any]:
    """Return plain values of a fitted model that its card needs."""
    patients = None
    if matrix.patients_known:
        of = dict(zip(matrix.digests, matrix.patients.tolist(), strict=True))
        patients = np.array([of[digest] for digest in model.out_of_fold_images_.tolist()])
    score = partial(
        evaluate,
        model.out_of_fold_labels_,
        threshold=model.threshold_,
        class_names=tuple(str(name) for name in model.classes_),
        patients=patients,
        random_state=model.random_state,
    )
    scores = score(model.out_of_fold_)
    # Models of before have none.
    if hasattr(model, "out_of_fold_scores_"):
        logits = model.calibration_.logits(model.out_of_fold_scores_)
        of_ranks = score(probabilities(logits)).metrics
        metrics = {**scores.metrics, **{n: of_ranks[n] for n in ("auc", "average_precision")}}
        scores = replace(scores, metrics=metrics)
    provenance = {key: value for key, value in model.provenance_.items() if key != "candidates"}
    return {
        "class_names": [str(name) for name in model.classes_],
        "threshold": model.threshold_,
        "recipes": [dict(recipe) for recipe in model.recipes_],
        "steps": [] if "fused" in provenance else [name for name, _ in model.pipeline_.steps],
        "features": model.n_features_in_,
        "chosen": model.best_params_,
        "provenance": provenance,
        "out_of_fold": flatten(scores.metrics),
        "collapsed": scores.collapse_reason,
        "off_center": scores.off_center,
    }


def model_card(
    name: str,
    facts: Mapping[str, Any],
    row: BenchmarkRow | None = None,
    limits: Sequence[Note] = (),
) -> str:
    """Write a model's card as Markdown.

    References
    ----------
    .. [1] M. Mitchell et al. (2019), "Model Cards for Model Reporting", FAT* '19,
       doi 10.1145/3287560.3287596.
    """
    provenance = current_names(facts["provenance"])
    sets = {"Out of fold": Scores.from_dict(facts["out_of_fold"]).metrics}
    places = {"out of fold": (facts["collapsed"], facts.get("off_center", ""))}
    if row is not None:
        sets["Test"] = row.scores.metrics
        sets |= {external: scores.metrics for external, scores in row.externals.items()}
        found = {"the test images": row.scores, **row.externals}
        places |= {f"on {e}": (s.collapse_reason, s.off_center) for e, s in found.items()}
    return _template().render(
        name=name,
        facts=facts,
        provenance=provenance,
        classifier=CLASSIFIERS[provenance["classifier"]],
        row=row,
        class_counts=[f"{n:,} {each}" for each, n in provenance["class_counts"].items()],
        recipes=[Recipe.from_dict(recipe) for recipe in facts["recipes"] if "weights" in recipe],
        table=[each["name"] for r in facts["recipes"] for each in r.get("columns", ())],
        backbones=BACKBONES,
        framings=_FRAMINGS,
        columns=list(sets),
        figures={
            column.title: [
                make_cell(found.get(column.field), column.form) for found in sets.values()
            ]
            for column in sorted((*MAIN[:5], *MORE[:10]), key=lambda c: METRICS.index(c.field))
        },
        collapsed={place: reason for place, (reason, _) in places.items() if reason},
        off_center={place: reason for place, (_, reason) in places.items() if reason},
        limits=limits,
        front=_front_matter(name, facts, row),
    )


def _front_matter(name: str, facts: Mapping[str, Any], row: BenchmarkRow | None) -> Markup:
    """Return what the Hugging Face Hub reads of a card, in YAML."""
    known: dict[str, Any] = {"library_name": "featx", "pipeline_tag": "image-classification"}
    known["tags"] = ["medical-imaging", "chest-x-ray", "skops", "sklearn"]
    if row is not None:
        values = [
            {"type": kind, "value": round(row.estimates[figure].value, 4)}
            for figure, kind in (("auc", "roc_auc"), ("accuracy", "accuracy"), ("f1", "f1"))
            if math.isfinite(row.estimates[figure].value)
        ]
        # The hub asks for a data set; which it was, only the authors may say.
        data = {"name": f"test images ({' or '.join(facts['class_names'])})", "type": "images"}
        task = {"type": "image-classification"}
        result = {"task": task, "dataset": data, "metrics": values}
        known["model-index"] = [{"name": name, "results": [result]}]
    # JSON is YAML, too; one line a key, with no letter that a viewer of Markdown would obey.
    texts = (json.dumps(value, ensure_ascii=False) for value in known.values())
    plain = (text.replace("<", "\\u003c").replace(">", "\\u003e") for text in texts)
    lines = (f"{key}: {_printable(text)}" for key, text in zip(known, plain, strict=True))
    return Markup("\n".join(["---", *lines, "---"]))


@cache
def _template() -> Template:
    # Every value that is filled in goes through `_escaped`.
    markdown = environment().overlay(
        autoescape=False, finalize=_escaped, keep_trailing_newline=True
    )
    return markdown.get_template("model_card.md.j2")


def _escaped(value: object) -> str:
    """Keep names from being read as Markdown, HTML or new lines."""
    if isinstance(value, Markup):
        return str(value)
    return re.sub(r"([\\`*{}\[\]<>|#])", r"\\\1", _printable(str(value)))


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
