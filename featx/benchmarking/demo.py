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

__all__ = ["run_demo"]

logger = logging.getLogger(__name__)


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
