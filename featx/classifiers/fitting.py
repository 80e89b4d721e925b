"""From labeled features to a fitted classifier: search, refit, calibration, operating point."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, overload

import numpy as np

from featx.audit.membership import membership_record, original_views, tuning_members
from featx.audit.typicality import typicality_record
from featx.classifiers.calibration import calibrate, cross_calibrate, probabilities
from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.compatibility import check_finite
from featx.classifiers.config import FitConfig
from featx.classifiers.out_of_core import plan_fits, select_images
from featx.classifiers.provenance import describe_fit, matrix_digest, usable_images
from featx.classifiers.registry import get_classifier
from featx.classifiers.search import Search
from featx.classifiers.training_set import Indices, TrainingSet
from featx.errors import UsageError
from featx.features.columns import image_part
from featx.features.matrix import FeatureMatrix
from featx.metrics.intervals import number_patients
from featx.metrics.operating_point import OperatingPoint
from featx.runtime.versions import versions_of_features

logger = logging.getLogger(__name__)

Matrices = FeatureMatrix | str | PathLike | Sequence[str | PathLike]


@overload
def fit(
    matrix: Matrices, classifier: str = ..., *, config: FitConfig | None = ..., **settings: Any
) -> FeatureClassifier: ...


@overload
def fit(
    matrix: Matrices,
    classifier: Sequence[str],
    *,
    config: FitConfig | None = ...,
    **settings: Any,
) -> dict[str, FeatureClassifier]: ...


def fit(
    matrix: Matrices,
    classifier: str | Sequence[str] | None = None,
    *,
    config: FitConfig | None = None,
    **settings: Any,
) -> FeatureClassifier | dict[str, FeatureClassifier]:
    """Fit class-weighted classifiers to a feature matrix, settings searched by patient.

    Images of split ``"test"`` and images without a label are not used; those of split ``"val"``
    are. Images that tuned a network of the features, and others of their patients, are left out.
    Use `FeatureClassifier` instead for arrays and in scikit-learn's own tools.

    Parameters
    ----------
    matrix : FeatureMatrix, path-like, or sequence of path-like
        Features of images, or files that ``featx extract`` wrote; several files of the same images
        are joined.
    classifier : str or sequence of str, default="svm"
        Names from `featx.list_classifiers`: ``svm``, ``logistic``, ``xgboost``,
        ``random_forest``, ``knn``, ``naive_bayes``.
    config : FitConfig, optional
        Settings of the fit; keyword arguments replace single ones.
    **settings
        Settings by name, as in `FitConfig`: ``cv``, ``operating_point``, ``calibration``,
        ``random_state``, ``n_jobs``, ``search_rows``, ``memory``.

    Returns
    -------
    FeatureClassifier or dict of str to FeatureClassifier
        The fitted model; by name where a sequence of names is given.

    Raises
    ------
    UsageError
        If a setting is unknown, a class has too few patients, or a feature is not finite.

    Examples
    --------
    >>> labels = np.arange(40) % 2
    >>> X = np.random.default_rng(0).normal(size=(40, 4)) + 3 * labels[:, None]
    >>> names = tuple(f"{i}.png" for i in range(40))
    >>> matrix = FeatureMatrix(
    ...     X=X.astype(np.float32), image=np.arange(40), view=np.zeros(40, dtype=int),
    ...     names=names, digests=names, labels=labels, patients=np.array(names),
    ...     splits=np.array([""] * 40), class_names=("NORMAL", "PNEUMONIA"),
    ... )
    >>> model = fit(matrix, "logistic", n_jobs=1)
    >>> model.predict_images(matrix).shape, model.classes_.tolist()
    ((40, 2), ['NORMAL', 'PNEUMONIA'])
    """
    base = {} if config is None else config.to_dict()
    names = [classifier] if classifier is None or isinstance(classifier, str) else classifier
    chosen = [{} if name is None else {"classifier": name} for name in names]
    configs = [FitConfig.from_dict(base, **settings, **each) for each in chosen]
    if not isinstance(matrix, FeatureMatrix):
        paths = [matrix] if isinstance(matrix, str | PathLike) else matrix
        matrix = FeatureMatrix.join([FeatureMatrix.load(Path(path)) for path in paths])
    models = [FeatureClassifier.from_config(each).fit_matrix(matrix) for each in configs]
    if classifier is None or isinstance(classifier, str):
        return models[0]
    return dict(zip(classifier, models, strict=True))


def fit_labeled(model: FeatureClassifier, matrix: FeatureMatrix) -> None:
    """Fit a classifier to the labeled images outside the test split."""
    usable, tuned = usable_images(matrix), int(tuning_members(matrix).sum())
    if not len(usable):
        raise UsageError(
            f"{matrix!r} has no labeled image outside its test split"
            f"{f' besides {tuned:,} that tuned its network' if tuned else ''}; give labeled images"
            f"{' of other patients' if tuned else ''}"
        )
    if tuned:
        logger.warning(
            f"{tuned:,} of {matrix.n_images:,} images are left out of the fit: they, or other "
            "images of their patients, tuned the network of these features, which are no example "
            "of its features of new images."
        )
    chosen = select_images(matrix, usable, FitConfig(**model.get_params()))
    check_finite(chosen)
    model.n_features_in_ = chosen.X.shape[1]
    images = fit_rows(model, TrainingSet.of(chosen))
    model.recipes_ = matrix.recipes
    model._name_features()
    model.out_of_fold_images_ = np.array(chosen.digests, dtype=np.str_)[images]
    model.provenance_["matrix_sha256"] = matrix_digest(chosen)
    # Pixels and features may have been computed elsewhere.
    model.provenance_["versions"] |= versions_of_features(matrix.versions)
    patients = chosen.patients if chosen.patients_known else None
    shown = image_part(chosen)
    model.membership_ = membership_record(chosen.digests, patients, original_views(chosen))
    any_image = shown.X.shape[1] > 0
    model.typicality_ = typicality_record(shown, model.random_state) if any_image else None
    if patients is None:
        model.provenance_["patients"] = None


def fit_rows(model: FeatureClassifier, training: TrainingSet) -> Indices:
    """Fit a classifier to rows of features; return the images used."""
    config = FitConfig(**model.get_params())
    point = OperatingPoint.parse(config.operating_point)
    point.check_classes(len(training.classes))
    plan = plan_fits(get_classifier(config.classifier), training, config)
    labels = plan.training.labels
    search = Search(plan.spec, plan.training, plan.config)
    candidates, best, pipeline, scores = search.fit_best()
    model.pipeline_ = plan.whole(pipeline)
    model.classes_ = training.classes
    model.best_params_ = best.parameters
    model.calibration_ = calibrate(config.calibration, scores, labels)
    calibrated = probabilities(model.calibration_.logits(scores))
    model.out_of_fold_ = cross_calibrate(config.calibration, scores, labels, search.folds)
    model.out_of_fold_scores_ = scores
    model.out_of_fold_labels_ = labels
    model.out_of_fold_patients_ = number_patients(plan.training.patients, len(labels))
    model.threshold_ = point.choose(labels, calibrated)
    reduced = plan.steps is not None
    model.provenance_ = describe_fit(
        config, plan.training, candidates, calibrated, n_splits=len(search.folds), reduced=reduced
    )
    return plan.images
