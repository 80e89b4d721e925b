"""Logistic regressions of ever weaker penalties, each begun where the last one ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from featx.classifiers.scores import Scores, classifier_scores
from featx.classifiers.shared import PreparedFold

__all__ = ["WarmPath"]

# A fit that begins near its optimum would stop at once by scikit-learn's 1e-4.
_TOLERANCE = 3e-5


class WarmPath:
    """Fits of `sklearn.linear_model.LogisticRegression` over C, from small to large.

    Each begins at the coefficients of the one before, and ends nearer to its optimum than one
    from nothing, with fewer steps. Of more than two classes all coefficients are taken along.

    References
    ----------
    .. [1] J. Friedman, T. Hastie, R. Tibshirani (2010), "Regularization paths for generalized
       linear models via coordinate descent", J. Stat. Softw. 33(1), doi 10.18637/jss.v033.i01.

    Examples
    --------
    >>> WarmPath().groups([{"C": 1.0}, {"C": 0.01}, {"C": 0.1}])
    [[1, 2], [0]]
    """

    def groups(self, candidates: Sequence[dict[str, Any]]) -> list[list[int]]:
        """Cut the path in two, so that few folds keep all cores busy; see `SharedFits`."""
        path = sorted(range(len(candidates)), key=lambda index: float(candidates[index]["C"]))
        half = (len(path) + 1) // 2
        return [part for part in (path[:half], path[half:]) if part]

    def memory(self, fold: PreparedFold) -> int:
        """Return the bytes that `scores` takes beside the fold itself."""
        return 8 * fold.training.shape[1]

    def scores(
        self, fold: PreparedFold, groups: Sequence[Sequence[dict[str, Any]]]
    ) -> list[list[Scores]]:
        """Fit every candidate and score the held-out images; see `SharedFits`."""
        return [_path_scores(fold, group) for group in groups]


def _path_scores(fold: PreparedFold, path: Sequence[dict[str, Any]]) -> list[Scores]:
    results = []
    regression = None
    for settings in path:
        if regression is None:
            regression = fold.fit(fold.training, **settings, warm_start=True, tol=_TOLERANCE)
        else:
            regression.set_params(**settings)
            regression.fit(fold.training, fold.training_labels, sample_weight=fold.weights)
        results.append(fold.image_scores(classifier_scores(regression, fold.validation)))
    return results
