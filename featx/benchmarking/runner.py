"""One benchmark as it goes: row after row, each on disk before the next begins."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featx.backbones.registry import split_precision
from featx.benchmarking.comparison import compare_with_reference
from featx.benchmarking.controls import CONTROLS, control_matrix
from featx.benchmarking.costs import peak_memory, start_memory_watch
from featx.benchmarking.data import Material
from featx.benchmarking.evaluation import RowMaker
from featx.benchmarking.gallery import save_gallery
from featx.benchmarking.learning_curve import CURVE_SHARES, curve_point, repeated_auc
from featx.benchmarking.notes import note_on_curve, notes_on_rows, shortcuts
from featx.benchmarking.precisions import compare_with_float32
from featx.benchmarking.result_cache import Row
from featx.benchmarking.run_metadata import RunRecord
from featx.benchmarking.sides import Sides
from featx.benchmarking.table import BenchmarkTable
from featx.datasets.dataset import ImageDataset
from featx.features.extraction import extract
from featx.features.matrix import FeatureMatrix
from featx.report.model_card import CARD_FORMAT, card_facts, model_card
from featx.report.notes import Note
from featx.report.page import report
from featx.report.records import BenchmarkRow
from featx.report.results import best_place
from featx.runtime.files import put_bytes
from featx.runtime.progress import progress

__all__ = ["Run"]

logger = logging.getLogger(__name__)


@dataclass
class Run:
    """One benchmark: its settings and what it has so far."""

    material: Material
    extraction: dict[str, Any]
    views: tuple[int, int]
    maker: RowMaker
    record: RunRecord
    repeats: int
    controls: bool
    adapt: bool
    learning_curve: bool
    rank_by: str | None
    out: Path | None
    best: tuple[Row, Sides[FeatureMatrix]] | None = field(default=None, init=False)
    facts: dict[str, Row] = field(default_factory=dict, init=False)

    def table(
        self, backbones: Sequence[str], classifiers: Sequence[str], baselines: Sequence[str]
    ) -> BenchmarkTable:
        """Compute row after row."""
        table = BenchmarkTable([])
        self._save(table)
        for row in self._rows(backbones, classifiers, baselines):
            table.rows.append(row)
            compare_with_reference(table.rows, self.maker.predictions)
            compare_with_float32(table.rows, self.maker.predictions)
            self._save(table)
        rank_by = self.rank_by
        if rank_by is not None:
            table.rows.sort(key=lambda row: row[rank_by] or 0.0, reverse=True)
        # What came after the last row, and the time it took.
        self._save(table)
        if self.out is not None:
            self._show(table.rows, self.out)
        return table

    def _show(self, rows: list[Row], out: Path) -> None:
        """Make the page, with images as the model sees them that did best on training patients."""
        places = (
            best_place([BenchmarkRow.from_dict(row) for row in rows], figure)
            for figure in ("auc_out_of_fold", "validation_auc")
        )
        best = next((rows[place] for place in places if place is not None), None)
        if best is not None:
            predictions = self.maker.predictions[best["name"]]
            save_gallery(out, best, predictions, self.material.protocol.test)
            self._add_heat_maps(best, out)
        self._write_cards(rows, out)
        report(out)

    def _write_cards(self, rows: list[Row], out: Path) -> None:
        texts = [*self.material.audit.notes(), *shortcuts(rows)]
        limits = [Note("text", {"text": text}) for text in texts]
        for row in rows:
            if row["name"] in self.facts:
                record = BenchmarkRow.from_dict(row)
                card = model_card(row["name"], self.facts[row["name"]], record, limits)
                target = out / "models" / f"{row['name']}.md"
                put_bytes(target, card.encode("utf-8", "replace"))

    def _add_heat_maps(self, row: Row, out: Path) -> None:
        from featx.explanation.export import add_heat_maps

        if row["kind"] != "frozen":
            return
        settings = {name: self.extraction[name] for name in ("weights", "weights_dir", "engine")}
        try:
            model = self.maker.model(row["name"])
            add_heat_maps(out, model, self.material.protocol.test, **settings)
        # Hours of work are not lost for want of a picture, whatever it wants.
        except Exception as error:
            logger.warning(f"The gallery has no heat maps: {error}")

    def _save(self, table: BenchmarkTable) -> None:
        table.run = self.record.to_dict()
        curve = note_on_curve(table.run["learning_curve"])
        table.notes = [*self.material.notes(), *curve, *notes_on_rows(table.rows)]
        if self.out is not None:
            table.save(self.out)

    def _rows(
        self, backbones: Sequence[str], classifiers: Sequence[str], baselines: Sequence[str]
    ) -> Iterator[Row]:
        for backbone in backbones:
            sides = self._embed(backbone)
            for classifier in classifiers:
                row = self._frozen(backbone, classifier, sides)
                yield row
                other = self.maker.adapted(row, sides) if self.adapt else None
                if other is not None:
                    yield other
        if self.learning_curve:
            self.record.to_dict(learning_curve=self._learning_curve())
        self.best = None
        if self.controls:
            yield from self._control_rows(backbones)
        if baselines:
            readable = self._readable()
            for name in baselines:
                yield self.maker.baseline(name, readable)

    def _embed(self, backbone: str, **changes: Any) -> Sides[FeatureMatrix]:
        backbones, precision = split_precision(backbone)
        settings = {**self.extraction, "views": self.views[1], **changes}
        settings["precision"] = precision or "float32"
        if precision == "int8":
            # The training side decides what all sides are quantized by.
            settings["calibration"] = self.material.protocol.train
        training = {**settings, "views": changes.get("views", self.views[0])}
        start_memory_watch()
        return Sides(
            train=extract(self.material.protocol.train, backbones, **training),
            test=extract(self.material.protocol.test, backbones, **settings),
            externals={
                name: extract(images, backbones, **settings)
                for name, images in self.material.externals.items()
            },
            peak_memory=peak_memory(),
        )

    def _frozen(self, backbone: str, classifier: str, sides: Sides[FeatureMatrix]) -> Row:
        row = self.maker.frozen(backbone, classifier, sides)
        if self.best is None or row["auc_out_of_fold"] > self.best[0]["auc_out_of_fold"]:
            self.best = row, sides
        if self.out is not None:
            self.facts[row["name"]] = self._card_facts(row, sides.train)
        if self.repeats > 1:
            areas = [row["auc_out_of_fold"], *self._repeated(row, sides.train)]
            row |= {"auc_seeds": areas, "auc_seeds_sd": statistics.stdev(areas)}
        return row

    def _card_facts(self, row: Row, train: FeatureMatrix) -> Row:
        def compute() -> Row:
            return card_facts(self.maker.model(row["name"]), train)

        return self.maker.once(row, compute, card=CARD_FORMAT)

    def _repeated(self, row: Row, train: FeatureMatrix) -> Iterator[float]:
        first = self.maker.fitting["random_state"] + 1
        with progress(f"Repeating {row['name']}", self.repeats - 1, "cross-validations") as advance:
            for random_state in range(first, first + self.repeats - 1):

                def compute(random_state: int = random_state) -> Row:
                    return {"auc": repeated_auc(row, train, random_state)}

                yield self.maker.once(row, compute, repeat=random_state)["auc"]
                advance()

    def _learning_curve(self) -> list[Row]:
        if self.best is None:
            return []
        row, sides = self.best
        points = []
        with progress("Learning curve", len(CURVE_SHARES), "fits") as advance:
            for share in CURVE_SHARES:

                def compute(share: float = share) -> Row:
                    random_state = self.maker.fitting["random_state"]
                    return {"point": curve_point(row, sides.train, sides.test, share, random_state)}

                points.append(self.maker.once(row, compute, curve=share)["point"])
                advance()
        return [point for point in points if point is not None]

    def _control_rows(self, backbones: Sequence[str]) -> Iterator[Row]:
        if backbones and self.extraction["weights"] != "random":
            sides = self._embed(backbones[0].split("+")[0], views=1, weights="random")
            yield self.maker.frozen("random weights", "logistic", sides, "control")
        for name in CONTROLS:
            externals = self.material.externals.items()
            sides = Sides(
                control_matrix(self.material.protocol.train, name),
                control_matrix(self.material.protocol.test, name),
                {external: control_matrix(images, name) for external, images in externals},
            )
            yield self.maker.frozen(name, "logistic", sides, "control")

    def _readable(self) -> Sides[ImageDataset]:
        """Leave out what no network can be shown."""
        unreadable = self.material.inspection.unreadable()

        def kept(images: ImageDataset, prefix: str = "") -> ImageDataset:
            return images.select([prefix + name not in unreadable for name in images.names])

        return Sides(
            kept(self.material.protocol.train),
            kept(self.material.protocol.test),
            {name: kept(s, f"{name}: ") for name, s in self.material.externals.items()},
        )
