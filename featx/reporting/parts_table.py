"""Table of a benchmark of several findings or groups: AUC of each model, images, and its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from featx.metrics.intervals import Interval
from featx.reporting.records import BenchmarkRow
from featx.reporting.results_folder import FINDINGS, GROUPS


@dataclass(frozen=True)
class Part:
    """One finding or group: its page, AUC by row, and counts in the order of the table's titles."""

    name: str
    page: str
    areas: tuple[Interval | None, ...]
    counts: tuple[int | None, ...]


@dataclass(frozen=True)
class PartsTable:
    """All findings, or all groups that were left out, with the words around them."""

    title: str
    word: str
    rows: tuple[BenchmarkRow, ...]
    counts: tuple[str, ...]
    parts: tuple[Part, ...]
    hint: str

    @classmethod
    def of(cls, rows: Sequence[BenchmarkRow], run: Mapping[str, Any]) -> PartsTable | None:
        """Lay out the parts that a run lists; None where it is one benchmark."""
        models = tuple(row for row in rows if row.kind != "control")
        if run.get(FINDINGS):
            return _of_findings(models, run[FINDINGS])
        return _of_groups(models, run[GROUPS]) if run.get(GROUPS) else None


def _of_findings(
    rows: tuple[BenchmarkRow, ...], findings: Sequence[Mapping[str, Any]]
) -> PartsTable:
    return PartsTable(
        "Findings",
        "finding",
        rows,
        ("Training images", "with it", "Test images", "with it", "Patients with it", "Not known"),
        tuple(
            Part(
                each["name"],
                _page(FINDINGS, each["folder"]),
                tuple(row.scores.per_class.get(each["name"], {}).get("auc") for row in rows),
                (
                    *(each["train_images"], each["train_positive"], each["test_images"]),
                    *(each["test_positive"], each["test_positive_patients"]),
                    each["uncertain"] + each["unknown"],
                ),
            )
            for each in findings
        ),
        "Patients with it: of the test images. Not known: uncertain or missing in the table, left "
        "out of that finding's task.",
    )


def _of_groups(rows: tuple[BenchmarkRow, ...], groups: Sequence[Mapping[str, Any]]) -> PartsTable:
    classes = [*groups[0]["test_classes"]]
    own = [{s.group: s.scores.metrics["auc"] for s in row.scores.subgroups} for row in rows]
    return PartsTable(
        "Groups",
        "group",
        rows,
        ("Test images", "Test patients", *classes, "Training images", "Leaking, left out"),
        tuple(
            Part(
                each["name"],
                _page(GROUPS, each["folder"]),
                tuple(areas.get(each["name"]) for areas in own),
                (
                    *(each["test_images"], each["test_patients"]),
                    *(each["test_classes"][name] for name in classes),
                    *(each["train_images"], each["leaking_left_out"]),
                ),
            )
            for each in groups
        ),
        "Each group is tested by models trained on the images of the others. Leaking: images of "
        "the others that patients or duplicates connect with those of the group.",
    )


def _page(kind: str, folder: str) -> str:
    return f"{kind}/{quote(folder)}/report.html"
