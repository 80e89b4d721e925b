"""Support vector machines of many settings from one matrix of distances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.classifiers.scores import Scores, classifier_scores
from featx.classifiers.shared import PreparedFold

__all__ = ["SharedKernels"]

Matrix = npt.NDArray[np.float64]

# Held-out rows whose kernel is in memory at a time.
_BLOCK = 1024


class SharedKernels:
    r"""Fits of `sklearn.svm.SVC` with linear and RBF kernels that share their inner products.

    References
    ----------
    .. [1] C.-C. Chang, C.-J. Lin (2011), "LIBSVM: a library for support vector machines", ACM
       TIST 2(3), 27, doi 10.1145/1961189.1961199.

    Examples
    --------
    >>> settings = [{"kernel": "linear", "C": 1}] + [
    ...     {"kernel": "rbf", "C": c, "gamma": width} for c in (1, 10) for width in (0.1, 0.2)
    ... ]
    >>> SharedKernels().groups(settings)
    [[0], [1, 3], [2, 4]]
    """

    def groups(self, candidates: Sequence[dict[str, Any]]) -> list[list[int]]:
        """Group the candidates of one kernel, linear ones first; see `SharedFits`."""
        found: dict[float, list[int]] = {}
        for index, settings in enumerate(candidates):
            found.setdefault(_width(settings), []).append(index)
        return [found[width] for width in sorted(found)]

    def memory(self, fold: PreparedFold) -> int:
        """Return the bytes that `scores` takes beside the fold itself."""
        learn, held_out = len(fold.training), len(fold.validation)
        cache = min(learn * learn * 4, int(fold.classifier.cache_size * 2**20))
        products_and_kernel = 8 * learn * (2 * learn + held_out + min(held_out, _BLOCK))
        rows = 8 * (learn + held_out) * fold.training.shape[1]
        return products_and_kernel + max(cache, rows)

    def scores(
        self, fold: PreparedFold, groups: Sequence[Sequence[dict[str, Any]]]
    ) -> list[list[Scores]]:
        """Fit every candidate and score the held-out images; see `SharedFits`."""
        learn = np.asarray(fold.training, dtype=np.float64)
        held_out = np.asarray(fold.validation, dtype=np.float64)
        among, across = learn @ learn.T, held_out @ learn.T
        norms, held_out_norms = among.diagonal().copy(), np.einsum("ij,ij->i", held_out, held_out)
        del learn, held_out
        distances = False
        results = []
        for group in groups:
            width = _width(group[0])
            if width and not distances:
                _make_distances(among, norms, norms)
                _make_distances(across, held_out_norms, norms)
                distances = True
            results.append(_group_scores(fold, group, width, among, across))
        return results


def _width(settings: dict[str, Any]) -> float:
    return 0.0 if settings["kernel"] == "linear" else float(settings["gamma"])


def _make_distances(products: Matrix, left: Matrix, right: Matrix) -> None:
    """Turn inner products into squared distances, in place."""
    products *= -2
    products += left[:, None]
    products += right


def _group_scores(
    fold: PreparedFold, group: Sequence[dict[str, Any]], width: float, among: Matrix, across: Matrix
) -> list[Scores]:
    kernel = _kernel(among, width)
    machines = [fold.fit(kernel, **{**settings, "kernel": "precomputed"}) for settings in group]
    blocks = []
    for start in range(0, len(across), _BLOCK):
        rows = _kernel(across[start : start + _BLOCK], width)
        blocks.append([classifier_scores(machine, rows) for machine in machines])
    return [fold.image_scores(np.concatenate(parts)) for parts in zip(*blocks, strict=True)]


def _kernel(values: Matrix, width: float) -> Matrix:
    """Return the kernel of squared distances, or for width 0 of inner products."""
    if not width:
        return values
    kernel = values * -width
    return np.exp(kernel, out=kernel)
