"""Benchmark that leaves out one group of images after the other: trained on all other groups."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from featx.benchmarking.data import AuditedData
from featx.benchmarking.finding_rows import average_rows
from featx.benchmarking.group_data import GroupData
from featx.benchmarking.parts import Part, PartsBenchmark, alarm_notes, reference_notes
from featx.benchmarking.published import published_figures
from featx.benchmarking.runner import run_metadata
from featx.benchmarking.table import BenchmarkTable, ranked
from featx.datasets.dataset import ImageDataset
from featx.metrics.scores import FEWEST_PATIENTS
from featx.reporting.notes import Note
from featx.reporting.results_folder import GROUPS, Results, part_names

__all__ = ["GroupsBenchmark"]

logger = logging.getLogger(__name__)


@dataclass
class GroupsBenchmark(PartsBenchmark):
    """Runs a benchmark for each group of a column, which is its test set."""

    def run(
        self, images: ImageDataset, externals: Mapping[str, ImageDataset], *, overwrite: bool
    ) -> BenchmarkTable:
        """Split and audit for each group, evaluate each, and write one page."""
        data = GroupData.of(images, externals, self.config)
        column, names = data.bands.column, [*data.groups]
        for each in data.left_out:
            logger.warning(f"Left out of groups by {column}: {each.text}.")
        logger.info(f"Groups by {column}, each left out of training once: {', '.join(names)}.")
        folders = part_names(names)
        parts = {
            name: Part(
                f"{column} {name}",
                self.folder / GROUPS / folders[name],
                own,
                {"left_out": {"column": column, "group": name}},
            )
            for name, own in data.groups.items()
        }

        def summary(
            results: Mapping[str, Results], tables: Mapping[str, BenchmarkTable]
        ) -> BenchmarkTable:
            rows = ranked(average_rows(results, column=column), self.config.rank_by)
            run = run_metadata(self.config, data, self.started, finished=bool(tables))
            run["groups"] = [
                {"name": name, "folder": folders[name], **_count(own)}
                for name, own in data.groups.items()
            ]
            run["groups_left_out"] = [asdict(each) for each in data.left_out]
            run["published"] = published_figures() if self.config.published else []
            notes = [*_notes(data, rows), *reference_notes(rows)]
            notes += alarm_notes("groups-alarm", tables)
            return BenchmarkTable(rows, notes, run, groups=dict(tables))

        return self.run_parts(data, parts, summary, overwrite=overwrite)


def _count(data: AuditedData) -> dict[str, Any]:
    """Count the readable images that one group is tested on, and those trained on for it."""
    readable = data.readable()
    counts: dict[str, Any] = {}
    for name, images in (("train", readable.train), ("test", readable.test)):
        counts[f"{name}_images"] = len(images)
        counts[f"{name}_patients"] = (
            len(np.unique(images.patients)) if images.patients_known else None
        )
        n = np.bincount(images.labels, minlength=len(images.class_names)).tolist()
        counts[f"{name}_classes"] = dict(zip(images.class_names, n, strict=True))
    counts["leaking_left_out"] = int((~data.splits.in_test & ~data.splits.in_train).sum())
    return counts


def _notes(data: GroupData, rows: list[Any]) -> list[Note]:
    """Return the notes on how the groups were made and tested."""
    bands, first = data.bands, next(iter(data.groups.values()))
    small = {each.group for row in rows for each in row.scores.subgroups if each.is_small}
    values: dict[str, Any] = {
        "columns": [{"column": bands.column, "rule": bands.rule, "cuts": list(bands.cuts)}],
        "groups": [*data.groups],
        "small": [name for name in data.groups if name in small],
        "needed": FEWEST_PATIENTS,
        "unit": "patients" if first.splits.images.patients_known else "images",
    }
    notes = [
        Note("groups", values),
        Note("confidence", {"level": 0.95}),
        *(Note("finding", finding.to_dict()) for finding in data.audit.warnings),
    ]
    if data.left_out:
        texts = [each.text for each in data.left_out]
        notes.append(Note("groups-left-out", {"column": bands.column, "groups": texts}))
    return notes
