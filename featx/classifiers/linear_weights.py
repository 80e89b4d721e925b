"""Weights of raw features in the decision of a linear model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC


@dataclass(frozen=True, eq=False)
class LinearWeights:
    """A linear decision: ``bias + weights @ (features - center)``.

    Two classes have one score, higher for the second; more have one per class.
    """

    # Of raw features, shape (n_scores, n_features).
    weights: npt.NDArray[np.float64]
    # Mean of the training rows.
    center: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]


def linear_weights(pipeline: Pipeline) -> LinearWeights | None:
    """Return a linear classifier's weights of raw features, or None.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> X = np.array([[0.0, 5.0], [2.0, 5.1], [10.0, 4.9], [12.0, 5.0]])
    >>> pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, [0, 0, 1, 1])
    >>> found = linear_weights(pipeline)
    >>> decision = found.bias + found.weights @ (X[0] - found.center)
    >>> bool(np.isclose(decision[0], pipeline.decision_function(X[:1])[0]))
    True
    """
    *steps, (_, classifier) = pipeline.steps
    if not _is_linear(classifier):
        return None
    weights = np.asarray(classifier.coef_, dtype=np.float64)
    intercept = np.asarray(classifier.intercept_, dtype=np.float64)
    for _, step in reversed(steps):
        if isinstance(step, StandardScaler):
            weights, shift = weights / step.scale_, step.mean_
        elif isinstance(step, PCA) and not step.whiten:
            weights, shift = weights @ step.components_, step.mean_
        else:
            return None
        intercept = intercept - weights @ shift
    center = np.asarray(steps[0][1].mean_, dtype=np.float64)
    return LinearWeights(weights, center, intercept + weights @ center)


def _is_linear(classifier: Any) -> bool:
    if isinstance(classifier, SVC):
        return classifier.kernel == "linear" and len(classifier.classes_) == 2
    return isinstance(classifier, LogisticRegression)
