"""Adaptation of a model to unlabeled images of another collection."""

from __future__ import annotations

import copy
import logging
import math
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import expit, logit
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline

from featx.audit.membership import digest_codes
from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.compatibility import check_classes, check_recipes
from featx.classifiers.fusion import FusedClassifier
from featx.classifiers.inference import extract_for, loaded, needed_columns
from featx.classifiers.provenance import usable_images
from featx.classifiers.registry import get_classifier
from featx.classifiers.training_set import TrainingSet, row_weights
from featx.datasets.conversion import as_images
from featx.datasets.rules import OpeningRules
from featx.errors import UsageError
from featx.features.matrix import FeatureMatrix
from featx.runtime.serialization import digest_of_values

logger = logging.getLogger(__name__)

# Two means, two variances and a proportion cannot be estimated from fewer scores.
FEWEST_IMAGES = 50
# Closer groups, in pooled standard deviations, are not separable.
_LEAST_SEPARATION = 2.0
# "Very strong" evidence for two groups against one (Kass and Raftery 1995).
_LEAST_BIC_GAIN = 10.0
_STARTS = 5

# scripts/bench/generalization.py: fewer images or rounds gain less, all images let errors in.
_CONFIDENT_PROPORTION = 0.8
_ROUNDS = 2


def adapt(
    model: FeatureClassifier | str | PathLike,
    images: Any,
    *,
    train: FeatureMatrix | str | PathLike | None = None,
    views: int | None = None,
    **settings: Any,
) -> FeatureClassifier:
    """Adapt a model of two classes to unlabeled images of another collection.

    The threshold is placed between the two groups that the scores of the images form
    (`adapted_threshold`). With `train`, the model first learns from them: the most confident four
    fifths of either predicted class become training images with their predicted labels
    (pseudo-labels [1]_), with the same total weight as the original ones, and the model is refitted
    with its chosen settings; this is done twice. No label of the new images is used, but all images
    at once, so results on them are not comparable with those of other models.

    Parameters
    ----------
    model : FeatureClassifier or path-like
        Model of two classes, or its ``.skops`` file; it is not changed.
    images : FeatureMatrix, path-like, sequence of path-like, data frame, arrays or ImageDataset
        At least 50 images of the new collection, of both classes; labels are not used.
    train : FeatureMatrix or path-like, optional
        Features that the model was fitted to, or their file; images of the test split are not used.
    views, **settings
        As in `featx.predict`.

    Returns
    -------
    FeatureClassifier
        Probabilities are calibrated as those of `model`, on its training images.
        ``provenance_["adapted"]`` holds the number and the digest of the images, the threshold
        before, and whether the model was refitted.

    Raises
    ------
    UsageError
        If the scores of the images do not form two groups, as those of one class; there are too few
        images, or not two classes; or with `train`, the classifier takes no weights, or the
        features have other classes or recipes than the model.

    References
    ----------
    .. [1] D.-H. Lee (2013), "Pseudo-label: the simple and efficient semi-supervised learning
       method for deep neural networks", ICML workshop on challenges in representation learning.
    """
    fitted = loaded(model)
    _check_binary(fitted)
    if isinstance(images, FeatureMatrix):
        target = images
    else:
        dataset = as_images(
            images,
            rules=OpeningRules.take(settings, labeled=False, keep_columns=needed_columns(fitted)),
        )
        target = extract_for(fitted, dataset, views, **settings)
    adapted = copy.copy(fitted)
    if train is not None:
        _learn(adapted, _training_images(fitted, train), target)
    adapted.threshold_ = _needed_threshold(_log_odds(adapted, target))
    if fitted.membership_ is not None:
        codes = np.unique(digest_codes(target.digests))
        adapted.membership_ = {**fitted.membership_, "adapted": codes}
    record = {
        "images": target.n_images,
        "images_sha256": digest_of_values(sorted(target.digests)),
        "threshold_before": fitted.threshold_,
        "refitted": train is not None,
    }
    adapted.provenance_ = {**fitted.provenance_, "adapted": record}
    return adapted


