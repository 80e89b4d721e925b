"""Gradient-boosted trees whose booster is an array of bytes.

`xgboost.XGBClassifier` keeps a live booster, which a file could only hold as a pickle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from featx.classifiers.validation import check_rows, check_rows_and_labels
from featx.errors import UsageError

__all__ = ["BoostedTrees"]


class BoostedTrees(ClassifierMixin, BaseEstimator):
    """XGBoost's histogram trees as a scikit-learn classifier without a live booster inside.

    Attributes
    ----------
    booster_ : ndarray of uint8, shape (n_bytes,)
        The booster in XGBoost's own universal binary JSON.
    classes_ : ndarray, shape (n_classes,)
        The labels.

    References
    ----------
    .. [1] T. Chen, C. Guestrin (2016), "XGBoost: a scalable tree boosting system", KDD '16,
       785-794, doi 10.1145/2939672.2939785.

    Examples
    --------
    >>> X = np.arange(20, dtype=np.float32).reshape(-1, 1)
    >>> trees = BoostedTrees(n_estimators=20).fit(X, X[:, 0] >= 10)
    >>> trees.predict([[3.0], [15.0]]).tolist()
    [False, True]
    """

    def __init__(
        self,
        n_estimators: int = 300,
        max_depth: int = 3,
        learning_rate: float = 0.1,
        subsample: float = 1.0,
        colsample: float = 1.0,
        min_child_weight: float = 1.0,
        reg_lambda: float = 1.0,
        random_state: Any = 0,
        n_jobs: int = 1,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.subsample = subsample
        self.colsample = colsample
        self.min_child_weight = min_child_weight
        self.reg_lambda = reg_lambda
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> BoostedTrees:
        """Grow the trees."""
        X, y = check_rows_and_labels(self, X, y)
        check_classification_targets(y)
        weights = _check_sample_weight(sample_weight, X)
        kept = weights > 0  # rows without weight must not influence the histogram bins
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(np.unique(codes[kept])) < 2:
            raise UsageError(
                "boosted trees need rows of at least two classes; all rows of any weight are of "
                "one class"
            )
        rows = xgboost.DMatrix(X[kept], codes[kept], weight=weights[kept], nthread=self.n_jobs)
        booster = xgboost.train(self._settings(), rows, num_boost_round=self.n_estimators)
        self.booster_ = np.frombuffer(bytes(booster.save_raw("ubj")), dtype=np.uint8)
        return self

    def _settings(self) -> dict[str, Any]:
        n_classes = len(self.classes_)
        objective: dict[str, Any] = (
            {"objective": "binary:logistic"}
            if n_classes == 2
            else {"objective": "multi:softprob", "num_class": n_classes}
        )
        return {
            **objective,
            "tree_method": "hist",
            "max_depth": self.max_depth,
            "eta": self.learning_rate,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample,
            "min_child_weight": self.min_child_weight,
            "lambda": self.reg_lambda,
            "random_state": int(check_random_state(self.random_state).randint(2**31 - 1)),
            "nthread": self.n_jobs,
            "verbosity": 0,
        }

    def _predict(self, X: Any, *, margin: bool) -> npt.NDArray[np.float64]:
        check_is_fitted(self)
        X = check_rows(self, X)
        booster = xgboost.Booster({"nthread": self.n_jobs})
        booster.load_model(bytearray(self.booster_))
        rows = xgboost.DMatrix(X, nthread=self.n_jobs)
        return booster.predict(rows, output_margin=margin).astype(np.float64)

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:
        """Return log-odds before they become probabilities."""
        return self._predict(X, margin=True)

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the probability of each class."""
        probability = self._predict(X, margin=False)
        if len(self.classes_) == 2:
            return np.column_stack([1 - probability, probability])
        return probability / probability.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> npt.NDArray:
        """Return the likeliest class."""
        score = self.decision_function(X)
        return self.classes_[(score > 0).astype(int) if score.ndim == 1 else score.argmax(axis=1)]
