"""Run of a benchmark: row after row, each on disk before the next begins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.audit.membership import quantizing_members
from featx.benchmarking.column_rows import JOINED, ColumnRows
from featx.benchmarking.comparison import compare
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.controls import ControlRows, KnownRows
from featx.benchmarking.data import AuditedData, Features, RunData
from featx.benchmarking.divided import DividedSets
from featx.benchmarking.embedding import Embedder
from featx.benchmarking.evaluation import Evaluation, ModelEvaluator
from featx.benchmarking.fused_rows import FusedRows
from featx.benchmarking.gallery import save_gallery
from featx.benchmarking.note_rules import (
    curve_notes,
    row_notes,
    shift_notes,
    shortcut_notes,
    typicality_notes,
)
from featx.benchmarking.refits import (
    CURVE_PROPORTIONS,
    curve_point,
    image_halves,
    repeated_auc,
    shifted_scores,
)
from featx.benchmarking.result_cache import result_key
from featx.benchmarking.robustness import GRADES, degraded_figures
from featx.benchmarking.table import BenchmarkTable, ranked
from featx.benchmarking.tuned_rows import TunedData, tune_backbones
from featx.benchmarking.unit_rows import UnitRows
from featx.datasets.dataset import ImageDataset
from featx.features.columns import COLUMNS
from featx.features.matrix import FeatureMatrix
from featx.reporting.differences import pick_reference
from featx.reporting.model_card import CARD_FORMAT, card_facts, model_card
from featx.reporting.notes import Note
from featx.reporting.page import PAGE, report
from featx.reporting.records import FITTED, FUSED, BenchmarkRow
from featx.reporting.results_folder import best_place
from featx.runtime.files import put_bytes
from featx.runtime.progress import progress
from featx.runtime.versions import environment_versions

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

# Of ``run.json``.
_RUN_FORMAT = 1


@dataclass
class BenchmarkRunner:
    """Runs one benchmark; what it has so far is in `evaluations` and `curve`."""

    config: BenchmarkConfig
    data: AuditedData
    evaluator: ModelEvaluator
    published: Sequence[dict[str, Any]] = ()
    client: Client | None = None
    evaluations: list[Evaluation] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)
    shifts: list[dict[str, Any]] = field(default_factory=list)
    cards: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    quantized_on: list[Note] = field(default_factory=list)
    # Of a run on several findings: features of controls by image, and facts for `run.json`.
    known_rows: KnownRows = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    started: datetime = field(default_factory=partial(datetime.now, UTC))

    def run(self) -> BenchmarkTable:
        """Evaluate all models, then write cards, gallery and page."""
        self._save()
        for evaluation in self._evaluate():
            self.evaluations.append(self._divided(evaluation))
            self._save()
        table = self._table(finished=True)
        self._show(table.rows)
        table.save(self.out)
        report(self.out)
        return table

    @property
    def out(self) -> Path:
        """Results folder."""
        return self.evaluator.folder

    @cached_property
    def _embedder(self) -> Embedder:
        return Embedder(self.config, self.client)

    @cached_property
    def _controls(self) -> ControlRows:
        return ControlRows(self.evaluator, self.data.images, self._embedder, self.known_rows)

    def _evaluate(self) -> Iterator[Evaluation]:
        """Evaluate frozen rows, then shortcut controls, then baselines."""
        best: tuple[Evaluation, Features] | None = None
        fused = FusedRows(self.evaluator) if self.config.fuse else None
        columns = None
        if self.config.covariates:
            columns = ColumnRows.of(tuple(self.config.covariates), self.data.readable())
        for backbone in self.config.row_backbones:
            tuned = tune_backbones(backbone, self.data.images, self.config, self.out)
            features = self._embedder.embed_sets(backbone, tuned)
            found = [f for each in features.evaluated.values() for f in quantizing_members(each)]
            self.quantized_on += [Note("finding", finding.to_dict()) for finding in found]
            for classifier in self.config.classifiers:
                evaluation = self._frozen(backbone, classifier, features)
                if self.config.robustness:
                    evaluation = self._robust(evaluation, backbone, tuned)
                yield from self._with_units(evaluation, features)
                if best is None or _auc(evaluation) > _auc(best[0]):
                    best = evaluation, features
                adapted = None
                if self.config.adapt:
                    adapted = self.evaluator.evaluate_adapted(evaluation, features)
                    if adapted is not None:
                        yield adapted
                if fused is not None:
                    fused.add(features, evaluation, adapted)
            if columns is not None:
                yield from self._of_columns(backbone + JOINED, columns.joined(features))
        if fused is not None:
            yield from self._fused(fused)
        if columns is not None:
            yield from self._of_columns(COLUMNS, columns.alone())
        if self.config.learning_curve and best is not None:
            self.curve += self._learning_curve(*best)
        if self.config.internal_shifts and best is not None:
            self.shifts += self._internal_shifts(*best)
        best = None
        if self.config.controls:
            yield from self._controls.evaluate()
        readable = self.data.readable()
        for name in self.config.baselines:
            yield from self._with_units(self.evaluator.evaluate_baseline(name, readable))

    def _robust(self, evaluation: Evaluation, backbone: str, tuned: TunedData) -> Evaluation:
        """Add the figures of a frozen row on degraded test images, one view of each."""
        row, images = evaluation.row, self.data.readable().test
        logger.info(f"Robustness of {row.name}: {len(GRADES):,} sets of degraded test images.")
        model = cache(partial(self.evaluator.model, row))
        embed = self._embedder.function(backbone, tuned, views=1)
        points = []
        for name, grade in GRADES:
            compute = partial(degraded_figures, model, embed, images, name, grade)
            found = self._result(evaluation, "point", compute, degradation=[name, grade])
            points.append({"degradation": name, "grade": grade, **found})
        return replace(evaluation, row=replace(row, robustness=tuple(points)))

    @cached_property
    def _subgroups(self) -> DividedSets:
        return DividedSets.of(self.config.subgroups, self.data.images)

    def _divided(self, evaluation: Evaluation) -> Evaluation:
        """Add the figures of the subgroups of all sets, except to controls and rows by unit."""
        row = evaluation.row
        if not self.config.subgroups or row.kind in ("control", "unit"):
            return evaluation

        def stored(groups: list[Any], compute: Callable[[], Any]) -> Any:
            # With the images of each group, by which `verify` computes them again.
            return self._result(evaluation, "figures", compute, {"of": groups}, subgroups=groups)

        predictions = partial(self.evaluator.predictions, row.name)
        row = self._subgroups.add(row, predictions, stored, self.config.random_state)
        return replace(evaluation, row=row)

    @cached_property
    def _units(self) -> UnitRows | None:
        unit = self.config.unit
        return None if unit is None else UnitRows.of(unit, self.data.readable())

    def _with_units(
        self, evaluation: Evaluation, features: Features | None = None
    ) -> Iterator[Evaluation]:
        """Yield a row, and that of the model's decisions by patient or study."""
        yield evaluation
        if self._units is not None:
            train = None if features is None else features.train
            found = self._units.evaluate(self.evaluator, evaluation, train)
            if evaluation.row.name in self.cards:
                self.cards[found.row.name] = self.cards[evaluation.row.name]
            yield found

    def _of_columns(self, name: str, features: Features) -> Iterator[Evaluation]:
        for classifier in self.config.classifiers:
            evaluation = self._frozen(name, classifier, features, COLUMNS)
            yield from self._with_units(evaluation, features)

    def _fused(self, rows: FusedRows) -> Iterator[Evaluation]:
        for evaluation, features in rows.evaluate():
            if evaluation.row.kind == FUSED:
                self._keep_card(evaluation, features.train)
                yield from self._with_units(evaluation, features)
            else:
                yield evaluation

    def _frozen(
        self, backbone: str, classifier: str, features: Features, kind: str = "frozen"
    ) -> Evaluation:
        evaluation = self.evaluator.evaluate_frozen(backbone, classifier, features, kind)
        row, train = evaluation.row, features.train
        self._keep_card(evaluation, train)
        if self.config.repeats == 1:
            return evaluation
        areas = [_auc(evaluation)]
        first, n = self.config.random_state + 1, self.config.repeats - 1
        with progress(f"Repeating {row.name}", n, "cross-validations") as advance:
            for random_state in range(first, first + n):
                config = replace(self.config.fit, random_state=random_state)
                compute = partial(repeated_auc, row, train, config)
                areas.append(self._result(evaluation, "auc", compute, repeat=random_state))
                advance()
        return replace(evaluation, row=replace(row, auc_seeds=tuple(areas)))

    def _keep_card(self, evaluation: Evaluation, train: FeatureMatrix) -> None:
        row, key = evaluation.row, result_key(row=evaluation.key, card=CARD_FORMAT)
        self.cards[row.name] = self.evaluator.results.get_or_compute(
            key, lambda: card_facts(self.evaluator.model(row), train)
        )

    def _learning_curve(self, evaluation: Evaluation, features: Features) -> list[dict[str, Any]]:
        fit = partial(curve_point, evaluation.row, features.train, features.test)
        points = []
        with progress("Learning curve", len(CURVE_PROPORTIONS), "fits") as advance:
            for proportion in CURVE_PROPORTIONS:
                compute = partial(fit, proportion, self.config.fit)
                points.append(self._result(evaluation, "point", compute, curve=proportion))
                advance()
        return [point for point in points if point is not None]

    def _internal_shifts(self, evaluation: Evaluation, features: Features) -> list[dict[str, Any]]:
        row, train = evaluation.row, features.train
        if len(train.class_names) > 2:
            return []
        points = []
        halves = image_halves(partial(self._controls.matrix, self.data.images.train), train)
        with progress("Internal shifts", 2 * len(halves), "fits") as advance:
            for name, above in halves.items():
                for side, chosen in (("above", above), ("below", ~above)):
                    compute = partial(shifted_scores, row, train, chosen, self.config.fit)
                    found = self._result(evaluation, "point", compute, shift=[name, side])
                    points += [] if found is None else [{"by": name, "chosen": side, **found}]
                    advance()
        return [{"name": row.name, **point} for point in points]

    def _result(
        self,
        evaluation: Evaluation,
        name: str,
        compute: Callable[[], Any],
        record: Mapping[str, Any] | None = None,
        **inputs: Any,
    ) -> Any:
        """Return a finished result on a row, or compute and store it with what is to be kept."""
        key, kept = result_key(row=evaluation.key, **inputs), record or {}
        return self.evaluator.results.get_or_compute(key, lambda: {name: compute(), **kept})[name]

    def _save(self) -> None:
        """Write what there is so far."""
        # The page shows an earlier state; `featx report` writes it again.
        (self.out / PAGE).unlink(missing_ok=True)
        self._table().save(self.out)

    def _table(self, *, finished: bool = False) -> BenchmarkTable:
        rows = compare(self.evaluations)
        if finished:
            rows = ranked(rows, self.config.rank_by)
        notes = [*self.data.notes(), *self.quantized_on]
        notes += [*curve_notes(self.curve), *shift_notes(self.shifts)]
        notes += self._subgroups.notes() if self.config.subgroups else []
        notes += [*row_notes(rows), *typicality_notes(self.evaluations)]
        left_out = [n for n in self.config.externals if n not in self.data.inspection.externals]
        notes += [Note("externals-left-out", {"names": left_out})] if left_out else []
        if not finished:
            notes.insert(0, Note("unfinished", {"rows": len(rows)}))
        predictions = {"": {each.row.name: each.predictions for each in self.evaluations}}
        run = {
            **run_metadata(self.config, self.data, self.started, finished=finished),
            "learning_curve": list(self.curve),
            "internal_shifts": list(self.shifts),
            "published": list(self.published),
            **self.facts,
        }
        return BenchmarkTable(rows, notes, run, predictions)

    def _show(self, rows: list[BenchmarkRow]) -> None:
        """Write cards and the gallery of the row chosen without test images."""
        place = best_place(rows)
        # Chosen on training patients, never on test images.
        best = pick_reference(rows) if place is None else rows[place]
        if best is not None:
            images = self.data.splits.test
            predictions = next(e.predictions for e in self.evaluations if e.row.name == best.name)
            save_gallery(self.out, best, predictions, images)
            if best.kind in (*FITTED, FUSED):
                self._add_heat_maps(best, images)
        audit = self.data.audit
        found = [Note("finding", each.to_dict()) for each in (*audit.leaks, *audit.warnings)]
        limits = [*found, *self.quantized_on, *shortcut_notes(rows)]
        for row in rows:
            if row.name in self.cards:
                card = model_card(row.name, self.cards[row.name], row, limits)
                target = self.out / "models" / f"{row.name}.md"
                put_bytes(target, card.encode("utf-8", "replace"))

    def _add_heat_maps(self, row: BenchmarkRow, images: ImageDataset) -> None:
        from featx.explanation.export import add_heat_maps

        extraction = self.config.extraction
        try:
            add_heat_maps(
                self.out,
                self.evaluator.model(row),
                images,
                weights=extraction.weights,
                weights_dir=extraction.weights_dir,
                engine=extraction.engine,
            )
        # A failed heat map must not abort the run.
        except Exception as error:
            logger.warning(f"The gallery has no heat maps: {error}")


def run_metadata(
    config: BenchmarkConfig, data: RunData, started: datetime, *, finished: bool
) -> dict[str, Any]:
    """Return the plain values of ``run.json``, with the seconds since the start."""
    images, externals = data.inspection.images, data.inspection.externals
    return {
        "format": _RUN_FORMAT,
        "finished": finished,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
        "class_names": list(images.class_names),
        "versions": environment_versions(),
        "settings": config.to_dict(),
        "inputs": data.inputs,
        # Of all images under "", of external validation sets under their names.
        "inventory": {n: i.inventory.to_dict() for n, i in {"": images, **externals}.items()},
        "flow": data.flow(),
        "audit": data.audit.to_dict(),
    }


def _auc(evaluation: Evaluation) -> float:
    return evaluation.row.auc_out_of_fold or 0.0
