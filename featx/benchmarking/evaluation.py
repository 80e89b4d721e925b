"""Evaluation of models: each is fitted or trained, then scored once on the test images."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.costs import (
    extraction_rate,
    network_parameters,
    peak_memory,
    start_memory_watch,
)
from featx.benchmarking.data import TrainTestData
from featx.benchmarking.result_cache import ResultCache, result_key
from featx.classifiers.decision_scores import FORMAT as SCORE_FORMAT
from featx.classifiers.predictions import Predictions
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.features.matrix import FeatureMatrix
from featx.features.recipe import Recipe
from featx.reporting.records import BenchmarkRow, Costs, SetScores
from featx.runtime.files import library_versions

if TYPE_CHECKING:
    from featx.classifiers.classifier import FeatureClassifier

__all__ = ["Evaluation", "ModelEvaluator"]

logger = logging.getLogger(__name__)

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A row with the model's predictions of the test images and its key in the result cache."""

    row: BenchmarkRow
    predictions: Predictions
    key: str


@dataclass(frozen=True)
class ModelEvaluator:
    """Makes rows of models, or finds them finished from the same inputs in the results folder."""

    config: BenchmarkConfig
    class_names: tuple[str, ...]
    folder: Path

    @property
    def results(self) -> ResultCache:
        """Finished rows of the folder."""
        return ResultCache(self.folder)

    def evaluate_frozen(
        self,
        backbone: str,
        classifier: str,
        data: TrainTestData[FeatureMatrix],
        kind: str = "frozen",
    ) -> Evaluation:
        """Fit a classifier on features of frozen networks and score it."""
        name = f"{backbone}-{classifier}".replace(" ", "-")
        key = result_key(
            kind=kind,
            classifier=classifier,
            fitting=self.config.fit_settings,
            recipes=data.train.recipes,
            images=data.identity,
            scores=SCORE_FORMAT,
            versions=_versions(),
        )
        files = self._score_files(name, data)
        if kind == "frozen":
            files = [self.model_file(name), *files]
        compute = partial(self._fit, name, backbone, classifier, data, kind)
        return self._evaluation(name, key, self.results.get_or_compute(key, compute, files))

    def _fit(
        self,
        name: str,
        backbone: str,
        classifier: str,
        data: TrainTestData[FeatureMatrix],
        kind: str,
    ) -> dict[str, Any]:
        from featx.classifiers.fitting import fit
        from featx.classifiers.model_file import save_model

        start_memory_watch()
        started = time.perf_counter()
        model = fit(data.train, classifier, config=self.config.fit)
        seconds = time.perf_counter() - started
        if kind == "frozen":
            save_model(model, self.model_file(name))
        for external, matrix in data.evaluated.items():
            self._save_predictions(name, external, matrix, model.predict_images(matrix))
        row = self._feature_row(name, backbone, classifier, kind, data, model, seconds)
        return row.to_dict()

    def evaluate_adapted(
        self, frozen: Evaluation, data: TrainTestData[FeatureMatrix]
    ) -> Evaluation | None:
        """Adapt a row's model to the unlabeled test images and score it; None if not possible."""
        name = f"{frozen.row.name}-adapted"
        key = result_key(kind="adapted", row=frozen.key)
        values = self.results.get(key)
        if values is None:
            values = self._adapt(name, frozen.row, data)
            if values is None:
                return None
            self.results.put(key, values, [self._scores_file(name)])
        return self._evaluation(name, key, values)

    def _adapt(
        self, name: str, row: BenchmarkRow, data: TrainTestData[FeatureMatrix]
    ) -> dict[str, Any] | None:
        from featx.classifiers.adaptation import adapt

        start_memory_watch()
        started = time.perf_counter()
        model = self.model(row)
        try:
            adapted = adapt(model, data.train, data.test)
            reason = "the scores of the test images do not fall into two groups"
        except UsageError as error:
            adapted, reason = None, str(error)
        if adapted is None:
            logger.warning(f"{row.name} was not adapted: {reason}")
            return None
        self._save_predictions(name, "", data.test, adapted.predict_images(data.test))
        seconds = (row.costs.seconds_fit or 0.0) + time.perf_counter() - started
        test_only = TrainTestData(data.train, data.test, peak_memory=data.peak_memory)
        return self._feature_row(
            name, row.backbone, row.classifier, "adapted", test_only, adapted, seconds
        ).to_dict()

    def _feature_row(
        self,
        name: str,
        backbone: str,
        classifier: str,
        kind: str,
        data: TrainTestData[FeatureMatrix],
        model: FeatureClassifier,
        seconds_fit: float,
    ) -> BenchmarkRow:
        train, test = data.train, data.test
        scores, externals = self._scores(name, data, model.threshold_)
        return BenchmarkRow(
            name=name,
            backbone=backbone,
            classifier=classifier,
            kind=kind,
            scores=scores,
            externals=externals,
            n_train=train.n_images,
            views=int(train.view.max()) + 1,
            test_views=int(test.view.max()) + 1,
            auc_out_of_fold=model.provenance_["auc_out_of_fold"],
            costs=Costs(
                seconds_extract=train.seconds + test.seconds,
                seconds_fit=seconds_fit,
                n_features=train.X.shape[1],
                parameters=network_parameters(train.recipes),
                images_per_second=extraction_rate([train, test]),
                peak_memory=max(data.peak_memory, peak_memory()),
            ),
            recipes=tuple(dict(recipe) for recipe in train.recipes),
            recipe_digests=_recipe_digests(train),
            settings={**self.config.fit_settings, "chosen": model.best_params_},
        )

    def evaluate_baseline(self, baseline: str, data: TrainTestData[ImageDataset]) -> Evaluation:
        """Train a CNN end to end and score it."""
        name = baseline.replace(":", "-")
        settings = self.config.training_settings
        key = result_key(
            kind="baseline",
            name=baseline,
            training={**settings, "weights_dir": str(settings["weights_dir"])},
            images=data.identity,
            versions=_versions(),
        )
        files = [self.folder / "baselines" / name / "network.keras", *self._score_files(name, data)]
        compute = partial(self._train, name, baseline, data)
        return self._evaluation(name, key, self.results.get_or_compute(key, compute, files))

    def _train(self, name: str, baseline: str, data: TrainTestData[ImageDataset]) -> dict[str, Any]:
        from featx.baselines.train import train

        start_memory_watch()
        out = self.folder / "baselines" / name
        trained = train(data.train, baseline, out=out, **self.config.training_settings)
        for external, images in data.evaluated.items():
            self._save_predictions(name, external, images, trained.predict_proba(images))
        scores, externals = self._scores(name, data, trained.threshold)
        return BenchmarkRow(
            name=name,
            backbone=baseline,
            classifier="trained end to end",
            kind="baseline",
            scores=scores,
            externals=externals,
            n_train=len(data.train),
            test_views=1,
            validation_auc=trained.history["val_auc"][trained.best_epoch - 1],
            costs=Costs(
                seconds_extract=0.0,
                seconds_fit=trained.seconds,
                parameters=trained.network.count_params(),
                peak_memory=peak_memory(),
            ),
            settings={**trained.recipe.to_dict(), "best_epoch": trained.best_epoch},
            diagnosis=tuple(trained.diagnosis),
        ).to_dict()

    def model(self, row: BenchmarkRow) -> FeatureClassifier:
        """Load the model of a frozen row."""
        from featx.classifiers.model_file import load_model

        return load_model(self.model_file(row.name))

    def model_file(self, name: str) -> Path:
        """Return the path of a frozen row's model."""
        return self.folder / "models" / f"{name}.skops"

    def _scores(
        self, name: str, data: TrainTestData[Any], threshold: float | None
    ) -> tuple[SetScores, dict[str, SetScores]]:
        """Score the predictions of the test images and of the external sets."""
        found = {external: self._score(name, external, threshold) for external in data.evaluated}
        return found.pop(""), found

    def _score(self, name: str, external: str, threshold: float | None) -> SetScores:
        predictions = Predictions.from_csv(self._scores_file(name, external)).decide(threshold)
        return SetScores.from_scores(predictions.score(self.config.random_state))

    def _evaluation(self, name: str, key: str, values: dict[str, Any]) -> Evaluation:
        predictions = Predictions.from_csv(self._scores_file(name))
        return Evaluation(BenchmarkRow.from_dict(values), predictions, key)

    def _save_predictions(
        self,
        name: str,
        external: str,
        images: FeatureMatrix | ImageDataset,
        probabilities: Probabilities,
    ) -> None:
        Predictions(
            images.names, self.class_names, probabilities, images.labels, images.patients
        ).to_csv(self._scores_file(name, external))

    def _score_files(self, name: str, data: TrainTestData[Any]) -> Sequence[Path]:
        return [self._scores_file(name, external) for external in data.evaluated]

    def _scores_file(self, name: str, external: str = "") -> Path:
        return self.folder / "scores" / f"{name}{'@' if external else ''}{external}.csv"


def _recipe_digests(matrix: FeatureMatrix) -> tuple[str, ...]:
    """Return the digests that name the cache folders of features; controls have none."""
    recipes = [recipe for recipe in matrix.recipes if "weights" in recipe]
    return tuple(Recipe.from_dict(recipe).digest[:16] for recipe in recipes)


def _versions() -> dict[str, str]:
    return library_versions("scikit-learn", "xgboost", "xgboost-cpu", "tensorflow")
