"""The card that goes with a model file: what it learned from, what it is worth, where it ends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.backbones.registry import BACKBONES
from featx.classifiers.registry import CLASSIFIERS
from featx.features.matrix import FeatureMatrix
from featx.features.recipe import Recipe
from featx.metrics.scores import evaluate, flatten
from featx.report.cells import MAIN, MORE

if TYPE_CHECKING:
    from featx.classifiers.classifier import FeatureClassifier

__all__ = ["CARD_FORMAT", "card_facts", "model_card"]

# Of what `card_facts` returns: a benchmark keeps it.
CARD_FORMAT = 1

Facts = Mapping[str, Any]

_FIGURES = (
    *("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1"),
    *("average_precision", "brier", "calibration_slope", "calibration_intercept"),
)

_PURPOSE = """\
**Not a medical device.** For research: to compare methods, and as a baseline that others can
repeat. It must not decide, nor help to decide, on the care of a patient."""

_ALWAYS = (
    "Nothing is known of images of other hospitals, devices, ages or selections than those it was "
    "measured on; measure first: `featx evaluate`.",
    "It knows only its own classes, and says one of them whatever an image shows, be it no "
    "radiograph at all.",
    "Predictive values are those of the share of each class among these images.",
)
_NO_TEST = (
    "It was fitted without test images: figures are out of fold, by fits like this one that had "
    "not seen the patient. Settings and operating point were chosen on the same folds, which "
    "flatters them a little.",
    "Leaks, and shortcuts that give the class away without disease, were not looked for; "
    "`featx benchmark` does.",
)


def card_facts(model: FeatureClassifier, matrix: FeatureMatrix) -> dict[str, Any]:
    """Gather what a card says of a fitted model."""
    owners = dict(zip(matrix.digests, matrix.patients.tolist(), strict=True))
    scores = evaluate(
        model.out_of_fold_labels_,
        model.out_of_fold_,
        threshold=model.threshold_,
        class_names=tuple(str(name) for name in model.classes_),
        patients=np.array([owners[digest] for digest in model.out_of_fold_images_.tolist()]),
        random_state=model.random_state,
    )
    provenance = {key: value for key, value in model.provenance_.items() if key != "candidates"}
    return {
        "class_names": [str(name) for name in model.classes_],
        "threshold": model.threshold_,
        "recipes": [dict(recipe) for recipe in model.recipes_],
        "steps": [name for name, _ in model.pipeline_.steps],
        "features": model.n_features_in_,
        "chosen": model.best_params_,
        "provenance": provenance,
        "out_of_fold": flatten(scores.metrics),
        "collapsed": scores.collapse_reason,
    }


def model_card(
    name: str, facts: Facts, row: Facts | None = None, limits: Sequence[str] = ()
) -> str:
    """Write a model's card.

    References
    ----------
    .. [1] M. Mitchell et al. (2019), "Model Cards for Model Reporting", FAT* '19,
       doi 10.1145/3287560.3287596.
    """
    classes = _listed([_plain(each) for each in facts["class_names"]])
    told = facts["provenance"]
    kind = CLASSIFIERS[told["classifier"]].title
    parts = [
        f"# {_plain(name)}",
        f"{kind} on features of frozen networks; tells {classes} apart.",
        _PURPOSE,
        "## Data",
        _bullets(_data(facts, row)),
        "## Recipe",
        _bullets([*map(_sight, facts["recipes"]), *_fit(facts)]),
        "## Operating point",
        _operating_point(facts),
        "## Figures",
        _figures(facts, row),
        "Intervals are at 95 % and keep a patient's images together.",
        "## Limits",
        _bullets([*_collapses(facts, row), *map(_plain, limits), *_ends(row)]),
        "## Versions",
        _bullets([f"featx {told['featx']}", *(f"{k} {v}" for k, v in told["versions"].items())]),
    ]
    return "\n\n".join(parts) + "\n"


def _plain(text: object) -> str:
    """Keep what users named from being taken for Markdown or for lines."""
    line = "".join(letter if letter.isprintable() else "?" for letter in str(text))
    return re.sub(r"([\\`*{}\[\]<>|#])", r"\\\1", line)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _data(facts: Facts, row: Facts | None) -> Iterator[str]:
    told = facts["provenance"]
    counts = [f"{count:,} {_plain(name)}" for name, count in told["class_counts"].items()]
    own = " (one image each, or nobody said whose they are)"
    yield (
        f"Training: {told['images']:,} images of {told['patients']:,} patients"
        f"{own if told['patients'] == told['images'] else ''}: {_listed(counts)}."
    )
    if row is not None:
        yield f"Test: {row['n_test']:,} images of {row['n_patients_test']:,} other patients."
        for name, found in row.get("externals", {}).items():
            yield f"Shown unchanged: {_plain(name)}, {found['n_test']:,} images."
    if "matrix_sha256" in told:
        yield f"SHA-256 of what it was fitted on: `{told['matrix_sha256']}`."


def _sight(recipe: Facts) -> str:
    backbone = str(recipe["backbone"])
    record = BACKBONES.get(backbone)
    height, width = recipe["size"]
    normalization = recipe.get("normalisation", "none")
    intensities = "" if normalization == "none" else f", intensities by {normalization}"
    precision = recipe.get("precision", "float32")
    computing = "" if precision == "float32" else f", computing in {precision}"
    weights = str(recipe["weights"])
    shown = weights if weights.startswith("random-") else f"of SHA-256 `{weights[:16]}`…"
    return (
        f"{record.title if record else _plain(backbone)}, frozen{computing}, weights {shown}: "
        f"images read in {Recipe.from_dict(dict(recipe)).color}, squashed to {height} x {width} "
        f"pixels{intensities}; "
        f"last feature maps pooled ({recipe.get('pooling', 'average')})."
    )


def _fit(facts: Facts) -> Iterator[str]:
    told = facts["provenance"]
    views = told["rows"] / told["images"]
    if views > 1:
        yield f"{views:.3g} views of a training image: itself, the others augmented."
    steps = {"scale": "standardized", "compress": "compressed by PCA"}
    done = [steps[step] for step in facts["steps"] if step in steps]
    chosen = ", ".join(f"{key} {value}" for key, value in facts["chosen"].items())
    yield f"{facts['features']:,} features, {_listed(done)}, in each fold anew."
    weighed = ", classes weighted alike" if CLASSIFIERS[told["classifier"]].weighted else ""
    yield (
        f"{CLASSIFIERS[told['classifier']].title}{weighed}; settings ({chosen}) chosen by AUC in "
        f"{told['folds']}-fold cross-validation grouped by patient, seed {told['random_state']}."
    )
    if told["calibration"] != "none":
        yield f"Scores become probabilities by {told['calibration']}, on out-of-fold scores."


def _operating_point(facts: Facts) -> str:
    if facts["threshold"] is None:
        return "The likeliest class is called."
    positive = _plain(facts["class_names"][-1])
    return (
        f"{positive} is called from a probability of {facts['threshold']:.4f} on "
        f"(`{facts['provenance']['operating_point']}`, on out-of-fold probabilities of training "
        "images)."
    )


def _figures(facts: Facts, row: Facts | None) -> str:
    columns: dict[str, Facts] = {"Out of fold": facts["out_of_fold"]}
    if row is not None:
        columns |= {"Test": row, **row.get("externals", {})}
    lines = [
        "| | " + " | ".join(map(_plain, columns)) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for column in sorted(
        (each for each in (*MAIN, *MORE) if each.field in _FIGURES),
        key=lambda each: _FIGURES.index(each.field),
    ):
        cells = [column.cell(dict(figures)) for figures in columns.values()]
        # Where few resamples define a figure, its bounds are nan.
        told = [
            f"{each.text} ({each.interval})" if each.interval.strip("na\u2013") else each.text
            for each in cells
        ]
        lines.append(f"| {column.title} | " + " | ".join(told) + " |")
    return "\n".join(lines)


def _collapses(facts: Facts, row: Facts | None) -> Iterator[str]:
    places = {"out of fold": facts["collapsed"]}
    if row is not None:
        places["on the test images"] = row["collapse_reason"]
        for name, found in row.get("externals", {}).items():
            places[f"on {_plain(name)}"] = found["collapse_reason"]
    for place, reason in places.items():
        if reason:
            yield f"COLLAPSED {place}: it {reason}. It is no result."


def _ends(row: Facts | None) -> Iterator[str]:
    if row is None:
        yield from _NO_TEST
    yield from _ALWAYS
