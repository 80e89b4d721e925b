"""Late fusion: models of the same images, each on features of its own, average their log-odds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.audit.membership import membership_record, original_views
from featx.audit.typicality import typicality_record
from featx.classifiers.calibration import (
    NoCalibration,
    SigmoidCalibration,
    mean_log_odds,
    probabilities,
)
from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.decision_scores import Scores, one_vs_rest_auc
from featx.classifiers.linear_weights import LinearWeights, linear_weights
from featx.errors import UsageError
from featx.features.lazy_rows import row_blocks
from featx.features.matrix import FeatureMatrix
from featx.metrics.operating_point import OperatingPoint
from featx.metrics.ranking import ranked


class FusedClassifier(FeatureClassifier):
    """Average the calibrated log-odds of fitted models; `fuse_models` makes one."""

    members_: tuple[FeatureClassifier, ...]

    def fit(self, *_: Any, **__: Any) -> FeatureClassifier:
        """Refuse: the members are fitted, each to its own features."""
        raise UsageError("a fused model is not fitted; fit its members, and fuse them again")

    def fit_matrix(self, *_: Any) -> FeatureClassifier:
        """Refuse, as `fit` does."""
        return self.fit()

    def _scores(self, X: Any, image: Any = None, n_images: int = 0) -> Scores:
        return _mean_of_calibrated(self.members_, self._member_scores(X, image, n_images))

    def _member_scores(self, X: Any, image: Any, n_images: int) -> Iterator[Scores]:
        ends = accumulate((member.n_features_in_ for member in self.members_), initial=0)
        for member, columns in zip(self.members_, pairwise(ends), strict=True):
            part = np.concatenate([block[:, slice(*columns)] for _, block in row_blocks(X)])
            yield member._scores(part, image, n_images)


def fuse_models(models: Sequence[FeatureClassifier], matrix: FeatureMatrix) -> FusedClassifier:
    """Fuse models; the operating point is chosen on images that are out of fold in all of them."""
    first = max(models, key=lambda model: model.provenance_["images"])
    fused = FusedClassifier(**first.get_params())
    fused.members_ = tuple(copy(model) for model in models)
    for member in fused.members_:
        member.__dict__.pop("_weights_places", None)
    fused.classes_ = first.classes_
    fused.calibration_ = NoCalibration()
    fused.best_params_ = {}
    fused.recipes_ = matrix.recipes
    fused.n_features_in_ = matrix.X.shape[1]
    fused._name_features()
    places = _shared_images(models)
    labels = first.out_of_fold_labels_[places[models.index(first)]]
    both = [*zip(models, places, strict=True)]
    scores = _mean_of_calibrated(models, [m.out_of_fold_scores_[place] for m, place in both])
    held_out = mean_log_odds(model.out_of_fold_[place] for model, place in both)
    fused.out_of_fold_ = probabilities(fused.calibration_.logits(held_out))
    fused.out_of_fold_scores_ = scores
    fused.out_of_fold_labels_ = labels
    fused.out_of_fold_images_ = models[0].out_of_fold_images_[places[0]]
    if hasattr(models[0], "out_of_fold_patients_"):
        fused.out_of_fold_patients_ = models[0].out_of_fold_patients_[places[0]]
    found = probabilities(fused.calibration_.logits(scores))
    fused.threshold_ = OperatingPoint.parse(first.operating_point).choose(labels, found)
    fused.membership_ = _members(models, matrix)
    fused.typicality_ = typicality_record(matrix, first.random_state)
    facts = {name: fact for name, fact in first.provenance_.items() if name != "matrix_sha256"}
    area = one_vs_rest_auc(labels, ranked(found))
    fused.provenance_ = {
        **facts,
        "candidates": [],
        "auc_out_of_fold": area,
        "fused": {"models": len(models), "images": len(labels)},
    }
    return fused


def _mean_of_calibrated(models: Sequence[FeatureClassifier], scores: Iterable[Scores]) -> Scores:
    """Average the log-odds of models, given each one's scores before calibration."""
    pairs = zip(models, scores, strict=True)
    return mean_log_odds(probabilities(m.calibration_.logits(own)) for m, own in pairs)


def _shared_images(models: Sequence[FeatureClassifier]) -> list[npt.NDArray[np.int64]]:
    """Return, for each model, the places of the images that are out of fold in all of them."""
    images = [model.out_of_fold_images_ for model in models]
    shared = set(images[0].tolist()).intersection(*(each.tolist() for each in images[1:]))
    if not shared:
        raise UsageError("no image is out of fold in all of these models, so they are not fused")
    places = []
    for each in images:
        place = {image: number for number, image in enumerate(each.tolist())}
        places.append(np.array([place[image] for image in sorted(shared)], dtype=np.int64))
    return places


def _members(models: Sequence[FeatureClassifier], matrix: FeatureMatrix) -> dict[str, Any]:
    """Return the record of all training images; copies are recognized of those in the matrix."""
    patients = matrix.patients if matrix.patients_known else None
    record = membership_record(matrix.digests, patients, original_views(matrix))
    for name in ("images", "patients"):
        known = [m.membership_[name] for m in models if m.membership_ and name in m.membership_]
        if name in record:
            record[name] = np.unique(np.concatenate([record[name], *known]))
    return record


def linear_decision(model: FeatureClassifier) -> LinearWeights | None:
    """Return the weights of raw features in a model's score before calibration, or None."""
    if not isinstance(model, FusedClassifier):
        return linear_weights(model.pipeline_)
    parts = [linear_weights(member.pipeline_) for member in model.members_]
    if len(model.classes_) > 2 or None in parts:
        return None
    weights, centers, bias = [], [], np.zeros(1)
    for part, member in zip(parts, model.members_, strict=True):
        calibration = member.calibration_
        if part is None or not isinstance(calibration, SigmoidCalibration):
            return None
        share = calibration.slope[0] / len(parts)
        weights.append(share * part.weights)
        centers.append(part.center)
        bias = bias + share * part.bias + calibration.intercept[0] / len(parts)
    return LinearWeights(np.hstack(weights), np.concatenate(centers), bias)
