"""Rows of the same backbones in different precisions, and what a precision costs in AUC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from featx.backbones.precision import PRECISIONS
from featx.benchmarking.result_cache import Row
from featx.classifiers.predictions import Predictions
from featx.errors import UsageError
from featx.metrics.comparison import delong_test
from featx.metrics.ranking import ranked

__all__ = ["compare_with_float32", "split_precision", "with_precision"]


def split_precision(backbones: str) -> tuple[list[str], str | None]:
    """Tell the backbones of a row from the precision that their names end with.

    Examples
    --------
    >>> split_precision("xception@160@int8")
    (['xception@160'], 'int8')
    >>> split_precision("vgg16+resnet50")
    (['vgg16', 'resnet50'], None)
    """
    names: list[str] = []
    found: set[str | None] = set()
    for part in backbones.split("+"):
        name, _, last = part.rpartition("@")
        named = last if last in PRECISIONS else None
        names.append(part if named is None else name)
        found.add(named)
    if len(found) > 1:
        raise UsageError(
            f"{backbones}: backbones whose features are set side by side compute alike; end each "
            "with the same precision, or none"
        )
    return names, found.pop()


def with_precision(backbones: str, default: str) -> str:
    """Write a row's backbones with what they compute with, unless that is float32.

    Examples
    --------
    >>> with_precision("vgg16+resnet50", "int8"), with_precision("vgg16@float32", "int8")
    ('vgg16@int8+resnet50@int8', 'vgg16')
    """
    names, precision = split_precision(backbones)
    chosen = precision or default
    return "+".join(name if chosen == "float32" else f"{name}@{chosen}" for name in names)


def compare_with_float32(rows: Sequence[Row], predictions: Mapping[str, Predictions]) -> None:
    """Add to each row of another precision its AUC less that of the same row in float32.

    With DeLong's interval and p-value, by patient.
    """
    frozen = [row for row in rows if row["kind"] == "frozen"]
    of = {(row["backbone"], row["classifier"]): row for row in frozen}
    for row in frozen:
        names, precision = split_precision(row["backbone"])
        exact = of.get(("+".join(names), row["classifier"]))
        if precision is None or exact is None:
            continue
        here, there = predictions[row["name"]], predictions[exact["name"]]
        scores = ranked(here.probabilities), ranked(there.probabilities)
        test = delong_test(here.labels, *scores, patients=here.patients)
        row["float32"] = exact["name"]
        row["float32_auc_difference"] = test.difference
        row["float32_auc_difference_low"] = test.low
        row["float32_auc_difference_high"] = test.high
        row["float32_auc_p_value"] = test.p_value