def _training_images(
    model: FeatureClassifier, train: FeatureMatrix | str | PathLike
) -> FeatureMatrix:
    if not get_classifier(model.classifier).weighted:
        raise UsageError(
            f"{model.classifier} takes no sample weights, so it cannot be refitted to new images; "
            "use another classifier, or adapt the threshold alone"
        )
    if isinstance(model, FusedClassifier):
        raise UsageError(
            "a fused model has no classifier of its own to refit; adapt its threshold alone, or "
            "let `featx benchmark --fuse --adapt` adapt its members"
        )
    matrix = train if isinstance(train, FeatureMatrix) else FeatureMatrix.load(Path(train))
    check_recipes(model.recipes_, matrix)
    check_classes(model.classes_, matrix)
    return matrix.select_images(usable_images(matrix))


def _learn(model: FeatureClassifier, train: FeatureMatrix, target: FeatureMatrix) -> None:
    """Refit a model in place to training images and confident predictions of others."""
    for _ in range(_ROUNDS):
        log_odds = _log_odds(model, target)
        predicted = (log_odds >= logit(_needed_threshold(log_odds))).astype(np.int64)
        chosen = _most_confident(log_odds, predicted)
        model.pipeline_ = _refit(model, train, target, predicted, chosen)


def _log_odds(model: FeatureClassifier, target: FeatureMatrix) -> npt.NDArray[np.float64]:
    return np.asarray(logit(model.predict_images(target)[:, 1]))


def _needed_threshold(log_odds: npt.NDArray[np.float64]) -> float:
    threshold = adapted_threshold(log_odds)
    if threshold is None:
        raise UsageError(
            f"the scores of the {len(log_odds):,} images do not form two groups, as if all were of "
            "one class, so the model cannot be adapted to them; give a collection of both classes"
        )
    return threshold


def with_adapted_threshold(
    model: FeatureClassifier, probabilities: npt.NDArray[np.float64]
) -> FeatureClassifier:
    """Move a model's threshold between two groups of probabilities."""
    _check_binary(model)
    threshold = adapted_threshold(logit(probabilities[:, 1]))
    if threshold is None:
        logger.warning(
            "The images' scores do not form two groups, as if all were of one class: the threshold "
            "stays at %.3f.",
            model.threshold_,
        )
        return model
    moved = copy.copy(model)
    moved.threshold_ = threshold
    return moved


def _check_binary(model: FeatureClassifier) -> None:
    if len(model.classes_) != 2:
        raise UsageError(
            f"adaptation is for two classes, and the model has {len(model.classes_)}; omit --adapt"
        )


