"""Scores of rows and of images: log-odds, averaged over an image's views."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

__all__ = ["FORMAT", "LEAST_SHARE", "average_views", "classifier_scores", "one_vs_rest_auc"]

Scores = npt.NDArray[np.float64]

# To be raised whenever the same classifier comes to have other scores.
FORMAT = 2

# A vote of all trees or neighbors is not certainty.
LEAST_SHARE = 1e-3


def classifier_scores(classifier: Any, X: npt.NDArray) -> Scores:
    """Return what a classifier makes of rows, on the scale of log-odds.

    From its decision function where it has one; else from the logarithm of its joint probabilities
    (naive Bayes) or of its shares of votes.

    Parameters
    ----------
    X : ndarray, shape (n_rows, n_features)
        Rows as the classifier takes them.

    Returns
    -------
    ndarray of float64, shape (n_rows,) or (n_rows, n_classes)
        For two classes, higher is the second; for more, one column a class, against the rest.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    >>> fitted = LogisticRegression().fit(X, [0, 0, 1, 1, 2, 2])
    >>> likeliest = classifier_scores(fitted, X).argmax(axis=1)
    >>> likeliest.tolist()
    [0, 0, 1, 1, 2, 2]
    """
    if hasattr(classifier, "decision_function"):
        decision = np.asarray(classifier.decision_function(X), dtype=np.float64)
        # A support vector machine's columns already tell each class from the rest.
        alone = decision.ndim == 1 or not hasattr(classifier, "predict_proba")
        return decision if alone else _against_the_rest(decision)
    if hasattr(classifier, "predict_joint_log_proba"):
        logarithms = classifier.predict_joint_log_proba(X)
    else:
        logarithms = np.log(np.clip(classifier.predict_proba(X), LEAST_SHARE, None))
    if logarithms.shape[1] == 2:
        return logarithms[:, 1] - logarithms[:, 0]
    return _against_the_rest(logarithms)


def _against_the_rest(logarithms: Scores) -> Scores:
    """Return log-odds of each class, from logarithms of shares up to a constant a row.

    The constant says how likely the row is, not its class: columns without it can be ranked.
    """
    columns = range(logarithms.shape[1])
    others = [logsumexp(np.delete(logarithms, column, axis=1), axis=1) for column in columns]
    return logarithms - np.column_stack(others)


def average_views(scores: Scores, image: npt.NDArray[np.int64], n_images: int) -> Scores:
    """Average scores over each image's views.

    Parameters
    ----------
    scores : ndarray of float64, shape (n_rows,) or (n_rows, n_classes)
        Scores of rows.
    image : ndarray of int64, shape (n_rows,)
        Which image each row shows, from 0 to `n_images` - 1; each has at least one row.

    Returns
    -------
    ndarray of float64, shape (n_images,) or (n_images, n_classes)
        Scores of images.

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
    """Return the area under the ROC curve; of more classes, the mean of each against the rest.

    Parameters
    ----------
    labels : ndarray of int64, shape (n_images,)
        Class codes from 0; every class occurs.
    scores : ndarray of float64, shape (n_images,) or (n_images, n_classes)
        As `classifier_scores` gives them.

    Examples
    --------
    >>> one_vs_rest_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    columns = {1: scores} if scores.ndim == 1 else dict(enumerate(scores.T))
    areas = [roc_auc_score(labels == label, column) for label, column in columns.items()]
    return float(np.mean(areas))
