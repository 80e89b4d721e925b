"""Evaluation of models: each is fitted or trained, then scored once on the test images."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from featx.audit.typicality import cutoff
from featx.backbones.registry import BACKBONES
from featx.backbones.tuned import TUNED
from featx.benchmarking.column_rows import column_values
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.data import TrainTestData, known_patients
from featx.benchmarking.result_cache import ResultCache, result_key
from featx.classifiers.decision_scores import FORMAT as SCORE_FORMAT
from featx.classifiers.predictions import Predictions
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.features.matrix import FeatureMatrix
from featx.features.recipe import Recipe
from featx.metrics.operating_point import Threshold
from featx.metrics.scores import Scores
from featx.reporting.records import END_TO_END, SAVED, BenchmarkRow, Costs
from featx.runtime.files import file_name_of
from featx.runtime.memory import peak_memory, start_memory_watch
from featx.runtime.versions import library_versions

if TYPE_CHECKING:
    from featx.classifiers.classifier import FeatureClassifier

logger = logging.getLogger(__name__)


class ModelName(NamedTuple):
    """Name of a row and of its files, and what it consists of."""

    name: str
    backbone: str
    classifier: str
    kind: str


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A row with the model's predictions of the test images and its key in the result cache.

    `unlike` counts the images of each set, "" for the test set, that are unlike the training
    images, where that is known.
    """

    row: BenchmarkRow
    predictions: Predictions
    key: str
    unlike: Mapping[str, int] = field(default_factory=dict)


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
        kind = "tuned" if data.tuned and kind == "frozen" else kind
        name = file_name_of(f"{backbone}-{classifier}")
        key = result_key(
            kind=kind,
            classifier=classifier,
            fitting=self.config.fit_settings,
            recipes=data.train.recipes,
            images=data.identity,
            scores=SCORE_FORMAT,
            versions=_versions(),
            **self._revisions(classifier),
            **column_values(data),
        )
        files = [self.model_file(name)] if kind in SAVED else []
        compute = partial(self._fit, ModelName(name, backbone, classifier, kind), data)
        return self.find_or_compute(name, key, compute, data, files)

    def _revisions(self, classifier: str) -> dict[str, int]:
        """Return what gives other rows than the first version; rows without it stay found."""
        from featx.classifiers.registry import get_classifier

        revisions = {
            "model": get_classifier(classifier).revision,
            # Of three and more classes, decisions know class weights, and AUC out of fold ranks
            # probabilities.
            "decision": 3 if len(self.class_names) > 2 else 0,
            # Isotonic calibration makes no ties since.
            "calibration": int(self.config.fit.calibration == "isotonic"),
        }
        return {name: number for name, number in revisions.items() if number}

    def _fit(self, name: ModelName, data: TrainTestData[FeatureMatrix]) -> BenchmarkRow:
        from featx.classifiers.fitting import fit
        from featx.classifiers.model_file import save_model

        start_memory_watch()
        started = time.perf_counter()
        model = fit(data.train, name.classifier, config=self.config.fit)
        seconds = time.perf_counter() - started + sum(each["seconds"] for each in data.tuned)
        if name.kind in SAVED:
            save_model(model, self.model_file(name.name))
        return self.feature_row(name, data, model, seconds)

    def evaluate_adapted(
        self, frozen: Evaluation, data: TrainTestData[FeatureMatrix]
    ) -> Evaluation | None:
        """Adapt a row's model to the unlabeled test images and score it; None if not possible.

        For each external set the model is adapted to that set; sets that allow none are left out.
        """
        found = {external: self._adapted(frozen, data, external) for external in data.evaluated}
        test = found.pop("")
        if test is None:
            return None
        externals = {name: each.row.scores for name, each in found.items() if each is not None}
        return replace(test, row=replace(test.row, externals=externals))

    def _adapted(
        self, frozen: Evaluation, data: TrainTestData[FeatureMatrix], external: str
    ) -> Evaluation | None:
        name = self.scores_file(f"{frozen.row.name}-adapted", external).stem
        # Rows of before are found.
        of_set = {"external": external} if external else {}
        key = result_key(kind="adapted", row=frozen.key, **of_set)
        target = replace(data, test=data.evaluated[external], externals={})
        try:
            compute = partial(self._adapt, name, frozen.row, target)
            return self.find_or_compute(name, key, compute, target)
        except UsageError as error:
            place = f" to the external set {external}" if external else ""
            logger.warning(f"{frozen.row.name} was not adapted{place}: {error}")
            return None

    def _adapt(
        self, name: str, row: BenchmarkRow, data: TrainTestData[FeatureMatrix]
    ) -> BenchmarkRow:
        from featx.classifiers.adaptation import adapt

        start_memory_watch()
        started = time.perf_counter()
        adapted = adapt(self.model(row), data.test, train=data.train)
        seconds = (row.costs.seconds_fit or 0.0) + time.perf_counter() - started
        identity = ModelName(name, row.backbone, row.classifier, "adapted")
        return self.feature_row(identity, data, adapted, seconds)

    def feature_row(
        self,
        name: ModelName,
        data: TrainTestData[FeatureMatrix],
        model: FeatureClassifier,
        seconds_fit: float,
    ) -> BenchmarkRow:
        """Score a model of features, and return its row."""
        train, test = data.train, data.test
        predict = model.predict_images
        scores = self._score(name.name, data, predict, model.threshold_, model.typicality)
        return BenchmarkRow(
            **name._asdict(),
            scores=scores.pop(""),
            externals=scores,
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
            settings={
                **self.config.fit_settings,
                "chosen": model.best_params_,
                **({"tuned": list(data.tuned)} if data.tuned else {}),
            },
        )

    def evaluate_baseline(self, baseline: str, data: TrainTestData[ImageDataset]) -> Evaluation:
        """Train a CNN end to end and score it."""
        name = ModelName(file_name_of(baseline), baseline, END_TO_END, "baseline")
        settings = self.config.training_settings
        key = result_key(
            kind="baseline",
            name=baseline,
            training={**settings, "weights_dir": str(settings["weights_dir"])},
            images=data.identity,
            versions=_versions(),
            # The finished training stays; its rows have cutoffs since.
            **({"decision": 1} if len(self.class_names) > 2 else {}),
        )
        files = [self.folder / "baselines" / name.name / "network.keras"]
        return self.find_or_compute(name.name, key, partial(self._train, name, data), data, files)

    def _train(self, name: ModelName, data: TrainTestData[ImageDataset]) -> BenchmarkRow:
        from featx.baselines.train import train

        start_memory_watch()
        out = self.folder / "baselines" / name.name
        # The folder is of this run; a row of older versions of libraries is replaced.
        settings = self.config.training_settings
        trained = train(data.train, name.backbone, out=out, overwrite=True, **settings)
        scores = self._score(name.name, data, trained.predict_proba, trained.threshold)
        return BenchmarkRow(
            **name._asdict(),
            scores=scores.pop(""),
            externals=scores,
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
        )

    def model(self, row: BenchmarkRow) -> FeatureClassifier:
        """Load the model of a frozen row."""
        from featx.classifiers.model_file import load_model

        return load_model(self.model_file(row.name))

    def predictions(self, name: str, external: str = "") -> Predictions:
        """Read a row's predictions of the test images or of an external set."""
        return Predictions.from_csv(self.scores_file(name, external))

    def model_file(self, name: str) -> Path:
        """Return the path of a frozen row's model."""
        return self.folder / "models" / f"{name}.skops"

    def _score(
        self,
        name: str,
        data: TrainTestData[Any],
        predict: Callable[[Any], npt.NDArray[np.float64]],
        threshold: Threshold,
        typicality: Callable[[Any], npt.NDArray[np.float64] | None] = lambda _: None,
    ) -> dict[str, Scores]:
        """Predict the test images and the external sets, and score the predictions as saved."""
        scores = {}
        for external, images in data.evaluated.items():
            predictions = Predictions(
                images.names,
                self.class_names,
                predict(images),
                images.labels,
                known_patients(images),
                typicality=typicality(images),
            )
            scores[external] = self.score_saved(name, external, predictions, threshold)
        return scores

    def score_saved(
        self, name: str, external: str, predictions: Predictions, threshold: Threshold
    ) -> Scores:
        """Write a row's predictions of a set, and score them as saved."""
        predictions.to_csv(self.scores_file(name, external))
        saved = self.predictions(name, external).decide(threshold)
        return saved.score(self.config.random_state)

    def find_or_compute(
        self,
        name: str,
        key: str,
        compute: Callable[[], BenchmarkRow],
        data: TrainTestData[Any],
        others: Sequence[Path] = (),
    ) -> Evaluation:
        """Find a row finished from the same inputs, or compute it and keep it with its files."""
        files = [*others, *(self.scores_file(name, external) for external in data.evaluated)]
        values = self.results.get_or_compute(key, lambda: compute().to_dict(), files)
        # The same images may have other paths than in an earlier run.
        moved, unlike = False, {}
        limit = cutoff(len(np.unique(data.train.patients)))
        for external, images in data.evaluated.items():
            path = self.scores_file(name, external)
            saved = Predictions.from_csv(path)
            if saved.typicality is not None:
                unlike[external] = int((saved.typicality <= limit).sum())
            current = replace(saved, names=images.names, patients=known_patients(images))
            if (saved.names, saved.patients is None) != (current.names, current.patients is None):
                current.to_csv(path)
                moved = True
        if moved:
            self.results.put(key, values, files)
        return Evaluation(BenchmarkRow.from_dict(values), self.predictions(name), key, unlike)

    def scores_file(self, name: str, external: str = "") -> Path:
        """Return the path of a row's predictions of a set."""
        return self.folder / "scores" / f"{name}{'@' if external else ''}{external}.csv"


