"""Several benchmarks of one run, each in a folder of its own, and a table of their averages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.controls import KnownRows
from featx.benchmarking.data import AuditedData, RunData
from featx.benchmarking.evaluation import ModelEvaluator
from featx.benchmarking.published import published_figures
from featx.benchmarking.run_folder import prepare_folder
from featx.benchmarking.runner import BenchmarkRunner, run_metadata
from featx.benchmarking.table import BenchmarkTable, ranked
from featx.benchmarking.unit_rows import UnitRows
from featx.reporting.notes import Note
from featx.reporting.page import PAGE, write_page
from featx.reporting.records import BenchmarkRow
from featx.reporting.results_folder import Results, part_names, read_results

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """One of several benchmarks: its name in the log, images, and facts for its `run.json`.

    `counts` are listed in that of the whole.
    """

    title: str
    data: AuditedData
    facts: Mapping[str, Any]
    counts: Mapping[str, Any]


@dataclass
class PartsBenchmark:
    """Runs several benchmarks that share features through the cache, then averages their rows."""

    config: BenchmarkConfig
    folder: Path
    client: Client | None = None
    known_rows: KnownRows = field(default_factory=dict)
    started: datetime = field(default_factory=partial(datetime.now, UTC))
    # Folder of the parts, and their name in ``run.json`` and in the table.
    kind: ClassVar[str]

    def run_parts(
        self,
        data: RunData,
        parts: Mapping[str, Part],
        facts: Mapping[str, Any],
        average: Callable[[Mapping[str, Results]], list[BenchmarkRow]],
        notes: Callable[[list[BenchmarkRow], Mapping[str, BenchmarkTable]], list[Note]],
        *,
        overwrite: bool,
    ) -> BenchmarkTable:
        """Run each part, and write a table of averages with the page of all."""
        names = part_names([*parts])
        folders = {name: self.folder / self.kind / own for name, own in names.items()}
        facts = {
            "published": published_figures() if self.config.published else [],
            self.kind: [{"name": n, "folder": names[n], **p.counts} for n, p in parts.items()],
            **facts,
        }
        prepare_folder(self.folder, self.config, data, overwrite=overwrite)
        for part in parts.values() if self.config.unit is not None else ():
            # Fail before features are extracted.
            UnitRows.of(str(self.config.unit), part.data.readable())
        for name, part in parts.items():
            prepare_folder(folders[name], self.config, part.data, overwrite=overwrite)

        def averaged(tables: dict[str, BenchmarkTable]) -> BenchmarkTable:
            results = {name: read_results(folders[name]) for name in tables}
            rows = ranked(average(results), self.config.rank_by)
            run = run_metadata(self.config, data, self.started, finished=bool(tables))
            of_parts: dict[str, Any] = {self.kind: tables}
            return BenchmarkTable(rows, notes(rows, tables), {**run, **facts}, **of_parts)

        (self.folder / PAGE).unlink(missing_ok=True)
        unfinished = averaged({})
        unfinished.notes.insert(0, Note("unfinished", {"rows": 0}))
        unfinished.save(self.folder)
        table = averaged({name: self._run(part, folders[name]) for name, part in parts.items()})
        table.save(self.folder)
        write_page(self.folder, self.folder / PAGE)
        return table

    def _run(self, part: Part, folder: Path) -> BenchmarkTable:
        logger.info(f"{part.title}: {part.data.split_note.text}")
        evaluator = ModelEvaluator(self.config, part.data.splits.images.class_names, folder)
        runner = BenchmarkRunner(
            self.config,
            part.data,
            evaluator,
            client=self.client,
            known_rows=self.known_rows,
            facts=part.facts,
        )
        return runner.run()


def alarm_notes(
    kind: str, tables: Mapping[str, BenchmarkTable], shared: Sequence[str] = ()
) -> list[Note]:
    """Join the alarms of all parts by kind, without those that the parts share."""
    alarms: dict[str, dict[str, list[str]]] = {}
    for name, table in tables.items():
        for note in table.notes:
            if note.is_alarm and note.kind not in shared:
                models = alarms.setdefault(note.kind, {}).setdefault(name, [])
                models += [note.values["model"]] if "model" in note.values else []
    return [Note(kind, {"of": of, "findings": found}) for of, found in alarms.items()]


def reference_notes(rows: Sequence[BenchmarkRow]) -> list[Note]:
    """Name the CNN that averages are compared with."""
    others = {row.comparison.other for row in rows if row.comparison is not None}
    models = [row.backbone for row in rows if row.name in others]
    return [Note("mean-reference", {"model": each}) for each in models]
