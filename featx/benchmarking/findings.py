"""Benchmark of several findings: one binary task each, on shared images, features and split.

The columns of findings hold ``"1"``, ``"0"``, ``"-1"`` (uncertain) and ``""`` (unknown).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.audit.leakage import audit_split
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.data import (
    AuditedData,
    check_external_name,
    count_patients,
    split_and_audit,
)
from featx.benchmarking.finding_rows import average_rows
from featx.benchmarking.parts import Part, PartsBenchmark, alarm_notes, reference_notes
from featx.benchmarking.table import BenchmarkTable
from featx.datasets.dataset import ImageDataset
from featx.datasets.inventory import PassedOver
from featx.datasets.tables.cells import clean, finding_of
from featx.datasets.tables.labels import ALL
from featx.errors import UsageError, check_names
from featx.metrics.scores import FEWEST_PATIENTS
from featx.reporting.notes import Note
from featx.reporting.records import BenchmarkRow
from featx.reporting.results_folder import FINDINGS

Mask = npt.NDArray[np.bool_]

_MEANINGS = {"positive": 1, "negative": 0}

_REST = "other images"
"""Stratum of images without a finding, or with one that is the rarest of few patients."""


@dataclass(frozen=True)
class RareFinding:
    """A finding that too few patients have, or have not, to be evaluated."""

    name: str
    present: bool
    patients: int
    where: str
    needed: int = FEWEST_PATIENTS

    @property
    def text(self) -> str:
        """The numbers as text."""
        have = "with it" if self.present else "without it"
        return f"{self.name} ({have}: {self.patients:,} of the patients {self.where})"


def finding_names(images: ImageDataset, config: BenchmarkConfig) -> list[str]:
    """Return the names of the findings to evaluate, which are columns of the images."""
    if config.findings != (ALL,):
        check_names("finding among the columns of the images", config.findings, images.columns)
        return list(config.findings)
    others = [name for name in images.columns if name not in config.keep_columns]
    cells = {name: {*map(clean, images.columns[name].tolist())} - {""} for name in others}
    names = [n for n in others if cells[n] and None not in {*map(finding_of, cells[n])}]
    if not names:
        raise UsageError(
            "the images have no findings; give a table, or images opened with findings='all'"
        )
    return names


def with_findings(
    images: ImageDataset, names: Sequence[str], config: BenchmarkConfig
) -> ImageDataset:
    """Return images whose columns of findings are decided; those that are missing are blank."""
    columns = dict(images.columns)
    for name in names:
        cells = columns.get(name, np.full(len(images), ""))
        codes = {cell: finding_of(clean(str(cell))) for cell in np.unique(cells).tolist()}
        unclear = [cell for cell, code in codes.items() if code is None and clean(cell)]
        if unclear:
            raise UsageError(
                f"the finding {name!r} has the value {unclear[0]!r}; it must be 1, 0, -1 or blank"
            )
        codes |= {c: _MEANINGS.get(config.uncertain or "", -1) for c in codes if codes[c] == -1}
        texts = {cell: "" if code is None else str(code) for cell, code in codes.items()}
        columns[name] = np.array([texts[cell] for cell in cells.tolist()], dtype=np.str_)
    return replace(images, columns=columns)


def is_known(images: ImageDataset, name: str) -> Mask:
    """Return the images for which a finding is known."""
    return np.isin(images.columns[name], ["0", "1"])


def drop_rare(
    images: ImageDataset, names: Sequence[str], sets: Mapping[str, Mask], needed: int
) -> tuple[list[str], list[RareFinding]]:
    """Leave out findings that too few patients of a set have, or have not."""
    rare: dict[str, RareFinding] = {}
    for name in names:
        for where, mask in sets.items():
            for present in (True, False):
                chosen = mask & (images.columns[name] == str(int(present)))
                found = len(np.unique(images.patients[chosen]))
                if found < needed:
                    rare.setdefault(name, RareFinding(name, present, found, where, needed))
    return [name for name in names if name not in rare], list(rare.values())


def stratified(
    images: ImageDataset, names: Sequence[str], like: ImageDataset | None = None
) -> ImageDataset:
    """Label images by the rarest of their findings, so that a split by patient keeps them all.

    Strata of few patients are joined with the other images. An own test split needs none.
    """
    labels = np.full(len(images), _REST, dtype=object)
    order = sorted(names, key=lambda name: -int((images.columns[name] == "1").sum()))
    for name in order if like is not None or not (images.splits == "test").any() else ():
        labels[images.columns[name] == "1"] = name
    if like is not None:
        class_names = like.class_names
        labels[~np.isin(labels, class_names)] = class_names[-1]
    else:
        pairs = {*zip(labels.tolist(), images.patients.tolist(), strict=True)}
        patients = Counter(label for label, _ in pairs)
        few = [label for label in patients if patients[label] < 2 * FEWEST_PATIENTS]
        if few and len(few) < len(patients):
            labels[np.isin(labels, few)] = max(patients, key=lambda label: patients[label])
        class_names = tuple(sorted({*labels.tolist()}))
    codes = np.array([class_names.index(label) for label in labels], dtype=np.int64)
    return replace(images, labels=codes, class_names=class_names)


def of_finding(images: ImageDataset, names: Sequence[str], name: str) -> ImageDataset:
    """Return the images for which a finding is known, with its two classes."""
    known, cells = is_known(images, name), images.columns[name]
    chosen = images.select(known)
    columns = {other: each for other, each in chosen.columns.items() if other not in names}
    labels = (cells[known] == "1").astype(np.int64)
    class_names = f"{name} absent", f"{name} present"
    counts: dict[str, dict[str, int]] = {each: {} for each in class_names}
    for (code, split), count in Counter(zip(labels.tolist(), chosen.splits, strict=True)).items():
        counts[class_names[code]][str(split)] = count
    reasons = {f"with {name} uncertain": cells == "-1", f"with {name} unknown": cells == ""}
    inventory = replace(
        images.inventory,
        counts=counts,
        n_patients=count_patients(chosen),
        passed_over=(
            *images.inventory.passed_over,
            *(
                PassedOver(reason, int(found.sum()), unit="rows")
                for reason, found in reasons.items()
                if found.any()
            ),
        ),
    )
    return replace(
        chosen, labels=labels, class_names=class_names, columns=columns, inventory=inventory
    )


def count_finding(images: ImageDataset, name: str, train: Mask, test: Mask) -> dict[str, Any]:
    """Count images and patients of a finding in training and test, and those left out."""
    cells = images.columns[name]
    counts: dict[str, Any] = {}
    for where, mask in {"train": train, "test": test}.items():
        positive = mask & (cells == "1")
        counts[f"{where}_images"] = int((mask & is_known(images, name)).sum())
        counts[f"{where}_positive"] = int(positive.sum())
        counts[f"{where}_positive_patients"] = count_patients(images.select(positive))
    return {
        **counts,
        "uncertain": int((cells == "-1").sum()),
        "unknown": int((cells == "").sum()),
    }


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

    def positives(images: ImageDataset) -> dict[str, int]:
        return {name: int((images.columns[name] == "1").sum()) for name in names}

    return {"class_names": [], "flow": data.flow(positives)}


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