def _most_confident(
    log_odds: npt.NDArray[np.float64], predicted: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the images of each class that are farthest from the threshold."""
    confident = []
    for label, sign in ((0, 1.0), (1, -1.0)):
        members = np.flatnonzero(predicted == label)
        order = members[np.argsort(sign * log_odds[members], kind="stable")]
        confident.append(order[: max(1, int(_CONFIDENT_PROPORTION * len(order)))])
    return np.sort(np.concatenate(confident))


def _refit(
    model: FeatureClassifier,
    train: FeatureMatrix,
    target: FeatureMatrix,
    predicted: npt.NDArray[np.int64],
    confident: npt.NDArray[np.int64],
) -> Pipeline:
    chosen = target.select_images(confident)
    labels = train.labels[train.image], predicted[confident][chosen.image]
    weights = row_weights(labels[0], train.image), row_weights(labels[1], chosen.image)
    X = np.concatenate([train.X, chosen.X])
    spec = get_classifier(model.classifier)
    pipeline = TrainingSet.of(train).pipeline(spec, len(X), model.random_state)
    name, classifier = pipeline.steps[-1]
    classifier.set_params(**model.best_params_)
    # Both collections have the same total weight.
    balanced = np.concatenate([weights[0], weights[1] * (train.n_images / chosen.n_images)])
    return pipeline.fit(X, np.concatenate(labels), **{f"{name}__sample_weight": balanced})


def adapted_threshold(log_odds: npt.NDArray[np.float64]) -> float | None:
    """Return the probability that separates two groups of calibrated log-odds; None without proof.

    A mixture of two normal distributions [1]_ must be better, by more than 10 in BIC [2]_, than
    every single distribution: skewed scores of one class are no two groups either.

    References
    ----------
    .. [1] J. Kittler, J. Illingworth (1986), "Minimum error thresholding", Pattern Recognition
       19(1), 41-47, doi 10.1016/0031-3203(86)90030-0.
    .. [2] R. E. Kass, A. E. Raftery (1995), "Bayes factors", Journal of the American Statistical
       Association 90(430), 773-795, doi 10.1080/01621459.1995.10476572.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> moved = np.concatenate([generator.normal(1, 1, 100), generator.normal(6, 1, 100)])
    >>> round(float(np.log(1 / (1 / adapted_threshold(moved) - 1))), 1)
    3.7
    >>> adapted_threshold(moved[:100]) is None
    True
    """
    scores = np.asarray(log_odds, dtype=np.float64)
    if len(scores) < FEWEST_IMAGES:
        raise UsageError(
            f"{len(scores)} images are too few to adapt a threshold to; give at least "
            f"{FEWEST_IMAGES}, or omit --adapt"
        )
    if len(np.unique(scores)) < len(scores) / 2:
        # A normal distribution fits the steps of an isotonic calibration too well.
        return None
    mixture = GaussianMixture(2, n_init=_STARTS, random_state=0).fit(scores[:, None])
    if _one_group_bic(scores) - mixture.bic(scores[:, None]) <= _LEAST_BIC_GAIN:
        return None
    means, variances = mixture.means_.ravel(), mixture.covariances_.ravel()
    low, high = np.argsort(means)
    if means[high] - means[low] < _LEAST_SEPARATION * np.sqrt(variances @ mixture.weights_):
        return None
    between = np.linspace(means[low], means[high], 2001)
    upper = mixture.predict_proba(between[:, None])[:, high]
    return float(expit(between[np.argmax(upper >= 0.5)]))


def prediction_alignment(
    probabilities: npt.ArrayLike, reference: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the map that gives probabilities the distribution of reference images.

    Unsupervised prediction alignment [1]_: piecewise linear between the two cumulative
    distributions. It is right only where the proportion and the mix of cases are those of the
    reference images: another prevalence is mapped away as if the device had caused it.

    Parameters
    ----------
    probabilities : array-like of float, shape (n_images,)
        Of the positive class, for the new images.
    reference : array-like of float, shape (n_reference,)
        The same for images like those of training, not fitted to them.

    Returns
    -------
    values, aligned : ndarray of float64
        Knots of the map, for `numpy.interp`.

    References
    ----------
    .. [1] M. Roschewitz, G. Khara, et al. (2023), "Automatic correction of performance drift under
       acquisition shift in medical image classification", Nature Communications 14, 6608, doi
       10.1038/s41467-023-42396-y.

    Examples
    --------
    >>> knots = prediction_alignment([0.6, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.4])
    >>> np.interp([0.7, 0.85], *knots).round(3).tolist()
    [0.2, 0.35]
    """
    both = (np.unique(np.asarray(p), return_counts=True) for p in (probabilities, reference))
    (values, counts), (known, among) = both
    reached, known_reached = (np.cumsum(each) / each.sum() for each in (counts, among))
    return values, np.interp(reached, known_reached, known)


def _one_group_bic(scores: npt.NDArray[np.float64]) -> float:
    """Return the BIC of the single distribution, of location and scale, that fits best."""
    shapes = (stats.norm, stats.laplace, stats.gumbel_l, stats.gumbel_r, stats.uniform)
    fits = [(shape(*shape.fit(scores)), scores) for shape in shapes]
    fits += [(stats.t(*stats.t.fit(scores, fdf=3)), scores)]
    fits += [(stats.expon(*stats.expon.fit(side)), side) for side in (scores, -scores)]
    likelihood = max(float(fitted.logpdf(values).sum()) for fitted, values in fits)
    return 2 * math.log(len(scores)) - 2 * likelihood
