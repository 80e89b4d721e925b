"""Rows of the same backbones in different precisions, and what a precision costs in AUC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from featx.backbones.registry import split_precision
from featx.benchmarking.result_cache import Row
from featx.classifiers.predictions import Predictions
from featx.metrics.comparison import delong_test
from featx.metrics.ranking import ranked

__all__ = ["compare_with_float32"]


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
