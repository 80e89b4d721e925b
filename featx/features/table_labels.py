"""Labels, patients and splits of a feature matrix from a table that came later."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.datasets.paths import PathEnds, posix
from featx.datasets.patients import from_names, hash_patient
from featx.datasets.rules import OpeningRules
from featx.datasets.tables.rows import TableRows, read_rows
from featx.datasets.tables.table import Table, read_frame, read_table
from featx.errors import UsageError

if TYPE_CHECKING:
    from featx.features.matrix import FeatureMatrix

logger = logging.getLogger(__name__)

_SEVERAL = "whose path fits several images"


def labels_from_table(matrix: FeatureMatrix, table: Any, rules: OpeningRules) -> FeatureMatrix:
    """Return a matrix with the labels, patients and splits of a table's rows."""
    for name in ("labels", "root", "rename_labels"):
        if getattr(rules, name):
            raise UsageError(f"a table of labels for a matrix takes no {name}; leave it out")
    is_file = isinstance(table, str | os.PathLike)
    content = read_table(Path(table)) if is_file else read_frame(table)
    rows = read_rows(content, _with_digests(content, rules))
    images = _match(matrix, rows)
    kept = rows.keep_one_each([tuple(places) if places else None for places in images])
    rows.report.check(rules.skip_problems)
    _report(matrix, rows, images, kept)
    class_names = sorted({rows.labels[row] for row in kept})
    code = {name: number for number, name in enumerate(class_names)}
    labels = np.full(matrix.n_images, -1, dtype=np.int64)
    patients, splits = matrix.patients.tolist(), matrix.splits.tolist()
    own_patients, own_splits = bool(rows.patients_from), any(rows.splits)
    by_rule = rules.patients is not None and not own_patients
    if by_rule:
        patients = from_names("patient", matrix.names, str(rules.patients))
    for row in kept:
        for place in images[row]:
            labels[place] = code[rows.labels[row]]
            if own_patients:
                patients[place] = rows.patients[row]
            if own_splits:
                splits[place] = rows.splits[row]
    if rules.hash_patients is not None and (by_rule or own_patients):
        patients = [hash_patient(patient, rules.hash_patients) for patient in patients]
    return replace(
        matrix,
        labels=labels,
        class_names=tuple(class_names),
        patients=np.array(patients, dtype=np.str_),
        patients_known=matrix.patients_known or by_rule or own_patients,
        splits=np.array(splits, dtype=np.str_),
    )


def _with_digests(table: Table, rules: OpeningRules) -> OpeningRules:
    """Match by a column `sha256` where there is no column `path`."""
    usual = "path" in table.columns or "path" in rules.columns
    if usual or "sha256" not in table.columns:
        return rules
    return replace(rules, columns={**rules.columns, "path": "sha256"})


def _match(matrix: FeatureMatrix, rows: TableRows) -> list[list[int]]:
    """Return the images of each row: by digest, by path, or by the end of either path."""
    by_digest: dict[str, list[int]] = {}
    for place, digest in enumerate(matrix.digests):
        by_digest.setdefault(digest, []).append(place)
    by_name = {posix(name): place for place, name in enumerate(matrix.names)}
    ends = PathEnds(map(posix, matrix.names))
    images = []
    for row, path in enumerate(rows.paths):
        found = by_digest.get(path.strip().lower(), []) if _is_digest(path) else []
        if path and not _is_digest(path):
            exact = by_name.get(posix(path))
            found = [exact] if exact is not None else ends.find(path, shortened=True)
            if len(found) > 1:
                shown = ", ".join(matrix.names[place] for place in found[:2])
                rows.report.add(_SEVERAL, row, f"{path}: {shown}")
        images.append(found)
    return images


def _is_digest(text: str) -> bool:
    return re.fullmatch(r"\s*[0-9a-fA-F]{64}\s*", text) is not None


def _report(
    matrix: FeatureMatrix, rows: TableRows, images: Sequence[list[int]], kept: Sequence[int]
) -> None:
    """Count rows without an image and images without a row."""
    labeled = {place for row in kept for place in images[row]}
    alone = [row for row, places in enumerate(images) if not places and rows.paths[row]]
    where = rows.table.where
    if not labeled:
        name = f", such as {rows.paths[alone[0]]}" if alone else ""
        raise UsageError(
            f"no row of {where} names an image of the matrix{name}; the matrix has, for example, "
            f"{matrix.names[0]}. Give a table with these paths, or with a column `sha256`"
        )
    left_out = [f"left out: {each.text}" for each in rows.report.passed_over()]
    without = [place for place in range(matrix.n_images) if place not in labeled]
    facts = [f"{where}: labels of {len(labeled):,} of {matrix.n_images:,} images", *left_out]
    if alone:
        row = f"row {rows.report.rows[alone[0]]}, {rows.paths[alone[0]]}"
        facts.append(f"rows without an image: {len(alone):,} ({row} for one)")
    if without:
        name = matrix.names[without[0]]
        facts.append(f"images without a row, not used: {len(without):,} ({name} for one)")
    logger.log(logging.WARNING if len(facts) > 1 else logging.INFO, "; ".join(facts))
