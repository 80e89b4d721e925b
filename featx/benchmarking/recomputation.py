"""Rows of a results folder made again: figures by scores, all else by finished rows."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from featx.benchmarking.comparison import compare
from featx.benchmarking.evaluation import Evaluation
from featx.benchmarking.result_cache import result_key
from featx.benchmarking.robustness import GRADES
from featx.errors import FeatxError
from featx.metrics.intervals import Interval
from featx.metrics.scores import Scores, Subgroup
from featx.reporting.records import BenchmarkRow
from featx.reporting.results_folder import Results
from featx.runtime.files import file_digest
from featx.runtime.serialization import plain_json


@dataclass(frozen=True)
class FinishedResults:
    """Content of ``rows/`` by key, and the digests of files that it records."""

    entries: Mapping[str, Mapping[str, Any]]
    digests: Mapping[str, list[str]]

    @classmethod
    def read(cls, folder: Path) -> FinishedResults:
        """Read what `ResultCache` wrote; early versions recorded no files."""
        entries, digests = {}, dict[str, list[str]]()
        for path in sorted(folder.glob("rows/*.json")):
            entry = json.loads(path.read_text(encoding="utf-8"))
            entries[str(entry["key"])] = entry
            for name, digest in entry.get("files", {}).items():
                place = PurePosixPath(name.replace("\\", "/"))
                # Nothing outside this folder is read.
                if not place.is_absolute() and ".." not in place.parts:
                    digests.setdefault(str(place), []).append(digest)
        return cls(entries, digests)

    def files(self, folder: Path) -> Iterator[tuple[str, str | None, str]]:
        """Yield name, digest and recorded digest of each file; None where it is missing."""
        for name, recorded in self.digests.items():
            path = folder / name
            found = file_digest(path) if path.is_file() else None
            # Rows of other versions of libraries recorded the files that were there before.
            yield name, found, found if found in recorded else recorded[-1]

    @property
    def evaluations(self) -> int:
        """Number of models that were evaluated on the test set."""
        # Adapted to an external set, a model is evaluated on that alone.
        rows = self._rows().values()
        return sum(row["kind"] != "adapted" or row["name"].endswith("-adapted") for row in rows)

    def _rows(self) -> dict[str, Mapping[str, Any]]:
        """Return the finished rows by key, without points, cards and figures of subgroups."""
        rows = {key: entry["row"] for key, entry in self.entries.items()}
        return {key: row for key, row in rows.items() if "n_test" in row and "name" in row}

    def find(self, name: str, stored: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Return key and values of a finished row; of several, those that agree best."""
        found = [(key, row) for key, row in self._rows().items() if row["name"] == name]
        none: tuple[str, Mapping[str, Any]] = ("", {})
        return max(found, key=lambda each: _agreement(each[1], stored), default=none)

    def values(self, key: str, name: str, inputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return finished results on a row; none where one is missing."""
        keys = [result_key(row=key, **each) for each in inputs]
        known = all(each in self.entries for each in keys)
        return [self.entries[each]["row"][name] for each in keys] if known else []

    def places(self, key: str, external: str, groups: Sequence[Subgroup]) -> list[Any] | None:
        """Return column, name and places of the images of each subgroup; None if not recorded."""
        found = []
        for own, entry in self.entries.items():
            of = entry["row"].get("of")
            if of is not None and of[1] == external and own == result_key(row=key, subgroups=of):
                found.append(of[2])
        names = {(each.column, each.group) for each in groups}
        return max(found, key=lambda each: len(names & {(c, g) for c, g, _ in each}), default=None)

    def missing(self, names: Collection[str]) -> list[str]:
        """Return the finished models that a table does not show."""
        found = {row["name"] for row in self._rows().values() if row["kind"] != "adapted"}
        return sorted(found.difference(names))


def _agreement(values: Mapping[str, Any], stored: Mapping[str, Any]) -> int:
    return sum(name in stored and stored[name] == value for name, value in values.items())


@dataclass
class Recomputation:
    """Makes the rows of a folder again; `unchecked` and `errors` say where that failed."""

    results: Results
    finished: FinishedResults
    unchecked: list[str] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)

    def skip(self, what: str, reason: str) -> None:
        """Note what cannot be made again."""
        self.unchecked.append(f"{what}: {reason}")

    def rows(self) -> list[BenchmarkRow]:
        """Make the rows again: figures by scores, all else by finished rows."""
        evaluations = {}
        for row in self.results.rows:
            predictions = self.results.predictions.get("", {}).get(row.name)
            if predictions is None:
                self.skip(f"figures of {row.name}", "there are no scores")
                continue
            key, recorded = self.finished.find(row.name, plain_row(row))
            if not recorded:
                self.skip(f"threshold, costs and settings of {row.name}", "no finished row")
            made = self._row(row, recorded, key)
            evaluations[row.name] = Evaluation(made, predictions, key)
        if len(evaluations) == len(self.results.rows):
            try:
                return compare([*evaluations.values()])
            except FeatxError as error:
                self.errors.append(("scores", str(error)))
        elif any(row.comparison or row.float32 or row.columns_alone for row in self.results.rows):
            self.skip("comparisons of rows", "scores of a row are missing")
        made_again = {name: each.row for name, each in evaluations.items()}
        return [
            replace(
                made_again.get(row.name, row),
                comparison=row.comparison,
                float32=row.float32,
                columns_alone=row.columns_alone,
            )
            for row in self.results.rows
        ]

    def _row(
        self,
        row: BenchmarkRow,
        recorded: Mapping[str, Any],
        key: str,
    ) -> BenchmarkRow:
        base = BenchmarkRow.from_dict(recorded) if recorded else row
        sets = {"": base.scores, **base.externals}
        for name, stored in row.externals.items():
            if name not in sets:
                # Adapted models have a finished row for each set.
                own = self.finished.find(f"{row.name}@{name}", stored.to_dict())[1]
                sets[name] = Scores.from_dict(own) if own else stored
        stored_sets = {"": row.scores, **row.externals}
        scores = {}
        for name, known in sets.items():
            place = f"scores/{row.name}{name and '@'}{name}.csv"
            predictions = self.results.predictions.get(name, {}).get(row.name)
            if predictions is None:
                self.skip(place, "the file is not here")
                scores[name] = replace(known, subgroups=stored_sets.get(name, known).subgroups)
                continue
            groups = stored_sets.get(name, known).subgroups
            places = (
                self.finished.places(key, name, groups)
                if self.results.settings.get("subgroups")
                else None
            )
            if groups and places is None:
                self.skip(f"subgroups of {place}", "their images are not recorded")
            try:
                found = predictions.decide(known.threshold).score(self.results.random_state)
                if known.fewest_patients is None:
                    self.skip(f"intervals of {place}", "an earlier version used other methods")
                    found = _with_bounds(found, known)
                if places is not None:
                    decided = predictions.decide(base.threshold)
                    masks = _masks(places, len(predictions))
                    groups = decided.score_subgroups(masks, self.results.random_state)
            except FeatxError as error:
                self.errors.append((place, str(error)))
                found = known
            scores[name] = replace(found, subgroups=groups)
        base = replace(base, scores=scores.pop(""), externals=scores)
        return self._with_points(base, row, key)

    def _with_points(
        self,
        base: BenchmarkRow,
        row: BenchmarkRow,
        key: str,
    ) -> BenchmarkRow:
        """Add the figures that are finished results of their own: repeats and robustness."""
        first, repeats = self.results.random_state + 1, int(self.results.settings.get("repeats", 1))
        inputs = [{"repeat": n} for n in range(first, first + repeats - 1)]
        seeds = self.finished.values(key, "auc", inputs)
        points = self.finished.values(key, "point", [{"degradation": [*grade]} for grade in GRADES])
        if row.auc_seeds and not seeds:
            self.skip(f"repeats of {row.name}", "no finished results")
        if row.robustness and not points:
            self.skip(f"robustness of {row.name}", "no finished results")
        robustness = tuple(
            {"degradation": name, "grade": grade, **point}
            for (name, grade), point in zip(GRADES, points, strict=False)
        )
        return replace(
            base,
            auc_seeds=(base.auc_out_of_fold or 0.0, *seeds) if seeds else row.auc_seeds,
            robustness=robustness if self.results.settings.get("robustness") else row.robustness,
        )


def plain_row(row: BenchmarkRow) -> dict[str, Any]:
    """Return the values of a row as ``results.json`` has them."""
    return json.loads(plain_json(row.to_dict()))


def _with_bounds(scores: Scores, bounds: Scores) -> Scores:
    """Return scores with the bounds of others."""

    def joined(own: dict[str, Interval], others: dict[str, Interval]) -> dict[str, Interval]:
        return {n: replace(others[n], value=each.value) for n, each in own.items() if n in others}

    others = bounds.per_class
    per_class = {n: joined(each, others.get(n, {})) for n, each in scores.per_class.items()}
    return replace(scores, metrics=joined(scores.metrics, bounds.metrics), per_class=per_class)


def _masks(places: Sequence[Any], n_images: int) -> dict[str, dict[str, Any]]:
    masks: dict[str, dict[str, Any]] = {}
    for column, group, chosen in places:
        masks.setdefault(column, {})[group] = np.isin(np.arange(n_images), chosen)
    return masks
