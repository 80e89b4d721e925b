"""Benchmark of several findings: one binary task each, on shared images, features and split."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from featx.audit.leakage import audit_split
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.data import AuditedData, check_external_name, split_and_audit
from featx.benchmarking.finding_labels import (
    RareFinding,
    count_finding,
    drop_rare,
    finding_names,
    is_known,
    of_finding,
    stratified,
    with_findings,
)
from featx.benchmarking.finding_rows import average_rows
from featx.benchmarking.parts import Part, PartsBenchmark, alarm_notes, reference_notes
from featx.benchmarking.table import BenchmarkTable
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.metrics.scores import FEWEST_PATIENTS
from featx.reporting.notes import Note
from featx.reporting.records import BenchmarkRow
from featx.reporting.results_folder import FINDINGS

logger = logging.getLogger(__name__)

_TEST, _TRAINING = "for testing", "for training"


def check_findings(
    images: ImageDataset, name: str, external: ImageDataset, config: BenchmarkConfig
) -> None:
    """Refuse an external validation set in which no finding is present and absent."""
    check_external_name(name)
    names = finding_names(images, config)
    columns = with_findings(external, names, config).columns
    if not any({"0", "1"} <= {*columns[each].tolist()} for each in names):
        raise UsageError(
            f"the external set {name} has no finding that is present in some images and absent in "
            "others; give a table with the same findings"
        )


@dataclass
class FindingsBenchmark(PartsBenchmark):
    """Runs the benchmark of each finding in a folder of its own, then averages the rows."""

    kind = FINDINGS

    def run(
        self, images: ImageDataset, externals: Mapping[str, ImageDataset], *, overwrite: bool
    ) -> BenchmarkTable:
        """Split and audit all images once, evaluate each finding, and write one page."""
        data, names, rare = split_findings(images, externals, self.config)
        _report_rare(names, rare)
        logger.info(data.split_note.text)
        train, test = _sets(data)[_TRAINING], _sets(data)[_TEST]
        parts = {
            name: Part(
                f"Finding {name}",
                self._task(name, data),
                {"finding": name},
                count_finding(data.splits.images, name, train, test),
            )
            for name in names
        }
        facts = finding_facts(data, names)
        facts["findings_left_out"] = [asdict(each) for each in rare]

        def notes(rows: list[BenchmarkRow], tables: Mapping[str, BenchmarkTable]) -> list[Note]:
            return [*data.notes(), *_notes(names, rare, rows, tables)]

        average = partial(average_rows, n_train=len(data.readable().train))
        return self.run_parts(data, parts, facts, average, notes, overwrite=overwrite)

    def _task(self, name: str, data: AuditedData) -> AuditedData:
        """Return the images for which a finding is known, with its two classes."""
        inspection, names = data.inspection, [*data.inspection.images.columns]
        names = [each for each in names if each not in self.config.keep_columns]
        known = is_known(inspection.images, name)
        masks = [known]
        externals: dict[str, ImageDataset] = {}
        for external, images in inspection.externals.items():
            found = of_finding(images, names, name)
            usable = len({*found.labels.tolist()}) == 2
            masks.append(is_known(images, name) & usable)
            externals |= {external: found} if usable else {}
        images = of_finding(inspection.images, names, name)
        own = inspection.restricted(images, externals, np.concatenate(masks))
        in_test, in_train = data.splits.in_test[known], data.splits.in_train[known]
        return AuditedData(
            own,
            replace(data.splits, images=images, in_test=in_test, in_train=in_train),
            audit_split(own, in_test, in_train, allow_leaks=data.audit.allowed),
        )


def split_findings(
    images: ImageDataset, externals: Mapping[str, ImageDataset], config: BenchmarkConfig
) -> tuple[AuditedData, list[str], list[RareFinding]]:
    """Split and audit images of all findings; return the findings to evaluate, and the others."""
    names = finding_names(images, config)
    images = with_findings(images, names, config)
    names, rare = _leave_out_early(images, names)
    strata = stratified(images, names)
    others = {
        name: stratified(with_findings(each, names, config), names, strata)
        for name, each in externals.items()
    }
    data = split_and_audit(strata, others, config)
    names, more = drop_rare(data.splits.images, names, _sets(data), FEWEST_PATIENTS)
    return data, names, [*rare, *more]


def finding_facts(data: AuditedData, names: Sequence[str]) -> dict[str, Any]:
    """Return what `run.json` says of images with several findings in place of classes."""
    flow = data.flow(lambda images: _positives(images, names))
    return {"class_names": [], "flow": flow}


def _leave_out_early(
    images: ImageDataset, names: Sequence[str]
) -> tuple[list[str], list[RareFinding]]:
    """Leave out findings that no split could evaluate, before an image is read."""
    test = images.splits == "test"
    if test.any():
        sets, needed = {_TEST: test, _TRAINING: ~test}, FEWEST_PATIENTS
    else:
        sets, needed = {"in the table": ~test}, 2 * FEWEST_PATIENTS
    kept, rare = drop_rare(images, names, sets, needed)
    if not kept:
        _report_rare(kept, rare)
    return kept, rare


def _sets(data: AuditedData) -> dict[str, np.ndarray]:
    """Return the readable images of training and test."""
    readable = data.inspection.readable()[""]
    return {_TEST: data.splits.in_test & readable, _TRAINING: data.splits.in_train & readable}


def _report_rare(names: Sequence[str], rare: Sequence[RareFinding]) -> None:
    """Warn of findings that are left out, which must not be all."""
    listed = ", ".join(each.text for each in rare)
    if not names:
        raise UsageError(
            f"no finding can be evaluated: each needs {FEWEST_PATIENTS} patients with it and "
            f"without it in training and in test: {listed}. Add images, or give another --test-size"
        )
    if rare:
        logger.warning(f"Findings of too few patients are left out: {listed}.")


def _positives(images: ImageDataset, names: Sequence[str]) -> dict[str, int]:
    return {name: int((images.columns[name] == "1").sum()) for name in names}


def _notes(
    names: Sequence[str],
    rare: Sequence[RareFinding],
    rows: Sequence[BenchmarkRow],
    tables: Mapping[str, BenchmarkTable],
) -> list[Note]:
    notes = [Note("findings", {"n": len(names), "needed": FEWEST_PATIENTS})]
    if rare:
        notes.append(Note("findings-left-out", {"findings": [each.text for each in rare]}))
    for external in dict.fromkeys(name for row in rows for name in row.externals):
        there = dict.fromkeys(
            n
            for row in rows
            if external in row.externals
            for n in row.externals[external].per_class
        )
        if len(there) < len(names):
            values = {"set": external, "findings": [*there], "n": len(names)}
            notes.append(Note("findings-external", values))
    notes += reference_notes(rows)
    # Leaks are those of all images.
    return [*notes, *alarm_notes("findings-alarm", tables, shared=["leak"])]
