"""Fits of many settings in one fold that share kernels or starting points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.classifiers.decision_scores import Scores, average_views, classifier_scores
from featx.runtime.process_state import warnings_ignored

# A fit that begins near its optimum would stop at once by scikit-learn's 1e-4.
_TOLERANCE = 3e-5


@dataclass(frozen=True, eq=False)
class PreparedFold:
    """A fold's rows after the steps that all candidates share.

    `training` and `validation` have shape (n_rows, n_features); `validation_image` is the index of
    each held-out row's image; `weights` are None where the classifier takes none.
    """

    classifier: Any
    training: npt.NDArray
    training_labels: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64] | None
    validation: npt.NDArray
    validation_image: npt.NDArray[np.int64]

    def fit(self, X: npt.NDArray, **settings: Any) -> Any:
        """Fit a new classifier to X, which represents the training rows."""
        classifier = type(self.classifier)(**{**self.classifier.get_params(), **settings})
        weights = {} if self.weights is None else {"sample_weight": self.weights}
        return classifier.fit(X, self.training_labels, **weights)

    def image_scores(self, classifier: Any, X: npt.NDArray) -> Scores:
        """Score the held-out images; X represents their rows."""
        scores = classifier_scores(classifier, X)
        return average_views(scores, self.validation_image, int(self.validation_image.max()) + 1)


class SharedFits:
    """Fits of settings in one fold; subclasses share work within groups."""

    def groups(self, candidates: Sequence[dict[str, Any]]) -> list[list[int]]:
        """Group the candidates that share work."""
        return [[index] for index in range(len(candidates))]

    def memory(self, fold: PreparedFold) -> int:  # noqa: ARG002
        """Return the bytes that `scores` takes in addition to the fold."""
        return 0

    def scores(self, fold: PreparedFold, group: Sequence[dict[str, Any]]) -> list[Scores]:
        """Fit the candidates of a group; return scores of held-out images."""
        machines = (fold.fit(fold.training, **settings) for settings in group)
        return [fold.image_scores(machine, fold.validation) for machine in machines]


class PrecomputedKernels(SharedFits):
    """Fits of `sklearn.svm.SVC` that share a kernel matrix.

    References
    ----------
    .. [1] C.-C. Chang, C.-J. Lin (2011), "LIBSVM: a library for support vector machines", ACM
       TIST 2(3), 27, doi 10.1145/1961189.1961199.

    Examples
    --------
    >>> settings = [{"kernel": "linear", "C": 1}] + [
    ...     {"kernel": "rbf", "C": c, "gamma": width} for c in (1, 10) for width in (0.1, 0.2)
    ... ]
    >>> PrecomputedKernels().groups(settings)
    [[0], [1, 3], [2, 4]]
    """

    def groups(self, candidates: Sequence[dict[str, Any]]) -> list[list[int]]:
        """Group the candidates of one kernel, linear ones first."""
        found: dict[float, list[int]] = {}
        for index, settings in enumerate(candidates):
            found.setdefault(_width(settings), []).append(index)
        return [found[width] for width in sorted(found)]

    def memory(self, fold: PreparedFold) -> int:
        """Return the bytes of kernel matrices and LIBSVM's cache."""
        n, held_out = len(fold.training), len(fold.validation)
        cache = min(n * n * 4, int(fold.classifier.cache_size * 2**20))
        rows = 8 * (n + held_out) * fold.training.shape[1]
        return 8 * n * (n + held_out) + max(cache, rows)

    def scores(self, fold: PreparedFold, group: Sequence[dict[str, Any]]) -> list[Scores]:
        """Fit the candidates of a kernel; return scores of held-out images."""
        rows = np.asarray(fold.training, dtype=np.float64)
        held_out = np.asarray(fold.validation, dtype=np.float64)
        among, across = rows @ rows.T, held_out @ rows.T
        width = _width(group[0])
        if width:
            norms = among.diagonal().copy()
            for kernel, left in (
                (among, norms),
                (across, np.einsum("ij,ij->i", held_out, held_out)),
            ):
                # Squared distances from inner products, in place to save memory.
                kernel *= -2
                kernel += left[:, None]
                kernel += norms
                kernel *= -width
                np.exp(kernel, out=kernel)
        del rows, held_out
        machines = (fold.fit(among, **{**settings, "kernel": "precomputed"}) for settings in group)
        return [fold.image_scores(machine, across) for machine in machines]


def _width(settings: dict[str, Any]) -> float:
    return 0.0 if settings["kernel"] == "linear" else float(settings["gamma"])


class WarmPath(SharedFits):
    """Fits of `sklearn.linear_model.LogisticRegression` over C, from small to large.

    Each fit starts at the coefficients of the previous one.

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
        """Cut the path in two, to keep more cores busy."""
        path = sorted(range(len(candidates)), key=lambda index: float(candidates[index]["C"]))
        half = (len(path) + 1) // 2
        return [piece for piece in (path[:half], path[half:]) if piece]

    def scores(self, fold: PreparedFold, group: Sequence[dict[str, Any]]) -> list[Scores]:
        """Fit the candidates of a path; return scores of held-out images."""
        first, *others = group
        # From the optimum of its neighbor, the solver warns that no step leads further.
        with warnings_ignored():
            regression = fold.fit(fold.training, **first, warm_start=True, tol=_TOLERANCE)
            results = [fold.image_scores(regression, fold.validation)]
            for settings in others:
                regression.set_params(**settings)
                regression.fit(fold.training, fold.training_labels, sample_weight=fold.weights)
                results.append(fold.image_scores(regression, fold.validation))
        return results
