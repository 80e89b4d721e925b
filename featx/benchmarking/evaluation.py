"""One row of the table: a model fitted or trained, then shown the test images once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from featx.benchmarking.costs import (
    extraction_rate,
    network_parameters,
    peak_memory,
    start_memory_watch,
)
from featx.benchmarking.result_cache import Ledger, Row, key_of
from featx.benchmarking.sides import Sides
from featx.classifiers.inference import verdict_of
from featx.classifiers.predictions import Predictions
from featx.classifiers.scores import FORMAT as SCORE_FORMAT
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.features.matrix import FeatureMatrix
from featx.features.recipe import Recipe
from featx.runtime.files import library_versions

if TYPE_CHECKING:
    from featx.classifiers.classifier import FeatureClassifier

__all__ = ["RowMaker"]

logger = logging.getLogger(__name__)


@dataclass
class RowMaker:
    """Makes rows, or finds them where an earlier run finished them from the same inputs."""

    class_names: tuple[str, ...]
    fitting: dict[str, Any]
    training: dict[str, Any]
    out: Path | None
    predictions: dict[str, Predictions] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    models: dict[str, FeatureClassifier] = field(default_factory=dict)

    def frozen(
        self, backbone: str, classifier: str, sides: Sides[FeatureMatrix], kind: str = "frozen"
    ) -> Row:
        """Fit a classifier on features, or find that it was."""
        name = f"{backbone}-{classifier}".replace(" ", "-")
        self.keys[name] = key_of(
            kind=kind,
            classifier=classifier,
            fitting=self.fitting,
            recipes=sides.train.recipes,
            images=sides.identity,
            scores=SCORE_FORMAT,
            versions=_versions(),
        )
        return self._find(name) or self._fit(name, backbone, classifier, sides, kind)

    def _fit(
        self,
        name: str,
        backbone: str,
        classifier: str,
        sides: Sides[FeatureMatrix],
        kind: str,
    ) -> Row:
        from featx.classifiers.fitting import fit
        from featx.classifiers.model_file import save_model

        start_memory_watch()
        started = time.perf_counter()
        model = fit(sides.train, classifier, **self.fitting)
        seconds_fit = time.perf_counter() - started
        files = []
        if kind == "frozen":
            self.models[name] = model
        if self.out is not None and kind == "frozen":
            files.append(self._model_file(name))
            save_model(model, files[0])
        for external, matrix in sides.tested.items():
            self._predicted(name, external, matrix, model.predict_images(matrix))
        row = {
            "name": name,
            "backbone": backbone,
            "classifier": classifier,
            "kind": kind,
            **self._facts(sides, model),
            **self._scores(name, list(sides.externals), model.threshold_),
            "seconds_fit": seconds_fit,
        }
        return self._keep(name, row, files)

    def adapted(self, row: Row, sides: Sides[FeatureMatrix]) -> Row | None:
        """Adapt a row's model to the test images, unlabeled, or find that it was."""
        name = f"{row['name']}-adapted"
        self.keys[name] = key_of(kind="adapted", row=self.keys[row["name"]])
        return self._find(name) or self._adapt(name, row, sides)

    def _adapt(self, name: str, row: Row, sides: Sides[FeatureMatrix]) -> Row | None:
        from featx.classifiers.adaptation import adapt
        from featx.classifiers.model_file import load_model

        start_memory_watch()
        started = time.perf_counter()
        model = self.models.get(row["name"])
        if model is None:
            model = load_model(self._model_file(row["name"]))
        try:
            adapted = adapt(model, sides.train, sides.test)
            reason = "the scores of the test images do not fall into two groups"
        except UsageError as error:
            adapted, reason = None, str(error)
        if adapted is None:
            logger.warning(f"{row['name']} was not adapted: {reason}")
            return None
        self._predicted(name, "", sides.test, adapted.predict_images(sides.test))
        made = {
            **{key: row[key] for key in ("backbone", "classifier")},
            "name": name,
            "kind": "adapted",
            **self._facts(sides, adapted),
            **self._scores(name, [], adapted.threshold_),
            "seconds_fit": row["seconds_fit"] + time.perf_counter() - started,
        }
        return self._keep(name, made, [])

    def _facts(self, sides: Sides[FeatureMatrix], model: FeatureClassifier) -> Row:
        """Gather what a row of features says besides scores."""
        train, test = sides.train, sides.test
        return {
            "n_train": train.n_images,
            "auc_out_of_fold": model.provenance_["auc_out_of_fold"],
            "seconds_extract": train.seconds + test.seconds,
            "views": int(train.view.max()) + 1,
            "test_views": int(test.view.max()) + 1,
            "n_features": train.X.shape[1],
            "parameters": network_parameters(train.recipes),
            "images_a_second": extraction_rate([train, test]),
            "peak_memory": max(sides.peak_memory, peak_memory()),
            "recipes": [dict(recipe) for recipe in train.recipes],
            "recipe_digests": _recipe_digests(train),
            "settings": {**self.fitting, "chosen": model.best_parameters_},
        }

    def model(self, name: str) -> FeatureClassifier:
        """Return the model of a frozen row, from its file where an earlier run fitted it."""
        from featx.classifiers.model_file import load_model

        return self.models.get(name) or load_model(self._model_file(name))

    def _model_file(self, name: str) -> Path:
        return Path(self.out or ".") / "models" / f"{name}.skops"

    def baseline(self, name: str, sides: Sides[ImageDataset]) -> Row:
        """Train a CNN end to end, or find that it was."""
        file_name = name.replace(":", "-")
        self.keys[file_name] = key_of(
            kind="baseline",
            name=name,
            training={**self.training, "weights_dir": str(self.training["weights_dir"])},
            images=sides.identity,
            versions=_versions(),
        )
        return self._find(file_name) or self._train(file_name, name, sides)

    def _train(self, name: str, baseline: str, sides: Sides[ImageDataset]) -> Row:
        from featx.baselines.train import train

        start_memory_watch()
        folder = None if self.out is None else self.out / "baselines" / name
        trained = train(sides.train, baseline, out=folder, **self.training)
        for external, images in sides.tested.items():
            self._predicted(name, external, images, trained.predict_proba(images))
        row = {
            "name": name,
            "backbone": baseline,
            "classifier": "trained end to end",
            "kind": "baseline",
            "n_train": len(sides.train),
            "n_test": len(sides.test),
            **self._scores(name, list(sides.externals), trained.threshold),
            "validation_auc": trained.history["val_auc"][trained.best_epoch - 1],
            "seconds_extract": 0.0,
            "seconds_fit": trained.seconds,
            "views": None,
            "test_views": 1,
            "n_features": None,
            "parameters": trained.network.count_params(),
            "images_a_second": None,
            "peak_memory": peak_memory(),
            "recipes": [],
            "settings": {**trained.recipe.to_dict(), "best_epoch": trained.best_epoch},
            "diagnosis": list(trained.diagnosis),
        }
        return self._keep(name, row, [] if folder is None else [folder / "network.keras"])

    def once(self, row: Row, compute: Callable[[], Row], **what: Any) -> Row:
        """Compute something of a row, or find that it was."""
        key = key_of(row=self.keys[row["name"]], **what)
        found = None if self.out is None else Ledger(self.out).find(key)
        if found is not None:
            return found
        computed = compute()
        if self.out is not None:
            Ledger(self.out).keep(key, computed)
        return computed

    def _scores(self, name: str, externals: list[str], threshold: float | None) -> Row:
        """Score the test images, and under ``externals`` the external sets."""
        row = self._score(name, threshold)
        if externals:
            row["externals"] = {
                external: self._score(f"{name}@{external}", threshold) for external in externals
            }
        return row

    def _score(self, name: str, threshold: float | None) -> Row:
        predictions = self.predictions[name]
        scores = predictions.decide(threshold).score(random_state=self.fitting["random_state"])
        return {"n_test": len(predictions.names), **verdict_of(scores)}

    def _find(self, name: str) -> Row | None:
        if self.out is None:
            return None
        row = Ledger(self.out).find(self.keys[name])
        if row is None:
            return None
        # Tests against the reference need them.
        file = self._scores_file(name)
        predictions = Predictions.from_csv(file) if file.is_file() else None
        if predictions is None or predictions.class_names != tuple(self.class_names):
            return None
        if predictions.patients is None:
            return None
        self.predictions[name] = predictions
        return row

    def _keep(self, name: str, row: Row, files: list[Path]) -> Row:
        if self.out is not None:
            told = [name, *(f"{name}@{external}" for external in row.get("externals", {}))]
            files = [*files, *(self._scores_file(each) for each in told)]
            Ledger(self.out).keep(self.keys[name], row, files)
        return row

    def _predicted(
        self,
        name: str,
        external: str,
        images: FeatureMatrix | ImageDataset,
        probabilities: npt.NDArray[np.float64],
    ) -> None:
        name = f"{name}@{external}" if external else name
        predictions = Predictions(
            images.names, self.class_names, probabilities, images.labels, images.patients
        )
        self.predictions[name] = predictions
        if self.out is not None:
            predictions.to_csv(self._scores_file(name))

    def _scores_file(self, name: str) -> Path:
        return Path(self.out or ".") / "scores" / f"{name}.csv"


def _recipe_digests(matrix: FeatureMatrix) -> list[str]:
    """Return what names the cache folders of features; controls have none."""
    digests = [Recipe.from_dict(recipe).digest for recipe in matrix.recipes if "weights" in recipe]
    return [digest[:16] for digest in digests]


def _versions() -> dict[str, str]:
    return library_versions("scikit-learn", "xgboost", "xgboost-cpu", "tensorflow")
