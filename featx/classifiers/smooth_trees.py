"""Trees with splits that are ramps, so that rounding moves no image to another leaf.

At a hard split a difference of 1e-6 in a feature, as between two engines, can move a probability by
several thousandths. Over a ramp of a hundredth of the feature's standard deviation to either side
it moves it by less than 1e-4, and the ranking of images stays as it was (scripts/bench/trees.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.utils.validation import check_is_fitted

from featx.classifiers.validation import check_rows

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Half the width of a ramp, in standard deviations of the feature.
SMOOTHING = 0.01

_ROWS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class TreeTable:
    """Nodes of several trees in one table."""

    # Children of each node; -1 of a leaf.
    left: Integers
    right: Integers
    feature: Integers
    # Middle of a node's ramp.
    cut: Floats
    # What a leaf adds to each output, shape (n_nodes, n_outputs).
    value: Floats
    roots: Integers

    @classmethod
    def of(cls, trees: Sequence[tuple[npt.ArrayLike, ...]]) -> TreeTable:
        """Return the table of trees, given as (left, right, feature, cut, value)."""
        sizes = [len(np.asarray(tree[0])) for tree in trees]
        roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        left, right, feature, cut, value = map(np.concatenate, zip(*trees, strict=True))
        left, right, feature = (column.astype(np.int64) for column in (left, right, feature))
        inner = left >= 0
        for children in (left, right):
            children[inner] += np.repeat(roots, sizes)[inner]
        return cls(left, right, feature, cut, value, roots)

    def sums(self, X: npt.ArrayLike, half_widths: Floats) -> Floats:
        """Add the values of the leaves that each row reaches, weighted by how far it does.

        Half widths are those of the ramps of each feature, 0 for hard splits.

        Examples
        --------
        >>> stump = [1, -1, -1], [2, -1, -1], [0, 0, 0], [5.0, 0, 0], [[0.0], [0.0], [1.0]]
        >>> TreeTable.of([stump]).sums([[4.0], [5.0], [5.5], [7.0]], np.array([1.0])).T
        array([[0.  , 0.5 , 0.75, 1.  ]])
        """
        rows = np.asarray(X, dtype=np.float64)
        blocks = range(0, len(rows), _ROWS_AT_ONCE)
        parts = [self._sums(rows[start : start + _ROWS_AT_ONCE], half_widths) for start in blocks]
        return np.concatenate([np.empty((0, self.value.shape[1])), *parts])

    def _sums(self, X: Floats, half_widths: Floats) -> Floats:
        total = np.zeros((len(X), self.value.shape[1]))
        row = np.repeat(np.arange(len(X)), len(self.roots))
        node = np.tile(self.roots, len(X))
        weight = np.ones(len(row))
        while len(row):
            leaf = self.left[node] < 0
            ended, values = row[leaf], self.value[node[leaf]] * weight[leaf, None]
            for output, column in enumerate(values.T):
                total[:, output] += np.bincount(ended, column, minlength=len(X))
            row, node, weight = row[~leaf], node[~leaf], weight[~leaf]
            right = self._to_the_right(X, row, node, half_widths)
            goes_left, goes_right = right < 1, right > 0
            weight = np.concatenate(
                [(weight * (1 - right))[goes_left], (weight * right)[goes_right]]
            )
            node = np.concatenate([self.left[node[goes_left]], self.right[node[goes_right]]])
            row = np.concatenate([row[goes_left], row[goes_right]])
        return total

    def _to_the_right(
        self, X: Floats, row: Integers, node: Integers, half_widths: Floats
    ) -> Floats:
        """Return the proportion of each row that goes to the right child of a node."""
        feature = self.feature[node]
        beyond, half = X[row, feature] - self.cut[node], half_widths[feature]
        ramp = np.divide(beyond, 2 * half, out=np.sign(beyond), where=half > 0)
        return np.clip(0.5 + ramp, 0, 1)


class SmoothForest(RandomForestClassifier):
    """Random forest whose splits are ramps at prediction."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SmoothForest:
        """Grow the trees."""
        super().fit(X, y, sample_weight)
        self.half_widths_ = SMOOTHING * np.asarray(X, dtype=np.float64).std(axis=0)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return the mean over trees of the class proportions in leaves."""
        check_is_fitted(self)
        parts = []
        for tree in (each.tree_ for each in self.estimators_):
            counts = tree.value[:, 0]
            value = counts / counts.sum(axis=1, keepdims=True) / len(self.estimators_)
            children = tree.children_left, tree.children_right
            parts.append((*children, tree.feature, tree.threshold, value))
        rows = np.asarray(check_rows(self, X), dtype=np.float32)
        return TreeTable.of(parts).sums(rows, self.half_widths_)
