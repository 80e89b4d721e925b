"""Benchmark that leaves out one group of images after the other: trained on all other groups."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.audit.findings import leak_error
from featx.audit.leakage import Audit, Inspection, audit_split, inspect_images
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.data import (
    AuditedData,
    DataSplits,
    check_labeled,
    classes_missing,
    count_classes,
    external_steps,
    flow_step,
    table_steps,
    without_leaks,
)
from featx.benchmarking.finding_rows import average_rows
from featx.benchmarking.parts import Part, PartsBenchmark, alarm_notes, reference_notes
from featx.benchmarking.table import BenchmarkTable
from featx.datasets.bands import Bands, divide
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError, listed
from featx.metrics.scores import FEWEST_PATIENTS
from featx.metrics.subgroups import MISSING
from featx.reporting.notes import Note
from featx.reporting.records import BenchmarkRow
from featx.reporting.results_folder import GROUPS
from featx.runtime.serialization import digest_of_values

logger = logging.getLogger(__name__)

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LeftOut:
    """Images that are neither trained on nor tested, or a group that is not tested alone."""

    group: str
    images: int
    reason: str

    @property
    def text(self) -> str:
        """Group, number of images and reason, in words."""
        return f"{self.group} ({self.images:,} image{'s' * (self.images != 1)}): {self.reason}"


@dataclass(frozen=True, eq=False)
class GroupData:
    """Images divided by a column, with one audited split a group.

    `given` are all images, `used` those that have a group with every class.
    """

    given: ImageDataset
    used: Mask
    bands: Bands
    inspection: Inspection
    groups: Mapping[str, AuditedData]
    left_out: tuple[LeftOut, ...]

    @classmethod
    def of(
        cls, images: ImageDataset, externals: Mapping[str, ImageDataset], config: BenchmarkConfig
    ) -> GroupData:
        """Inspect the images once, and split and audit them for each group."""
        (bands,) = divide([str(config.leave_group_out)], images)
        check_labeled(images)
        masks = bands.masks(images.columns[bands.column])
        left_out = []
        for name, mask in [*masks.items()]:
            reason = "no value in the table" if name == MISSING else _gone(images, mask, "it has")
            if reason:
                left_out.append(LeftOut(name, int(mask.sum()), reason))
                del masks[name]
        used = np.logical_or.reduce([np.zeros(len(images), dtype=bool), *masks.values()])
        _check_two(bands.column, [*masks], left_out)
        if (images.splits == "test").any():
            logger.info("The split 'test' is not used: each group is the test set of one split.")
        # Images of a split 'test' are trained on, too.
        own = replace(images, splits=np.full(len(images), "")).select(used)
        inspection = inspect_images(own, externals)
        groups: dict[str, AuditedData] = {}
        for name, mask in masks.items():
            found = _split(inspection, bands.column, name, mask[used], config)
            if isinstance(found, AuditedData):
                groups[name] = found
            else:
                left_out.append(LeftOut(name, int(mask.sum()), found))
        _check_two(bands.column, [*groups], left_out)
        data = cls(images, used, bands, inspection, groups, tuple(left_out))
        data.check()
        return data

    def check(self) -> None:
        """Raise `UsageError` for leaks between groups unless they are allowed."""
        leaking = {n: each.audit for n, each in self.groups.items() if each.audit.leaks}
        if not leaking or self.audit.allowed:
            return
        name, audit = next(iter(leaking.items()))
        others = listed([each for each in leaking if each != name], 5)
        error = leak_error(
            f"with {self.bands.column} {name} left out, its images leak into training, so every "
            f"score would be too good{f' (also: {others})' if others else ''}",
            audit.leaks,
            "leave such images out of training where the other group is tested",
            "continue with a note below the table",
        )
        raise UsageError(
            f"{error}. If groups number their patients alike, name these apart in the table"
        )

    @cached_property
    def audit(self) -> Audit:
        """Findings that all groups share."""
        first, *others = (each.audit for each in self.groups.values())
        shared = [f for f in first.findings if all(f in each.findings for each in others)]
        return Audit(tuple(shared), first.allowed)

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Digests that tell two runs apart and name nothing."""
        found = {name: each.inputs for name, each in self.groups.items()}
        return {
            "images": digest_of_values({name: each["images"] for name, each in found.items()}),
            "externals": next(iter(found.values()))["externals"],
        }

    def flow(self) -> list[dict[str, Any]]:
        """Count the images from the folder to the groups; external sets follow."""
        images, column = self.given, self.bands.column
        masks = self.bands.masks(images.columns[column])
        groups = {name: self.used & mask for name, mask in masks.items()}
        readable = np.ones(len(images), dtype=bool)
        readable[self.used] = self.inspection.readable()[""]
        steps = {
            "found in the folder": np.ones(len(images), dtype=bool),
            f"without {column}, or of a group without images of each class, left out": ~self.used,
            "unreadable, left out": ~readable,
            **{f"{column} {name}": groups[name] & readable for name in groups},
        }
        found = [flow_step(name, images, mask) for name, mask in steps.items() if mask.any()]
        return [*table_steps(images), *found, *external_steps(self.inspection)]


