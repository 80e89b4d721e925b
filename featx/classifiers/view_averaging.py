"""Any scikit-learn classifier on several views per image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone, is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, has_fit_parameter

from featx.classifiers.decision_scores import LEAST_PROPORTION, Scores
from featx.classifiers.validation import check_rows, check_rows_and_labels
from featx.errors import UsageError
from featx.metrics.labels import check_of_rows


def _inner_has(name: str) -> Callable[[Any], Any]:
    return available_if(lambda self: hasattr(getattr(self, "estimator_", self.estimator), name))


class ViewAveraging(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Average the scores of a classifier over the views of images.

    Rows hold the views of an image side by side, as ``FeatureExtractor(views=4,
    combine="concatenate")`` returns them. Decision values are averaged by their mean, probabilities
    by their geometric mean; each view has the sample weight ``1 / views`` where the classifier
    takes weights. Put what cross-validates itself (`GridSearchCV`) around this class, not inside.

    Parameters
    ----------
    estimator : classifier
        Classifier with `decision_function` or `predict_proba`, or a Pipeline that ends in one.
    views : int, default=1
        Number of views in a row, as in the extractor.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = np.random.default_rng(0).normal(size=(60, 20)) + np.repeat([[0], [1]], 30, axis=0)
    >>> model = ViewAveraging(LogisticRegression(), views=4).fit(X, np.repeat([0, 1], 30))
    >>> model.predict(X[[0, 59]]).tolist()
    [0, 1]
    """

    def __init__(self, estimator: Any, views: int = 1) -> None:
        self.estimator = estimator
        self.views = views

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **fit_params: Any) -> ViewAveraging:
        """Fit to rows of views; `fit_params` are repeated for views."""
        if not is_classifier(self.estimator):
            raise UsageError(f"{self.estimator!r} is not a classifier; give a classifier")
        parameters = {"": self.estimator, **self.estimator.get_params()}
        for name in parameters:
            owner, _, last = name.rpartition("__")
            # A FeatureClassifier keeps the views of an image together by itself.
            if last == "cv" and not has_fit_parameter(parameters[owner], "images"):
                raise UsageError(
                    f"{name} of the inner classifier would separate the views of an image; put "
                    "cross-validation around ViewAveraging"
                )
        X, y = check_rows_and_labels(self, X, y)
        check_classification_targets(y)
        rows = self._views(X)
        settings = {
            name: np.repeat(
                check_of_rows(name.rpartition("__")[2], each, len(X)), self.views, axis=0
            )
            for name, each in fit_params.items()
        }
        weight = _fit_keyword(self.estimator, "sample_weight")
        if weight is not None:
            of_images = _check_sample_weight(sample_weight, X)
            settings[weight] = np.repeat(of_images / self.views, self.views)
        elif sample_weight is not None:
            raise UsageError(f"{self.estimator!r} takes no sample weights; omit them")
        if (images := _fit_keyword(self.estimator, "images")) is not None:
            settings.setdefault(images, np.repeat(np.arange(len(X)), self.views))
        self.estimator_ = clone(self.estimator).fit(rows, np.repeat(y, self.views), **settings)
        self.classes_ = self.estimator_.classes_
        return self

    def _views(self, X: npt.NDArray) -> npt.NDArray:
        if self.views < 1 or X.shape[1] % self.views:
            raise UsageError(
                f"rows of {X.shape[1]:,} features are not {self.views} views side by side; give the"
                " extractor combine='concatenate' and the same number of views"
            )
        return X.reshape(len(X) * self.views, -1)

    def _mean(self, method: str, X: Any, transform: Any = np.asarray) -> Scores:
        check_is_fitted(self)
        values = transform(getattr(self.estimator_, method)(self._views(check_rows(self, X))))
        return values.reshape(-1, self.views, *values.shape[1:]).mean(axis=1)

    @_inner_has("decision_function")
    def decision_function(self, X: Any) -> Scores:
        """Return the mean of the classifier's decision values over views."""
        return self._mean("decision_function", X)

    @_inner_has("predict_proba")
    def predict_proba(self, X: Any) -> Scores:
        """Return the normalized geometric mean of the classifier's probabilities over views."""
        if self.views == 1:
            return self._mean("predict_proba", X)
        # Proportions of votes may be 0 without excluding a class; others only by rounding.
        decides = hasattr(self, "decision_function")
        least = np.finfo(np.float64).eps if decides else LEAST_PROPORTION
        return softmax(self._mean("predict_proba", X, lambda p: np.log(p + least)), axis=1)

    def predict(self, X: Any) -> npt.NDArray:
        """Return the class that the averaged scores predict."""
        decides = hasattr(self, "decision_function")
        scores = self.decision_function(X) if decides else self.predict_proba(X)
        codes = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[codes]


def _fit_keyword(estimator: Any, name: str) -> str | None:
    """Return the name by which `fit` takes a keyword, or None."""
    if not isinstance(estimator, Pipeline):
        return name if has_fit_parameter(estimator, name) else None
    step, last = estimator.steps[-1]
    return f"{step}__{name}" if has_fit_parameter(last, name) else None