def _recipe_digests(matrix: FeatureMatrix) -> tuple[str, ...]:
    """Return the digests that name the cache folders of features; controls have none."""
    recipes = [recipe for recipe in matrix.recipes if "weights" in recipe]
    return tuple(Recipe.from_dict(recipe).digest[:16] for recipe in recipes)


def _versions() -> dict[str, str]:
    return library_versions("scikit-learn", "xgboost", "xgboost-cpu", "tensorflow")


def network_parameters(recipes: Sequence[Mapping[str, Any]]) -> int | None:
    """Count the parameters of the networks of features, without classification layers.

    Examples
    --------
    >>> network_parameters([{"backbone": "mobilenetv2"}, {"backbone": "efficientnet_lite0"}])
    5671008
    >>> network_parameters([{"backbone": "control-histogram"}])
    """
    names = [recipe["backbone"].removeprefix(TUNED) for recipe in recipes]
    known = [BACKBONES[name].parameters for name in names if name in BACKBONES]
    known += [r["origin"]["parameters"] for r in recipes if "parameters" in r.get("origin", {})]
    return sum(known) if known else None


def extraction_rate(matrices: Sequence[FeatureMatrix]) -> float | None:
    """Return the number of views embedded per second, cached rows included."""
    seconds = sum(matrix.seconds for matrix in matrices)
    views = sum(len(set(matrix.digests)) * len(np.unique(matrix.view)) for matrix in matrices)
    return views / seconds if seconds > 0 else None