def _split(
    inspection: Inspection, column: str, name: str, mask: Mask, config: BenchmarkConfig
) -> AuditedData | str:
    """Split and audit images for one group; return a reason in words where that cannot be."""
    images = inspection.images
    splits = DataSplits(images, mask, ~mask, None, config.random_state, (column, name))
    if config.leaks == "drop":
        splits = without_leaks(inspection, splits)
    readable = inspection.readable()[""]
    reason = _gone(images, splits.in_test & readable, "it has") or _gone(
        images, splits.in_train & readable, "without what leaks, the other groups have"
    )
    if reason:
        return reason
    allowed = config.leaks == "allow"
    audit = audit_split(inspection, splits.in_test, splits.in_train, allow_leaks=allowed)
    return AuditedData(inspection, splits, audit)


def _gone(images: ImageDataset, chosen: Mask, where: str) -> str:
    missing = classes_missing(images, chosen)
    return f"{where} no readable image of class {', '.join(missing)}" if missing else ""


def _check_two(column: str, groups: list[str], left_out: list[LeftOut]) -> None:
    if len(groups) > 1:
        return
    reasons = "; ".join(each.text for each in left_out)
    raise UsageError(
        f"the column {column!r} has {len(groups)} group{'s' * (len(groups) != 1)} that can be "
        f"tested alone, and leaving one out needs two{f'. Left out: {reasons}' if reasons else ''}."
        " Join groups in the table, give other cut points, or name another column"
    )


@dataclass
class GroupsBenchmark(PartsBenchmark):
    """Runs a benchmark for each group of a column, which is its test set."""

    kind = GROUPS

    def run(
        self, images: ImageDataset, externals: Mapping[str, ImageDataset], *, overwrite: bool
    ) -> BenchmarkTable:
        """Split and audit for each group, evaluate each, and write one page."""
        data = GroupData.of(images, externals, self.config)
        column, names = data.bands.column, [*data.groups]
        for each in data.left_out:
            logger.warning(f"Left out of groups by {column}: {each.text}.")
        logger.info(f"Groups by {column}, each left out of training once: {', '.join(names)}.")
        parts = {
            name: Part(
                f"{column} {name}",
                own,
                {"left_out": {"column": column, "group": name}},
                _count(own),
            )
            for name, own in data.groups.items()
        }
        facts = {"groups_left_out": [asdict(each) for each in data.left_out]}

        def notes(rows: list[BenchmarkRow], tables: Mapping[str, BenchmarkTable]) -> list[Note]:
            alarms = alarm_notes("groups-alarm", tables)
            return [*_notes(data, rows), *reference_notes(rows), *alarms]

        average = partial(average_rows, column=column)
        return self.run_parts(data, parts, facts, average, notes, overwrite=overwrite)


def _count(data: AuditedData) -> dict[str, Any]:
    """Count the readable images that one group is tested on, and those trained on for it."""
    readable = data.readable()
    sides = {"train": readable.train, "test": readable.test}
    leaking = ~data.splits.in_test & ~data.splits.in_train
    return {
        **data.counts,
        **{f"{name}_classes": count_classes(images) for name, images in sides.items()},
        "leaking_left_out": int(leaking.sum()),
    }


def _notes(data: GroupData, rows: list[BenchmarkRow]) -> list[Note]:
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
