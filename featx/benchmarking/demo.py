"""The demonstration: the whole road on synthetic radiographs."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from featx.benchmarking.benchmark import benchmark
from featx.benchmarking.table import BenchmarkTable
from featx.datasets.dataset import ImageDataset
from featx.datasets.synthetic import PHANTOM_PATIENT_PATTERN, make_phantoms
from featx.reporting.notes import Note
from featx.reporting.page import report

__all__ = ["run_demo"]

logger = logging.getLogger(__name__)


def run_demo(out: str | Path, *, random_state: int = 0) -> BenchmarkTable:
    """Draw phantoms, embed them, fit the classifiers, train a CNN, and compare."""
    out = Path(out)
    folder = out / "images"
    logger.info(
        "This demonstration draws synthetic radiographs: its figures say nothing of patients."
    )
    make_phantoms(folder, random_state=random_state)
    images = ImageDataset.open(folder, PHANTOM_PATIENT_PATTERN)
    table = benchmark(
        images,
        backbones=["efficientnet_lite0"],
        classifiers=["svm", "logistic", "xgboost"],
        baselines=["finetuned:efficientnet_lite0"],
        test_size=0.3,
        cache=out / "cache",
        random_state=random_state,
        baseline_settings=DEMO_BASELINE,
        out=out / "results",
    )
    table = replace(table, notes=[Note("synthetic"), *table.notes])
    table.save(out / "results")
    report(out / "results")
    return table


# Small enough for two cores and a minute; a real comparison takes the defaults.
DEMO_BASELINE = {"epochs": 8, "size": (128, 128)}
