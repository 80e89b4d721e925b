"""Rows of decisions by patient or study, beside the rows of their images."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from featx.benchmarking.data import TrainTestData
from featx.benchmarking.evaluation import Evaluation, ModelEvaluator
from featx.benchmarking.result_cache import result_key
from featx.classifiers.calibration import probabilities
from featx.classifiers.predictions import Predictions
from featx.classifiers.units import UnitRule, check_units, units_of
from featx.datasets.dataset import ImageDataset
from featx.datasets.patients import hash_patient
from featx.errors import UsageError
from featx.features.matrix import FeatureMatrix
from featx.reporting.records import BenchmarkRow, Costs, UnitDecision

logger = logging.getLogger(__name__)

Units = Mapping[str, str]


@dataclass(frozen=True)
class UnitRows:
    """Units of images by name: of training images, and of each evaluated set, "" for the test set.

    External sets whose units are unknown or have several labels are left out.
    """

    unit: str
    images: TrainTestData[ImageDataset]
    train: Units
    evaluated: Mapping[str, Units]

    @classmethod
    def of(cls, unit: str, images: TrainTestData[ImageDataset]) -> UnitRows:
        """Find the unit of each image."""
        check_units(images.train, unit, "the training images")
        check_units(images.test, unit, "the test images")
        evaluated = {"": _by_name(images.test, unit)}
        for name, each in images.externals.items():
            try:
                check_units(each, unit, f"the external set {name}")
                evaluated[name] = _by_name(each, unit)
            except UsageError as error:
                logger.warning(f"Decisions by {unit} are not evaluated on {name}: {error}.")
        return cls(unit, images, _by_name(images.train, unit), evaluated)

    def evaluate(
        self, evaluator: ModelEvaluator, of_images: Evaluation, train: FeatureMatrix | None = None
    ) -> Evaluation:
        """Make the row of a model's decisions, or find it finished.

        `train` holds the features that a classifier was fitted to; a baseline needs none.
        """
        row = of_images.row
        name = f"{row.name}-by-{re.sub('[^A-Za-z0-9._-]', '-', self.unit)}"
        units = [self.train, dict(self.evaluated)]
        key = result_key(kind="unit", row=of_images.key, unit=self.unit, units=units)
        files = [evaluator.scores_file(name, external) for external in self.evaluated]
        files += [evaluator.model_file(name)] if train is not None else []
        values = evaluator.results.get_or_compute(
            key, lambda: self._decide(evaluator, row, name, train).to_dict(), files
        )
        return Evaluation(BenchmarkRow.from_dict(values), evaluator.predictions(name), key)

    def _decide(
        self, evaluator: ModelEvaluator, row: BenchmarkRow, name: str, train: FeatureMatrix | None
    ) -> BenchmarkRow:
        rule, areas = self._choose(evaluator, row, name, train)
        scores = {}
        for external, units in self.evaluated.items():
            of_images = evaluator.predictions(row.name, external)
            found = rule.apply(of_images, [units[each] for each in of_images.names])
            found = replace(found, predicted=None, typicality=None)
            scores[external] = evaluator.score_saved(name, external, found, rule.threshold)
        area, n_images = areas[rule.combined], len(evaluator.predictions(row.name))
        return replace(
            row,
            name=name,
            kind="unit",
            scores=scores.pop(""),
            externals=scores,
            costs=Costs(n_features=row.costs.n_features, parameters=row.costs.parameters),
            unit=UnitDecision(self.unit, rule.combined, areas, n_images, row.name),
            auc_out_of_fold=None if train is None else area,
            validation_auc=area if train is None else None,
            auc_seeds=(),
            diagnosis=(),
            robustness=(),
        )

    def _choose(
        self, evaluator: ModelEvaluator, row: BenchmarkRow, name: str, train: FeatureMatrix | None
    ) -> tuple[UnitRule, dict[str, float]]:
        """Choose the rule on out-of-fold predictions, or on validation images of a baseline."""
        settings = {"operating_point": evaluator.config.training_settings["operating_point"]}
        if train is None:
            path = evaluator.folder / "baselines" / row.name / "validation.csv"
            found = Predictions.from_csv(path)
            images = self.images.train
            label = dict(zip(images.names, images.labels.tolist(), strict=True))
            held_out = replace(found, labels=[label[each] for each in found.names])
            units = [self.train[each] for each in held_out.names]
            return UnitRule.choose(self.unit, held_out, units, calibration="none", **settings)
        model = copy(evaluator.model(row))
        settings = {"operating_point": model.operating_point, "calibration": model.calibration}
        logits = model.calibration_.logits(model.out_of_fold_scores_)
        held_out = Predictions(
            names=_names_by_digest(train, model.out_of_fold_images_),
            class_names=evaluator.class_names,
            probabilities=probabilities(logits),
            labels=model.out_of_fold_labels_,
        )
        units = [self.train[each] for each in held_out.names]
        model.unit_, areas = UnitRule.choose(self.unit, held_out, units, **settings)
        model.save(evaluator.model_file(name))
        return model.unit_, areas


def hash_units(images: ImageDataset, unit: str | None, secret: str | None) -> ImageDataset:
    """Hash the column of a unit where patients are hashed; its values name decisions in files."""
    if unit is None or secret is None or unit not in images.columns:
        return images
    cells = [each and hash_patient(each, secret) for each in images.columns[unit].tolist()]
    return replace(images, columns={**images.columns, unit: np.array(cells, dtype=np.str_)})


def _by_name(images: ImageDataset, unit: str) -> dict[str, str]:
    return dict(zip(images.names, units_of(images, unit).tolist(), strict=True))


def _names_by_digest(matrix: FeatureMatrix, digests: npt.NDArray[np.str_]) -> list[str]:
    """Return the names of images in a matrix; of equal images, one name each."""
    names: dict[str, list[str]] = {}
    for name, digest in zip(matrix.names, matrix.digests, strict=True):
        names.setdefault(digest, []).append(name)
    return [names[digest].pop(0) for digest in digests.tolist()]
