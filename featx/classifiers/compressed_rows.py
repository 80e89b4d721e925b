"""Compressed rows in a temporary file, and fits that read them there."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.naive_bayes import GaussianNB

from featx.classifiers.boosting import BoostedTrees
from featx.classifiers.training import Indices
from featx.errors import FeatxError
from featx.features.lazy_rows import BLOCK_BYTES, row_blocks
from featx.runtime.memory import readable_size

__all__ = ["fit_in_place", "temporary_rows"]


def temporary_rows(shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Make an array that lies in a file without a name, and is gone with its last user.

    Examples
    --------
    >>> temporary_rows((2, 1)).tolist()
    [[0.0], [0.0]]
    """
    with tempfile.TemporaryFile(prefix="featx-") as file:
        size = 4 * shape[0] * shape[1]
        try:
            # Writing to a mapped file on a full disk would end the process.
            for start in range(0, size, BLOCK_BYTES):
                file.write(bytes(min(BLOCK_BYTES, size - start)))
            file.flush()
        except OSError as error:
            raise FeatxError(
                f"{readable_size(size)} of compressed rows cannot be written to "
                f"{tempfile.gettempdir()} ({error.strerror}); set TMPDIR to a folder on a disk "
                "with more room"
            ) from error
        return np.memmap(file, dtype=np.float32, mode="r+", shape=shape)


def fit_in_place(
    classifier: Any,
    values: npt.NDArray,
    labels: Indices,
    weights: npt.NDArray[np.float64] | None,
    size: int,
) -> Any:
    """Fit a classifier to rows where they lie, if it can do so.

    Parameters
    ----------
    values : ndarray of float32, shape (n_rows, n_features)
        Rows, mapped.
    labels : ndarray of int64, shape (n_rows,)
        Their class codes.
    weights : ndarray of float64, shape (n_rows,), or None
        Their weights; None where the classifier takes none.
    """
    if weights is None:
        return classifier.fit(values, labels)
    if isinstance(classifier, BoostedTrees):
        blocks = row_blocks(values, size=size)
        return classifier.fit_on_blocks([(rows, labels[at], weights[at]) for at, rows in blocks])
    if isinstance(classifier, GaussianNB):
        classes = np.unique(labels)
        for at, rows in row_blocks(values, size=size):
            classifier.partial_fit(rows, labels[at], classes, weights[at])
        return classifier
    return classifier.fit(values, labels, sample_weight=weights)
