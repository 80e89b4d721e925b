"""Any classifier on the views of images: taught each view, asked for one answer an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone, is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, has_fit_parameter

from featx.classifiers.decision_scores import LEAST_PROPORTION, Scores
from featx.classifiers.validation import check_rows, check_rows_and_labels
from featx.errors import UsageError

__all__ = ["ViewAveraging"]

Method = TypeVar("Method", bound=Callable[..., Any])


def _if_inner_has(name: str) -> Callable[[Method], Method]:
    return available_if(lambda self: hasattr(getattr(self, "estimator_", self.estimator), name))


class ViewAveraging(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Teach a classifier the views of images one by one, and answer with the mean over views.

    A row of X is an image, its views one after the other, as
    ``FeatureExtractor(views=4, combine="concatenate")`` gives them. So whatever splits rows, a
    cross-validation or a search, splits images, and no image's views are parted.

    Views are averaged on the scale of log-odds, as `featx.fit` does: decision values by their
    mean, probabilities by their geometric mean, normalized. Rows weigh ``1 / views`` wherever the
    classifier takes weights, so that an image counts once and a penalty means the same whatever
    the number of views. A `FeatureClassifier` is told which rows are of one image.

    Parameters
    ----------
    estimator : classifier
        With `decision_function` or `predict_proba`; may be a Pipeline that ends in one. What
        cross-validates by itself (a parameter ``cv``) would part views and is refused: put
        `GridSearchCV` or `CalibratedClassifierCV` around this, not inside.
    views : int, default=1
        Views in a row, as many as the extractor's.

    Attributes
    ----------
    estimator_ : classifier
        Fitted to views.
    classes_ : ndarray, shape (n_classes,)
        The labels.
    n_features_in_ : int
        Number of features of a row, all its views together.

    See Also
    --------
    featx.fit : Also searches settings, calibrates and chooses an operating point; saves safely.

    Notes
    -----
    Not a model file of featx: keep it with joblib or skops.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> generator = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 30)
    >>> views = y[:, None, None] + generator.normal(size=(60, 4, 5))
    >>> X = views.reshape(60, 20)
    >>> float(cross_val_score(ViewAveraging(LogisticRegression(), views=4), X, y).mean())
    1.0

    Behind an extractor, and settings of both searched together:

    >>> from featx import FeatureExtractor
    >>> pipeline = Pipeline([
    ...     ("extract", FeatureExtractor(views=4, augmentation="ramirez", combine="concatenate")),
    ...     ("average", ViewAveraging(LogisticRegression(), views=4)),
    ... ])
    >>> grid = {"extract__backbone": ["efficientnet_lite0", "densenet169"],
    ...         "average__estimator__C": [0.001, 0.01]}
    """

    # A weight goes where the inner classifier asks for it.
    __metadata_request__fit: ClassVar[dict[str, Any]] = {"sample_weight": UNUSED}

    def __init__(self, estimator: Any, views: int = 1) -> None:
        self.estimator = estimator
        self.views = views

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **fit_params: Any) -> ViewAveraging:
        """Fit the classifier to all views.

        Parameters
        ----------
        X : array-like, shape (n_images, views * n_features)
            Views one after the other.
        y : array-like, shape (n_images,)
            Classes.
        sample_weight : array-like of float, shape (n_images,), optional
            Weight of each image.
        **fit_params
            For the classifier's `fit`, such as ``patients``; what has a value an image is
            repeated for its views. With metadata routing on, it must have been asked for.

        Returns
        -------
        ViewAveraging
            Itself.

        Raises
        ------
        UsageError
            If the rows are no such views, the estimator is not one that can be averaged, or there
            are weights and it takes none.
        """
        _check_inner(self.estimator)
        X, y = check_rows_and_labels(self, X, y)
        check_classification_targets(y)
        if sample_weight is not None:
            fit_params["sample_weight"] = sample_weight
        settings = self._settings_of_views(X, fit_params)
        rows = self._unfolded(X)
        self.estimator_ = clone(self.estimator).fit(rows, np.repeat(y, self.views), **settings)
        self.classes_ = self.estimator_.classes_
        return self

    def _settings_of_views(self, X: npt.NDArray, given: dict[str, Any]) -> dict[str, Any]:
        """Turn what is known of each image into what the inner `fit` takes for each view."""
        routed = get_config()["enable_metadata_routing"]
        if given and routed:
            given = dict(process_routing(self, "fit", **given).estimator.fit)
        weights = given.pop("sample_weight", None)
        settings = {name: self._repeated(value, len(X)) for name, value in given.items()}
        takes_weights = _fit_keyword(self.estimator, "sample_weight")
        # What was routed and is taken by no step, scikit-learn refuses in its own words.
        if weights is not None and takes_weights is None and not routed:
            raise UsageError(f"{self.estimator!r} takes no sample weights; leave them out")
        if weights is not None or (takes_weights is not None and self.views > 1):
            keyword = takes_weights or "sample_weight"
            of_image = _check_sample_weight(given.get(keyword, weights), X)
            settings[keyword] = np.repeat(of_image / self.views, self.views)
        takes_images = _fit_keyword(self.estimator, "images")
        if takes_images is not None:
            settings.setdefault(takes_images, np.repeat(np.arange(len(X)), self.views))
        return settings

    def _repeated(self, value: Any, n_images: int) -> Any:
        array = np.asarray(value)
        return np.repeat(array, self.views, axis=0) if array.shape[:1] == (n_images,) else value

    def _unfolded(self, X: npt.NDArray) -> npt.NDArray:
        if self.views < 1 or X.shape[1] % self.views:
            raise UsageError(
                f"rows of {X.shape[1]:,} features are not {self.views} views one after the other; "
                "give as many as the extractor's `views`, and let it combine by 'concatenate'"
            )
        return X.reshape(len(X) * self.views, -1)

    def _views(self, X: Any) -> npt.NDArray:
        check_is_fitted(self)
        return self._unfolded(check_rows(self, X))

    def _mean(self, of_views: npt.NDArray) -> Scores:
        return of_views.reshape(-1, self.views, *of_views.shape[1:]).mean(axis=1)

    @_if_inner_has("decision_function")
    def decision_function(self, X: Any) -> Scores:
        """Return the mean of the classifier's decision values over views.

        Parameters
        ----------
        X : array-like, shape (n_images, views * n_features)
            Views one after the other.

        Returns
        -------
        ndarray of float64, shape (n_images,) or (n_images, n_classes)
            For two classes, above 0 where `predict` says the second.
        """
        rows = self._views(X)
        return self._mean(np.asarray(self.estimator_.decision_function(rows)))

    @_if_inner_has("predict_proba")
    def predict_proba(self, X: Any) -> Scores:
        """Return the geometric mean of the classifier's probabilities over views, normalized.

        Shares of votes, from a classifier without decision values, are first drawn a thousandth
        towards each other, so that one view without a vote for a class is no veto.

        Parameters
        ----------
        X : array-like, shape (n_images, views * n_features)
            Views one after the other.

        Returns
        -------
        ndarray of float64, shape (n_images, n_classes)
            Rows sum to 1.
        """
        rows = self._views(X)
        probability = np.asarray(self.estimator_.predict_proba(rows))
        if self.views == 1:
            return probability
        # What rounds to 0 is not known to be impossible either.
        votes = not hasattr(self.estimator_, "decision_function")
        least = LEAST_PROPORTION if votes else np.finfo(probability.dtype).eps
        return softmax(self._mean(np.log(probability.astype(np.float64) + least)), axis=1)

    def predict(self, X: Any) -> npt.NDArray:
        """Return the class that the averaged scores mean.

        Parameters
        ----------
        X : array-like, shape (n_images, views * n_features)
            Views one after the other.

        Returns
        -------
        ndarray, shape (n_images,)
            Of `classes_`; by decision values where the classifier has them, else the likeliest.
        """
        check_is_fitted(self)
        decides = hasattr(self.estimator_, "decision_function")
        scores = self.decision_function(X) if decides else self.predict_proba(X)
        return self.classes_[
            (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        ]

    def get_metadata_routing(self) -> MetadataRouter:
        """Tell scikit-learn what goes to the inner classifier's `fit`.

        Returns
        -------
        MetadataRouter
        """
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        fit_to_fit = MethodMapping().add(caller="fit", callee="fit")
        return router.add(estimator=self.estimator, method_mapping=fit_to_fit)


def _check_inner(estimator: Any) -> None:
    if not is_classifier(estimator):
        raise UsageError(f"{estimator!r} is not a classifier, and only classifiers can be averaged")
    if not (hasattr(estimator, "decision_function") or hasattr(estimator, "predict_proba")):
        raise UsageError(
            f"{estimator!r} gives neither decision values nor probabilities to average; take a "
            "classifier with decision_function or predict_proba"
        )
    for name, value in estimator.get_params().items():
        last = name.rpartition("__")[2]
        if last == "cv":
            raise UsageError(
                f"{name} of the inner {type(estimator).__name__} would part the views of an image; "
                "put what cross-validates around ViewAveraging, as in "
                "GridSearchCV(ViewAveraging(classifier, views=4), ...)"
            )
        if last == "decision_function_shape" and value == "ovo":
            raise UsageError(f"{name}='ovo' gives no value a class to average; leave it at 'ovr'")


def _fit_keyword(estimator: Any, name: str) -> str | None:
    """Return how `fit` takes what is so called, for a pipeline by its last step; None if not."""
    if has_fit_parameter(estimator, name):
        return name
    if not isinstance(estimator, Pipeline):
        return None
    if get_config()["enable_metadata_routing"]:
        asked = estimator.get_metadata_routing().consumes("fit", [name])
        return name if asked else None
    step, last = estimator.steps[-1]
    inner = _fit_keyword(last, name)
    return None if inner is None else f"{step}__{inner}"
