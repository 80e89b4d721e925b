"""Gradient-boosted trees that keep their booster as bytes: a saved model holds only arrays."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xgboost
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from featx.classifiers.validation import check_rows, check_rows_and_labels
from featx.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["BoostedTrees", "LabeledRows"]

LabeledRows = tuple[npt.NDArray, npt.NDArray, npt.NDArray]
"""Rows of features, with their labels and weights."""

# XGBoost's own number, and from how many rows their edges follow: an eighth, but no fewer or more.
_BINS = 256
_FEWEST_ROWS, _MOST_ROWS = 1024, 8192


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
        """Grow the trees.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)
            Finite features.
        y : array-like, shape (n_rows,)
            Labels of two or more classes.
        sample_weight : array-like of float, shape (n_rows,), optional
            Weight of each row.
        """
        X, y = check_rows_and_labels(self, X, y)
        check_classification_targets(y)
        weights = _check_sample_weight(sample_weight, X)
        kept = weights > 0  # a row of no weight must not decide where histogram bins lie
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(np.unique(codes[kept])) < 2:
            raise UsageError(
                "boosted trees need rows of at least two classes; all rows of any weight are of "
                "one class"
            )
        rows = xgboost.DMatrix(X[kept], codes[kept], weight=weights[kept], nthread=self.n_jobs)
        booster = xgboost.train(self._settings(), rows, num_boost_round=self.n_estimators)
        self._keep(booster)
        return self

    def fit_on_blocks(self, blocks: Sequence[LabeledRows]) -> BoostedTrees:
        """Grow the trees on rows that lie in a file: only their bins' file and blocks are read.

        XGBoost's quantile sketch would take 1 MB a feature, so that the edges of bins are here
        quantiles of 8,192 rows at most; they are those of `fit` where features have few values.

        Examples
        --------
        >>> X = np.arange(20, dtype=np.float32).reshape(-1, 1)
        >>> halves = [(part, part[:, 0] >= 10, np.ones(10)) for part in np.split(X, 2)]
        >>> trees = BoostedTrees(n_estimators=20).fit_on_blocks(halves)
        >>> trees.predict([[3.0], [15.0]]).tolist()
        [False, True]
        """
        self.classes_ = np.unique(np.concatenate([np.unique(labels) for _, labels, _ in blocks]))
        self.n_features_in_ = blocks[0][0].shape[1]
        edges = xgboost.QuantileDMatrix(_quantiles(blocks), max_bin=_BINS, nthread=self.n_jobs)
        with tempfile.TemporaryDirectory(prefix="featx-") as folder:
            binned = xgboost.ExtMemQuantileDMatrix(
                _Blocks(blocks, self.classes_, Path(folder)),
                ref=edges,
                max_bin=_BINS,
                nthread=self.n_jobs,
            )
            self._keep(xgboost.train(self._settings(), binned, num_boost_round=self.n_estimators))
        return self

    def fit_on_cluster(self, client: Client, blocks: Iterable[LabeledRows]) -> BoostedTrees:
        """Grow the trees on rows that are spread over the workers of a Dask cluster."""
        import dask.array as da
        from xgboost import dask as distributed_xgboost

        columns: tuple[list[Any], list[Any], list[Any]] = [], [], []
        seen: set[Any] = set()
        for block in blocks:
            seen.update(np.unique(block[1]).tolist())
            for column, values in zip(columns, block, strict=True):
                held = client.scatter(values, hash=False)
                column.append(da.from_delayed(held, values.shape, values.dtype))
        self.classes_ = np.array(sorted(seen))
        rows, labels, weights = (da.concatenate(column) for column in columns)
        self.n_features_in_ = rows.shape[1]
        codes = labels.map_blocks(partial(np.searchsorted, self.classes_), dtype=np.int64)
        settings = {name: value for name, value in self._settings().items() if name != "nthread"}
        with client.as_current():
            matrix = distributed_xgboost.DaskDMatrix(client, rows, codes, weight=weights)
            grown = distributed_xgboost.train(
                client, settings, matrix, num_boost_round=self.n_estimators
            )
        self._keep(grown["booster"])
        return self

    def _keep(self, booster: xgboost.Booster) -> None:
        self.booster_ = np.frombuffer(bytes(booster.save_raw("ubj")), dtype=np.uint8)

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
        """Return log-odds before they become probabilities.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)
            Features.

        Returns
        -------
        ndarray of float64, shape (n_rows,) or (n_rows, n_classes)
            One column a class where there are more than two.
        """
        return self._predict(X, margin=True)

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)
            Features.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_classes)
            Rows sum to 1.
        """
        probability = self._predict(X, margin=False)
        if len(self.classes_) == 2:
            return np.column_stack([1 - probability, probability])
        return probability / probability.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> npt.NDArray:
        """Return the likeliest class.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_features)
            Features.

        Returns
        -------
        ndarray, shape (n_rows,)
            Labels.
        """
        score = self.decision_function(X)
        return self.classes_[(score > 0).astype(int) if score.ndim == 1 else score.argmax(axis=1)]


class _Blocks(xgboost.DataIter):
    """Blocks of rows for XGBoost, which keeps their bins in a folder."""

    def __init__(self, blocks: Sequence[LabeledRows], classes: npt.NDArray, folder: Path) -> None:
        self._blocks = blocks
        self._classes = classes
        self._next = 0
        super().__init__(cache_prefix=str(folder / "bins"))

    def reset(self) -> None:
        """Begin again."""
        self._next = 0

    def next(self, input_data: Any) -> bool:
        """Hand over the next block, if there is one."""
        if self._next == len(self._blocks):
            return False
        rows, labels, weights = self._blocks[self._next]
        codes = np.searchsorted(self._classes, labels)
        input_data(data=np.asarray(rows), label=codes, weight=weights)
        self._next += 1
        return True


def _quantiles(blocks: Sequence[LabeledRows]) -> npt.NDArray[np.float32]:
    """Return rows whose features are quantiles of all rows' features, from rows evenly chosen."""
    count = sum(len(rows) for rows, _, _ in blocks)
    share = min(1.0, min(_MOST_ROWS, max(_FEWEST_ROWS, count // 8)) / count)
    kept = []
    for rows, _, _ in blocks:
        size = max(1, round(share * len(rows)))
        kept.append(rows[np.linspace(0, len(rows) - 1, size).round().astype(np.int64)])
    levels = np.linspace(0, 1, _BINS)
    # One feature after another, because NumPy copies what it sorts.
    columns = [np.quantile(values, levels, method="nearest") for values in np.concatenate(kept).T]
    return np.column_stack(columns).astype(np.float32)
