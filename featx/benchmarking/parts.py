"""Several benchmarks of one run, each in a folder of its own, and a table of their averages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.controls import KnownRows
from featx.benchmarking.data import AuditedData, RunData
from featx.benchmarking.evaluation import ModelEvaluator
from featx.benchmarking.published import published_figures
from featx.benchmarking.run_folder import prepare_folder
from featx.benchmarking.runner import BenchmarkRunner, run_metadata
from featx.benchmarking.table import BenchmarkTable
from featx.benchmarking.unit_rows import UnitRows
from featx.reporting.notes import Note
from featx.reporting.page import PAGE, write_page
from featx.reporting.records import BenchmarkRow
from featx.reporting.results_folder import Results, read_results

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

Summary = Callable[[Mapping[str, Results], Mapping[str, BenchmarkTable]], BenchmarkTable]


@dataclass(frozen=True)
class Part:
    """One of several benchmarks: its name in the log, folder, images, and facts for `run.json`."""

    title: str
    folder: Path
    data: AuditedData
    facts: Mapping[str, Any]


@dataclass
class PartsBenchmark:
    """Runs several benchmarks that share features through the cache, then averages their rows."""

    config: BenchmarkConfig
    folder: Path
    client: Client | None = None
    known_rows: KnownRows = field(default_factory=dict)
    started: datetime = field(default_factory=partial(datetime.now, UTC))

    def run_parts(
        self, data: RunData, parts: Mapping[str, Part], summary: Summary, *, overwrite: bool
    ) -> BenchmarkTable:
        """Run each part, and write the table and page that `summary` makes of them."""
        prepare_folder(self.folder, self.config, data, overwrite=overwrite)
        for part in parts.values() if self.config.unit is not None else ():
            # Fail before features are extracted.
            UnitRows.of(str(self.config.unit), part.data.readable())
        for part in parts.values():
            prepare_folder(part.folder, self.config, part.data, overwrite=overwrite)
        (self.folder / PAGE).unlink(missing_ok=True)
        unfinished = summary({}, {})
        unfinished.notes.insert(0, Note("unfinished", {"rows": 0}))
        unfinished.save(self.folder)
        tables = {name: self._run(part) for name, part in parts.items()}
        table = summary({n: read_results(part.folder) for n, part in parts.items()}, tables)
        table.save(self.folder)
        write_page(self.folder, self.folder / PAGE)
        return table

    def metadata(self, data: RunData, *, finished: bool) -> dict[str, Any]:
        """Return the plain values of ``run.json`` that all such runs have."""
        published = published_figures() if self.config.published else []
        run = run_metadata(self.config, data, self.started, finished=finished)
        return {**run, "published": published}

    def _run(self, part: Part) -> BenchmarkTable:
        logger.info(f"{part.title}: {part.data.split_note.text}")
        evaluator = ModelEvaluator(self.config, part.data.splits.images.class_names, part.folder)
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
