"""Finished benchmarks as pilots of planned test sets."""

from __future__ import annotations

from pathlib import Path

from featx.errors import UsageError, find_name, listed
from featx.metrics.planning import Plan, measure_pilot
from featx.reporting.results_folder import read_results


def read_pilot(folder: str | Path, metric: str = "auc", row: str | None = None) -> Plan:
    """Measure on the test images of a benchmark of two classes what `featx.metrics.plan` needs.

    Figures are at the threshold of the row, which is named where there are several.
    """
    results = read_results(folder)
    predictions = results.predictions.get("", {})
    rows = {each.name: each for each in results.rows if each.name in predictions}
    if not rows:
        raise UsageError(
            f"{folder} has no predictions of its own; with several findings, give one's folder"
        )
    if row is None and len(rows) != 1:
        raise UsageError(f"{folder} has the rows {listed(rows, 8)}; name one by --row")
    name = find_name("row", row or next(iter(rows)), rows)
    found, cut = predictions[name], rows[name].threshold
    if len(found.class_names) != 2 or isinstance(cut, tuple):
        raise UsageError(f"{name} has {len(found.class_names)} classes; a plan is for two")
    return measure_pilot(
        metric,
        found.labels,
        found.probabilities[:, 1],
        threshold=cut,
        groups=found.patients,
        pos_label=1,
    )
