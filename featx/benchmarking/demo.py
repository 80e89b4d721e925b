"""Demonstration of a benchmark on synthetic radiographs."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from featx.benchmarking.benchmark import benchmark
from featx.benchmarking.table import BenchmarkTable
from featx.datasets.synthetic import PHANTOM_PATIENT_PATTERN, make_phantoms
from featx.reporting.notes import Note
from featx.reporting.page import report

logger = logging.getLogger(__name__)

NEXT_STEPS = """
How to read the table: the first rows are classical classifiers on features of
a frozen network, which take seconds; the last is a CNN trained end to end.
Controls see no anatomy: if one comes near the best row, the classes can be told
apart without looking for disease.

Next, with your own images, in one folder per class:
    featx benchmark FOLDER --patients RULE --out results   (the same table)
    featx extract FOLDER --out features.h5                 (features only)
    featx fit features.h5 --classifiers svm --out models
    featx predict models/svm.skops NEW_FOLDER --out predictions.csv
RULE says which images are of one patient; see `featx benchmark --help`."""

# Small enough for two busy cores and two minutes; a real comparison takes the defaults.
_PATIENTS = 120
_SETTINGS = {
    "classifiers": ("svm", "logistic"),
    "baselines": ("finetuned:efficientnet_lite0",),
    "views": 2,
    "test_size": 0.3,
    "baseline_settings": {"epochs": 4, "size": (96, 96)},
}


def run_demo(out: str | Path, *, random_state: int = 0) -> BenchmarkTable:
    """Benchmark a frozen network, a CNN and shortcut controls on synthetic radiographs."""
    out = Path(out)
    logger.info("The images are synthetic: the figures say nothing of patients.")
    make_phantoms(out / "images", patients=_PATIENTS, random_state=random_state)
    table = benchmark(
        out / "images",
        config=_SETTINGS,
        patients=PHANTOM_PATIENT_PATTERN,
        cache=out / "cache",
        random_state=random_state,
        out=out / "results",
    )
    table = replace(table, notes=[Note("synthetic"), *table.notes])
    table.save(out / "results")
    report(out / "results")
    return table
