"""Figures of models by subgroups of the test images and of external sets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from featx.benchmarking.data import TrainTestData
from featx.classifiers.predictions import Predictions
from featx.datasets.bands import Bands, divide, masks_of
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.metrics.scores import Scores, Subgroup
from featx.reporting.notes import Note
from featx.reporting.records import BenchmarkRow

logger = logging.getLogger(__name__)

Values = list[dict[str, Any]]

# Of stored figures; raise it when they change.
_FORMAT = 1


@dataclass(frozen=True)
class DividedSets:
    """Test images and external sets, and the groups into which columns divide them.

    Groups are chosen by training images; an external set is divided by the columns that it has.
    """

    bands: Mapping[str, Sequence[Bands]]
    sets: Mapping[str, ImageDataset]

    @classmethod
    def of(cls, subgroups: Sequence[str], images: TrainTestData[ImageDataset]) -> DividedSets:
        """Choose the groups by training images, and the columns of each set."""
        chosen = divide(subgroups, images.train)
        bands: dict[str, list[Bands]] = {"": chosen}
        for each in chosen:
            logger.info(each.text)
        for name, own in images.externals.items():
            bands[name] = []
            for each in chosen:
                try:
                    divide([each.column], own)
                    each.masks(own.columns[each.column])
                    bands[name].append(each)
                except UsageError as error:
                    logger.warning(f"The external set {name} has no such subgroups: {error}.")
        return cls(bands, images.evaluated)

    def add(
        self,
        row: BenchmarkRow,
        predictions: Callable[[str], Predictions],
        stored: Callable[[list[Any], Callable[[], Values]], Values],
        random_state: int,
    ) -> BenchmarkRow:
        """Return a row with the figures of its subgroups, by its predictions of each set.

        `stored` returns finished figures of the groups given, or computes and keeps them.
        """

        def divided(name: str, scores: Scores) -> Scores:
            found = predictions(name).decide(row.threshold)
            masks = masks_of(self.bands[name], self.sets[name], found.names)
            places = [
                [column, group, mask.nonzero()[0].tolist()]
                for column, groups in masks.items()
                for group, mask in groups.items()
            ]

            def compute() -> Values:
                return [each.to_dict() for each in found.score_subgroups(masks, random_state)]

            values = stored([_FORMAT, name, places], compute)
            return replace(scores, subgroups=tuple(map(Subgroup.from_dict, values)))

        externals = {name: divided(name, each) for name, each in row.externals.items()}
        return replace(row, scores=divided("", row.scores), externals=externals)

    def notes(self) -> list[Note]:
        """Return the note on how columns divide the images."""
        columns = [
            {"column": each.column, "rule": each.rule, "cuts": list(each.cuts)}
            for each in self.bands[""]
        ]
        return [Note("subgroups", {"columns": columns})]
