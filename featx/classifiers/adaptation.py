"""Transductive adaptation of a model to unlabeled images of another collection."""

from __future__ import annotations

import copy
import logging
import math

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import expit, logit
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline

from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.compatibility import check_classes, check_recipes
from featx.classifiers.registry import get_classifier
from featx.classifiers.training_set import row_weights
from featx.errors import UsageError
from featx.features.matrix import FeatureMatrix

__all__ = ["FEWEST_IMAGES", "adapt", "adapted_threshold", "with_adapted_threshold"]

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
    model: FeatureClassifier, train: FeatureMatrix, target: FeatureMatrix
) -> FeatureClassifier | None:
    """Refit a model with confident predictions of new images as labels.

    The most confident four fifths of either predicted class of the new images become training
    images with their predicted labels (pseudo-labels), with the same total weight as the original
    ones. The model is refitted with its chosen settings; this is done twice. Then its threshold is
    placed between the two groups of scores (`adapted_threshold`). No label of the new images is
    used, but all images at once, so results are not comparable with those of other models.

    Parameters
    ----------
    model : FeatureClassifier
        Model of two classes, fitted on `train`; it is not changed.
    train : FeatureMatrix
        Labeled images; those of its test split are not used.
    target : FeatureMatrix
        Images of the new collection, with the same recipes.

    Returns
    -------
    FeatureClassifier or None
        None where the new images' scores do not form two groups. Probabilities are calibrated as
        those of `model`, on its training images.

    Raises
    ------
    UsageError
        If there are not two classes, too few images, the classifier takes no weights, or `train`
        has other classes or recipes than the model.

    References
    ----------
    .. [1] D.-H. Lee (2013), "Pseudo-label: the simple and efficient semi-supervised learning
       method for deep neural networks", ICML workshop on challenges in representation learning.
    """
    _check_binary(model)
    if not get_classifier(model.classifier).weighted:
        raise UsageError(
            f"{model.classifier} takes no sample weights, so it cannot be adapted; use another "
            "classifier"
        )
    check_recipes(model.recipes_, train)
    check_classes(model.classes_, train)
    usable = np.flatnonzero((train.labels >= 0) & (train.splits != "test"))
    train = train.select_images(usable)
    adapted = copy.copy(model)
    for _ in range(_ROUNDS):
        log_odds = logit(adapted.predict_images(target)[:, 1])
        threshold = adapted_threshold(log_odds)
        if threshold is None:
            return None
        predicted = (log_odds >= logit(threshold)).astype(np.int64)
        adapted.pipeline_ = _refit(
            model, train, target, predicted, _most_confident(log_odds, predicted)
        )
    threshold = adapted_threshold(logit(adapted.predict_images(target)[:, 1]))
    if threshold is None:
        return None
    adapted.threshold_ = threshold
    adapted.provenance_ = {**model.provenance_, "adapted_to_images": target.n_images}
    return adapted


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
    pipeline = get_classifier(model.classifier).make(X.shape, model.random_state)
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


def _one_group_bic(scores: npt.NDArray[np.float64]) -> float:
    """Return the BIC of the single distribution, of location and scale, that fits best."""
    shapes = (stats.norm, stats.laplace, stats.gumbel_l, stats.gumbel_r, stats.uniform)
    fits = [(shape(*shape.fit(scores)), scores) for shape in shapes]
    fits += [(stats.t(*stats.t.fit(scores, fdf=3)), scores)]
    fits += [(stats.expon(*stats.expon.fit(side)), side) for side in (scores, -scores)]
    likelihood = max(float(fitted.logpdf(values).sum()) for fitted, values in fits)
    return 2 * math.log(len(scores)) - 2 * likelihood
