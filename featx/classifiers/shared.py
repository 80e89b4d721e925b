"""What the fits of many settings in one fold may share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from featx.classifiers.scores import Scores, average_views

__all__ = ["PreparedFold", "SharedFits", "cut_evenly"]


@dataclass(frozen=True, eq=False)
class PreparedFold:
    """A fold's rows after the steps that all candidates share.

    Parameters
    ----------
    training : ndarray, shape (n_rows, n_features)
        Rows to learn from.
    training_labels : ndarray of int64, shape (n_rows,)
        Their class codes.
    weights : ndarray of float64, shape (n_rows,), or None
        Their weights; None where the classifier takes none.
    validation : ndarray, shape (n_held_out, n_features)
        Rows to score.
    validation_image : ndarray of int64, shape (n_held_out,)
        Which held-out image each of them shows.
    """

    classifier: Any
    training: npt.NDArray
    training_labels: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64] | None
    validation: npt.NDArray
    validation_image: npt.NDArray[np.int64]
    validation_images: int

    def __sizeof__(self) -> int:
        """Count the rows, so that joblib sends them to Dask's workers once, not each task."""
        return object.__sizeof__(self) + self.training.nbytes + self.validation.nbytes

    def fit(self, X: npt.NDArray, **settings: Any) -> Any:
        """Fit a new classifier of some settings on the fold's labels and weights.

        Parameters
        ----------
        X : ndarray, shape (n_rows, any)
            What stands for the training rows.
        """
        classifier = type(self.classifier)(**{**self.classifier.get_params(), **settings})
        weights = {} if self.weights is None else {"sample_weight": self.weights}
        return classifier.fit(X, self.training_labels, **weights)

    def image_scores(self, row_scores: Scores) -> Scores:
        """Average the scores of held-out rows over each image's views.

        Parameters
        ----------
        row_scores : ndarray of float64, shape (n_held_out,) or (n_held_out, n_classes)
            In the order of `validation`.
        """
        return average_views(row_scores, self.validation_image, self.validation_images)


class SharedFits(Protocol):
    """How a classifier is fitted with many settings in one fold, for less than one by one."""

    def groups(self, candidates: Sequence[dict[str, Any]]) -> list[list[int]]:
        """Group the candidates that share most; what a group gives depends on no other."""

    def memory(self, fold: PreparedFold) -> int:
        """Return the bytes that `scores` takes beside the fold itself."""

    def scores(
        self, fold: PreparedFold, groups: Sequence[Sequence[dict[str, Any]]]
    ) -> list[list[Scores]]:
        """Fit every candidate of some groups and score the held-out images.

        Returns
        -------
        list of list of ndarray of float64, shape (n_images,) or (n_images, n_classes)
            One for each candidate, grouped as they came.
        """


def cut_evenly(folds: int, groups: int, workers: int) -> list[int]:
    """Return into how many tasks to cut each fold, so that no worker waits for long.

    Folds stay whole, because a task shares nothing with another, but for the last ones where
    they would leave workers without any.

    Examples
    --------
    >>> cut_evenly(5, groups=4, workers=2)
    [1, 1, 1, 1, 2]
    >>> cut_evenly(5, groups=4, workers=16)
    [3, 3, 3, 3, 3]
    """
    left_over = folds % workers
    pieces = min(groups, workers // left_over) if left_over else 1
    return [1] * (folds - left_over) + [pieces] * left_over
