"""One row of the table: a model fitted or trained, then shown the test images once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from featx.benchmarking.application import verdict_of
from featx.benchmarking.ledger import Ledger, Row, key_of
from featx.benchmarking.predictions import Predictions
from featx.features.files import library_versions
from featx.features.matrix import FeatureMatrix
from featx.images.dataset import ImageDataset
from featx.metrics.scores import evaluate

if TYPE_CHECKING:
    from featx.classifiers.model import FeatureClassifier

__all__ = ["RowMaker"]


@dataclass
class RowMaker:
    """Makes rows, or finds them where an earlier run finished them from the same inputs.

    Parameters
    ----------
    class_names : tuple of str
        The classes.
    fitting : dict
        Settings of `featx.fit`.
    training : dict
        Settings of `train_baseline`.
    out : Path or None
        Where models, predictions and finished rows are kept.
    """

    class_names: tuple[str, ...]
    fitting: dict[str, Any]
    training: dict[str, Any]
    out: Path | None
    predictions: dict[str, Predictions] = field(default_factory=dict)

    def frozen(
        self,
        backbone: str,
        classifier: str,
        train: FeatureMatrix,
        test: FeatureMatrix,
        kind: str = "frozen",
    ) -> Row:
        """Fit a classifier on features, or find that it was.

        Parameters
        ----------
        backbone, classifier : str
            Names for the row.
        train, test : FeatureMatrix
            Of the same recipes.
        kind : {"frozen", "control"}, default="frozen"
            What the row is.

        Returns
        -------
        dict
            Plain values.
        """
        key = key_of(
            kind=kind,
            classifier=classifier,
            fitting=self.fitting,
            recipes=train.recipes,
            train=_identity(train),
            test=_identity(test),
            versions=_versions(),
        )
        name = f"{backbone}-{classifier}".replace(" ", "-")
        found = self._find(key, name)
        return found or self._keep(key, self._fit(name, backbone, classifier, train, test, kind))

    def _fit(
        self,
        name: str,
        backbone: str,
        classifier: str,
        train: FeatureMatrix,
        test: FeatureMatrix,
        kind: str,
    ) -> Row:
        from featx.classifiers.fitting import fit
        from featx.classifiers.persistence import save_model

        started = time.perf_counter()
        model: FeatureClassifier = fit(train, classifier, **self.fitting)
        seconds_fit = time.perf_counter() - started
        probabilities = model.predict_images(test)
        if self.out is not None and kind == "frozen":
            save_model(model, self.out / "models" / f"{name}.skops")
        self._predicted(name, Predictions(test.names, test.labels, probabilities))
        return {
            "name": name,
            "backbone": backbone,
            "classifier": classifier,
            "kind": kind,
            "n_train": train.n_images,
            "n_test": test.n_images,
            **self._score(name, test.patients, model.threshold_),
            "auc_out_of_fold": model.provenance_["auc_out_of_fold"],
            "seconds_extract": train.seconds + test.seconds,
            "seconds_fit": seconds_fit,
            "views": int(train.view.max()) + 1,
            "test_views": int(test.view.max()) + 1,
            "n_features": train.X.shape[1],
            "recipes": [dict(recipe) for recipe in train.recipes],
            "settings": {**self.fitting, "chosen": model.best_parameters_},
        }

    def baseline(self, name: str, train: ImageDataset, test: ImageDataset) -> Row:
        """Train a CNN end to end, or find that it was.

        Parameters
        ----------
        name : str
            Of the baseline.
        train, test : ImageDataset
            Readable images.

        Returns
        -------
        dict
            Plain values.
        """
        key = key_of(
            kind="baseline",
            name=name,
            training={**self.training, "weights_dir": str(self.training["weights_dir"])},
            train=_identity(train),
            test=_identity(test),
            versions=_versions(),
        )
        file_name = name.replace(":", "-")
        found = self._find(key, file_name)
        return found or self._keep(key, self._train(file_name, name, train, test))

    def _train(self, name: str, baseline: str, train: ImageDataset, test: ImageDataset) -> Row:
        from featx.baselines.training import train_baseline

        folder = None if self.out is None else self.out / "baselines" / name
        trained = train_baseline(train, baseline, out=folder, **self.training)
        probabilities = trained.predict_proba(test)
        self._predicted(name, Predictions(test.names, test.labels, probabilities))
        return {
            "name": name,
            "backbone": baseline,
            "classifier": "trained end to end",
            "kind": "baseline",
            "n_train": len(train),
            "n_test": len(test),
            **self._score(name, test.patients, trained.threshold),
            "validation_auc": trained.history["val_auc"][trained.best_epoch - 1],
            "seconds_extract": 0.0,
            "seconds_fit": trained.seconds,
            "views": None,
            "test_views": 1,
            "n_features": None,
            "recipes": [],
            "settings": {**trained.recipe.to_dict(), "best_epoch": trained.best_epoch},
            "diagnosis": list(trained.diagnosis),
        }

    def _score(self, name: str, patients: npt.NDArray[np.str_], threshold: float | None) -> Row:
        predictions = self.predictions[name]
        scores = evaluate(
            predictions.labels,
            predictions.probabilities,
            threshold=threshold,
            class_names=self.class_names,
            patients=patients,
            seed=self.fitting["seed"],
        )
        return verdict_of(scores)

    def _find(self, key: str, name: str) -> Row | None:
        if self.out is None:
            return None
        row = Ledger(self.out).find(key)
        predictions = Predictions.load(self._scores_file(name), self.class_names)
        # Tests against the reference need both.
        if row is None or predictions is None:
            return None
        self.predictions[name] = predictions
        return row

    def _keep(self, key: str, row: Row) -> Row:
        if self.out is not None:
            Ledger(self.out).keep(key, row)
        return row

    def _predicted(self, name: str, predictions: Predictions) -> None:
        self.predictions[name] = predictions
        if self.out is not None:
            predictions.save(self._scores_file(name), self.class_names)

    def _scores_file(self, name: str) -> Path:
        return Path(self.out or ".") / "scores" / f"{name}.csv"


def _identity(images: FeatureMatrix | ImageDataset) -> list[Any]:
    """Everything of images that a model learns from, but their features."""
    if isinstance(images, FeatureMatrix):
        rows = [images.image.tolist(), images.view.tolist()]
        digests = list(images.digests)
    else:
        rows = []
        digests = [images.digest(index) for index in range(len(images))]
    return [digests, images.labels.tolist(), images.patients.tolist(), images.class_names, *rows]


def _versions() -> dict[str, str]:
    return library_versions("scikit-learn", "xgboost", "xgboost-cpu", "tensorflow")
