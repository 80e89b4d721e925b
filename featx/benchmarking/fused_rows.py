"""Rows of late fusion: the frozen rows of a classifier average their log-odds."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from featx.benchmarking.data import Features, TrainTestData, known_patients
from featx.benchmarking.evaluation import Evaluation, ModelEvaluator, ModelName
from featx.benchmarking.result_cache import result_key
from featx.classifiers.adaptation import adapted_threshold
from featx.classifiers.calibration import log_odds, mean_log_odds, probabilities
from featx.classifiers.fusion import fuse_models
from featx.classifiers.predictions import Predictions
from featx.features.matrix import FeatureMatrix
from featx.reporting.records import FUSED, BenchmarkRow, Costs

logger = logging.getLogger(__name__)


@dataclass
class FusedRows:
    """Collects the frozen rows of each classifier, then makes the rows of their fusion."""

    evaluator: ModelEvaluator
    features: list[Features] = field(default_factory=list)
    members: dict[str, list[Evaluation]] = field(default_factory=dict)
    adapted: dict[str, list[Evaluation]] = field(default_factory=dict)

    def add(self, features: Features, member: Evaluation, adapted: Evaluation | None) -> None:
        """Take a frozen row, and the same adapted where that was possible."""
        if not any(features is known for known in self.features):
            self.features.append(features)
        self.members.setdefault(member.row.classifier, []).append(member)
        if adapted is not None:
            self.adapted.setdefault(member.row.classifier, []).append(adapted)

    def evaluate(self) -> Iterator[tuple[Evaluation, Features]]:
        """Make the fused row of each classifier, and that of the adapted members."""
        data = _side_by_side(self.features)
        for classifier, members in self.members.items():
            fused = self._fused(members, data)
            yield fused, data
            adapted = self.adapted.get(classifier, [])
            if len(adapted) == len(members):
                found = self._adapted(fused, adapted, data)
                if found is not None:
                    yield found, data

    def _fused(self, members: Sequence[Evaluation], data: Features) -> Evaluation:
        name = f"{FUSED}-{members[0].row.classifier}"
        key = result_key(kind=FUSED, rows=[each.key for each in members])
        files = [self.evaluator.model_file(name)]
        compute = partial(self._fuse, name, [each.row for each in members], data)
        return self.evaluator.find_or_compute(name, key, compute, data, files)

    def _fuse(self, name: str, rows: Sequence[BenchmarkRow], data: Features) -> BenchmarkRow:
        started = time.perf_counter()
        model = fuse_models([self.evaluator.model(row) for row in rows], data.train)
        seconds = time.perf_counter() - started
        model.save(self.evaluator.model_file(name))
        backbone = " & ".join(row.backbone for row in rows)
        identity = ModelName(name, backbone, rows[0].classifier, FUSED)
        row = self.evaluator.feature_row(identity, data, model, seconds)
        settings = {**row.settings, "chosen": {}, "fused": [each.name for each in rows]}
        settings["fused_on"] = model.provenance_["fused"]["images"]
        costs = replace(
            row.costs,
            seconds_extract=_total(rows, "seconds_extract"),
            seconds_fit=_total(rows, "seconds_fit") + seconds,
            images_per_second=None,
        )
        n_train = max(each.n_train for each in rows)
        return replace(row, n_train=n_train, costs=costs, settings=settings)

    def _adapted(
        self, fused: Evaluation, adapted: Sequence[Evaluation], data: Features
    ) -> Evaluation | None:
        """Average the log-odds of adapted members; None where they form no two groups."""
        name = f"{fused.row.name}-adapted"
        key = result_key(kind="adapted", row=fused.key, members=[each.key for each in adapted])
        sets = [n for n in data.evaluated if all(not n or n in e.row.externals for e in adapted)]
        kept = replace(data, externals={n: each for n, each in data.externals.items() if n in sets})
        found = {n: self._mean(adapted, n, kept.evaluated[n]) for n in sets}
        thresholds = {n: adapted_threshold(log_odds(p.probabilities)) for n, p in found.items()}
        if thresholds[""] is None:
            logger.warning(f"{fused.row.name} was not adapted: its scores form no two groups")
            return None

        def compute() -> BenchmarkRow:
            scores = {
                external: self.evaluator.score_saved(name, external, each, thresholds[external])
                for external, each in found.items()
            }
            seconds = _total([each.row for each in adapted], "seconds_fit")
            costs = Costs(**{**vars(fused.row.costs), "seconds_fit": seconds})
            return replace(
                fused.row,
                name=name,
                kind="adapted",
                scores=scores.pop(""),
                externals=scores,
                costs=costs,
            )

        return self.evaluator.find_or_compute(name, key, compute, kept)

    def _mean(
        self, members: Sequence[Evaluation], external: str, images: FeatureMatrix
    ) -> Predictions:
        tables = [self.evaluator.predictions(e.row.name, external).probabilities for e in members]
        return Predictions(
            images.names,
            self.evaluator.class_names,
            probabilities(mean_log_odds(tables)),
            images.labels,
            known_patients(images),
        )


def _total(rows: Sequence[BenchmarkRow], name: str) -> float:
    return float(sum(getattr(row.costs, name) or 0.0 for row in rows))


def _side_by_side(features: Sequence[Features]) -> Features:
    """Join features; the training images are those that every row is fitted to."""
    common = set(features[0].train.names).intersection(*(each.train.names for each in features))
    train = [
        each.train.select_images([i for i, name in enumerate(each.train.names) if name in common])
        for each in features
    ]
    externals = {
        name: FeatureMatrix.join([each.externals[name] for each in features])
        for name in features[0].externals
    }
    return TrainTestData(
        train=FeatureMatrix.join(train),
        test=FeatureMatrix.join([each.test for each in features]),
        externals=externals,
        peak_memory=max(each.peak_memory for each in features),
        tuned=tuple(facts for each in features for facts in each.tuned),
    )
