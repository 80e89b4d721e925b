"""Fits of many settings in one fold that share work: kernel matrices, and warm starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from featx.classifiers.decision_scores import Scores, average_views, classifier_scores

__all__ = ["PrecomputedKernels", "PreparedFold", "SharedFits", "WarmPath"]

Matrix = npt.NDArray[np.float64]

# Number of held-out rows whose kernel is in memory at once.
_BLOCK = 1024

# A fit that begins near its optimum would stop at once by scikit-learn's 1e-4.
_TOLERANCE = 3e-5


@dataclass(frozen=True, eq=False)
class PreparedFold:
    """A fold's rows after the steps that all candidates share.

    Parameters
    ----------
    classifier : classifier
        Unfitted last step of the pipeline.
    training : ndarray, shape (n_rows, n_features)
        Training rows.
    training_labels : ndarray of int64, shape (n_rows,)
        Class codes of the training rows.
    weights : ndarray of float64, shape (n_rows,), or None
        Sample weights; None where the classifier takes none.
    validation : ndarray, shape (n_held_out, n_features)
        Held-out rows.
    validation_image : ndarray of int64, shape (n_held_out,)
        Index of the held-out image of each held-out row.
    validation_images : int
        Number of held-out images.
    """

    classifier: Any
    training: npt.NDArray
    training_labels: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64] | None
    validation: npt.NDArray
    validation_image: npt.NDArray[np.int64]
    validation_images: int

    def fit(self, X: npt.NDArray, **settings: Any) -> Any:
        """Fit a new classifier to X, which represents the training rows."""
        classifier = type(self.classifier)(**{**self.classifier.get_params(), **settings})
        weights = {} if self.weights is None else {"sample_weight": self.weights}
        return classifier.fit(X, self.training_labels, **weights)

    def image_scores(self, row_scores: Scores) -> Scores:
        """Average scores of held-out rows over each image's views."""
        return average_views(row_scores, self.validation_image, self.validation_images)


class SharedFits(Protocol):
    """Fits of many settings in one fold at less cost than one by one."""

    def groups(self, candidates: Sequence[dict[str, Any]]) -> list[list[int]]:
        """Group the candidates that share most; a group's results depend on no other."""

    def memory(self, fold: PreparedFold) -> int:
        """Return the bytes that `scores` takes in addition to the fold itself."""

    def scores(
        self, fold: PreparedFold, groups: Sequence[Sequence[dict[str, Any]]]
    ) -> list[list[Scores]]:
        """Fit every candidate of some groups; return the scores of the held-out images."""


class PrecomputedKernels:
    r"""Fits of `sklearn.svm.SVC` with linear and RBF kernels from one matrix of inner products.

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
        """Return the bytes of products, one kernel, and LIBSVM's cache or the rows."""
        n, held_out = len(fold.training), len(fold.validation)
        cache = min(n * n * 4, int(fold.classifier.cache_size * 2**20))
        products_and_kernel = 8 * n * (2 * n + held_out + min(held_out, _BLOCK))
        rows = 8 * (n + held_out) * fold.training.shape[1]
        return products_and_kernel + max(cache, rows)

    def scores(
        self, fold: PreparedFold, groups: Sequence[Sequence[dict[str, Any]]]
    ) -> list[list[Scores]]:
        """Fit every candidate; return the scores of the held-out images."""
        rows = np.asarray(fold.training, dtype=np.float64)
        held_out = np.asarray(fold.validation, dtype=np.float64)
        among, across = rows @ rows.T, held_out @ rows.T
        norms, held_out_norms = among.diagonal().copy(), np.einsum("ij,ij->i", held_out, held_out)
        del rows, held_out
        distances = False
        results = []
        for group in groups:
            width = _width(group[0])
            if width and not distances:
                _make_distances(among, norms, norms)
                _make_distances(across, held_out_norms, norms)
                distances = True
            results.append(_kernel_scores(fold, group, width, among, across))
        return results


def _width(settings: dict[str, Any]) -> float:
    return 0.0 if settings["kernel"] == "linear" else float(settings["gamma"])


def _make_distances(products: Matrix, left: Matrix, right: Matrix) -> None:
    """Turn inner products into squared distances, in place."""
    products *= -2
    products += left[:, None]
    products += right


def _kernel_scores(
    fold: PreparedFold, group: Sequence[dict[str, Any]], width: float, among: Matrix, across: Matrix
) -> list[Scores]:
    kernel = _kernel(among, width)
    machines = [fold.fit(kernel, **{**settings, "kernel": "precomputed"}) for settings in group]
    blocks = []
    for start in range(0, len(across), _BLOCK):
        rows = _kernel(across[start : start + _BLOCK], width)
        blocks.append([classifier_scores(machine, rows) for machine in machines])
    return [fold.image_scores(np.concatenate(pieces)) for pieces in zip(*blocks, strict=True)]


def _kernel(values: Matrix, width: float) -> Matrix:
    """Return the kernel of squared distances, or for width 0 of inner products."""
    if not width:
        return values
    kernel = values * -width
    return np.exp(kernel, out=kernel)


class WarmPath:
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
        """Cut the path in two, so that few folds keep all cores busy."""
        path = sorted(range(len(candidates)), key=lambda index: float(candidates[index]["C"]))
        half = (len(path) + 1) // 2
        return [piece for piece in (path[:half], path[half:]) if piece]

    def memory(self, fold: PreparedFold) -> int:
        """Return the bytes of the coefficients."""
        return 8 * fold.training.shape[1]

    def scores(
        self, fold: PreparedFold, groups: Sequence[Sequence[dict[str, Any]]]
    ) -> list[list[Scores]]:
        """Fit every candidate; return the scores of the held-out images."""
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
