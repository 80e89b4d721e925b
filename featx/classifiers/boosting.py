"""Gradient-boosted trees whose booster is an array of bytes.

`xgboost.XGBClassifier` keeps a live booster, which a file could only hold as a pickle.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from featx.classifiers.smooth_trees import TreeTable
from featx.classifiers.validation import check_rows, check_rows_and_labels
from featx.errors import UsageError

# Leaves are rounded, so that a row of weight 2 gives the same booster as the row given twice.
_LEAF_STEP = 2.0**-22

# Before the thresholds of a tree in universal binary JSON: name, and type float32.
_THRESHOLDS = b"split_conditions[$d#L"


def _between_rows(booster: xgboost.Booster, X: npt.NDArray) -> bytearray:
    """Return the booster with splits moved from training rows to the middle of the gap below them.

    XGBoost splits at values of training rows, whose side is then decided by rounding: an image
    alone, or features of another engine, would get another probability. No training row changes
    its side. Numbers are replaced in the binary form, since JSON would round leaves.
    """
    content = booster.save_raw("ubj")
    values = [np.unique(column) for column in X.astype(np.float32).T]
    end = 0
    for tree in _trees(booster):
        start = content.index(_THRESHOLDS, end) + len(_THRESHOLDS) + 8
        end = start + 4 * len(tree["split_indices"])
        thresholds = np.frombuffer(content[start:end], dtype=">f4").copy()
        for node, feature in enumerate(tree["split_indices"]):
            if tree["left_children"][node] < 0:  # a leaf, whose value stands here
                thresholds[node] = np.round(thresholds[node] / _LEAF_STEP) * _LEAF_STEP
                continue
            place = int(np.searchsorted(values[feature], thresholds[node]))
            if 0 < place < len(values[feature]):
                below, above = values[feature][place - 1 : place + 1]
                middle = below + (above - below) / 2
                thresholds[node] = middle if middle > below else above
        content[start:end] = thresholds.tobytes()
    return content


def _trees(booster: xgboost.Booster) -> list[dict[str, Any]]:
    return json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]


def _table(booster: xgboost.Booster, n_classes: int) -> TreeTable:
    """Return all nodes; of more than two classes, the trees take turns."""
    n_outputs = 1 if n_classes == 2 else n_classes
    parts = []
    for number, tree in enumerate(_trees(booster)):
        thresholds = np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64)
        value = np.zeros((len(thresholds), n_outputs))
        value[:, number % n_outputs] = thresholds
        children = tree["left_children"], tree["right_children"]
        parts.append((*children, tree["split_indices"], thresholds, value))
    return TreeTable.of(parts)


class BoostedTrees(ClassifierMixin, BaseEstimator):
    """XGBoost's histogram trees as a scikit-learn classifier without a live booster inside.

    ``booster_`` holds the booster in XGBoost's own universal binary JSON, as uint8.

    Parameters
    ----------
    n_estimators, max_depth, learning_rate, subsample, colsample, min_child_weight, reg_lambda, \
    random_state, n_jobs
        Settings of `xgboost.XGBClassifier`; `colsample` is its ``colsample_bytree``.
    smoothing : float, default=0.0
        Half the width of splits at prediction, in standard deviations of the feature; see
        `featx.classifiers.smooth_trees`.

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
        smoothing: float = 0.0,
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
        self.smoothing = smoothing

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Files of before have no such parameter.
        super().__setstate__({"smoothing": 0.0, **state})

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
        # Standard deviation of each feature.
        self.spread_ = X[kept].std(axis=0, dtype=np.float64)
        self.booster_ = np.frombuffer(bytes(_between_rows(booster, X[kept])), dtype=np.uint8)
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
        if self.smoothing > 0:
            margins = self._smooth_margins(booster, X)
            if margin:
                return margins
            return expit(margins) if margins.ndim == 1 else softmax(margins, axis=1)
        return self._plain(booster, X, margin)

    def _plain(self, booster: xgboost.Booster, X: Any, margin: bool) -> npt.NDArray[np.float64]:
        rows = xgboost.DMatrix(X, nthread=self.n_jobs)
        return booster.predict(rows, output_margin=margin).astype(np.float64)

    def _smooth_margins(self, booster: xgboost.Booster, X: Any) -> npt.NDArray[np.float64]:
        table = _table(booster, len(self.classes_))
        zeros = np.zeros((1, X.shape[1]), dtype=np.float32)
        start = self._plain(booster, zeros, margin=True) - table.sums(zeros, 0 * self.spread_)
        sums = start + table.sums(X, self.smoothing * self.spread_)
        return sums[:, 0] if len(self.classes_) == 2 else sums

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
