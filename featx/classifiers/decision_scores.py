"""Decision scores of rows and images: log-odds, averaged over an image's views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Scores = npt.NDArray[np.float64]

# Raised whenever the same classifier gets other scores.
FORMAT = 2

# A vote of all trees or neighbors is not certainty.
LEAST_PROPORTION = 1e-3

# Number of rows scored at once, because scaling copies them.
_CHUNK = 8192


def classifier_scores(classifier: Any, X: npt.NDArray) -> Scores:
    """Return a classifier's scores of rows, on the scale of log-odds.

    They come from its decision function if it has one; otherwise from the logarithms of its joint
    probabilities (naive Bayes) or of its proportions of votes. For two classes, higher means the
    second; for more, there is one column per class, against the rest.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    >>> fitted = LogisticRegression().fit(X, [0, 0, 1, 1, 2, 2])
    >>> classifier_scores(fitted, X).argmax(axis=1).tolist()
    [0, 0, 1, 1, 2, 2]
    """
    if hasattr(classifier, "decision_function"):
        decision = np.asarray(classifier.decision_function(X), dtype=np.float64)
        if decision.ndim == 1:
            return decision
        from sklearn.svm import SVC

        # Only where probabilities follow from them by softmax are they logarithms; a support vector
        # machine's are one-vs-rest already, although some have a method `predict_proba`.
        logarithmic = hasattr(classifier, "predict_proba") and not isinstance(classifier, SVC)
        return _against_the_rest(decision) if logarithmic else decision
    if hasattr(classifier, "predict_joint_log_proba"):
        logarithms = classifier.predict_joint_log_proba(X)
    else:
        logarithms = np.log(np.clip(classifier.predict_proba(X), LEAST_PROPORTION, None))
    if logarithms.shape[1] == 2:
        return logarithms[:, 1] - logarithms[:, 0]
    return _against_the_rest(logarithms)


def _against_the_rest(logarithms: Scores) -> Scores:
    """Return log-odds of each class from unnormalized log-probabilities."""
    columns = range(logarithms.shape[1])
    others = [logsumexp(np.delete(logarithms, column, axis=1), axis=1) for column in columns]
    return logarithms - np.column_stack(others)


def average_views(scores: Scores, image: npt.NDArray[np.int64], n_images: int) -> Scores:
    """Average scores over each image's views; `image` is the index of each row's image.

    Examples
    --------
    >>> average_views(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1]), 2).tolist()
    [2.0, 5.0]
    """
    views = np.bincount(image, minlength=n_images)
    if scores.ndim == 1:
        return np.bincount(image, scores, minlength=n_images) / views
    columns = [np.bincount(image, column, minlength=n_images) for column in scores.T]
    return np.column_stack(columns) / views[:, None]


def one_vs_rest_auc(labels: npt.NDArray[np.int64], scores: Scores) -> float:
    """Return the ROC AUC of scores; of more than two classes, the one-vs-rest mean.

    Examples
    --------
    >>> one_vs_rest_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    from sklearn.metrics import roc_auc_score

    columns = {1: scores} if scores.ndim == 1 else dict(enumerate(scores.T))
    areas = [roc_auc_score(labels == label, column) for label, column in columns.items()]
    return float(np.mean(areas))


def pipeline_scores(pipeline: Pipeline, X: npt.NDArray) -> Scores:
    """Return a fitted pipeline's scores of rows, computed block by block."""
    shared, classifier = pipeline[:-1], pipeline[-1]
    blocks = [
        classifier_scores(classifier, shared.transform(X[start : start + _CHUNK]))
        for start in range(0, len(X), _CHUNK)
    ]
    return np.concatenate(blocks)
