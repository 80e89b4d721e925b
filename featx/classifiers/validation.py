"""Checks of arrays as scikit-learn makes them, whatever its version."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils import validation

__all__ = ["check_rows", "check_rows_and_labels"]

# Features are float32; whoever brings float64 keeps it.
_DTYPES = [np.float64, np.float32]


def check_rows(estimator: BaseEstimator, X: Any) -> npt.NDArray:
    """Return rows as a finite floating array that fits the fitted estimator.

    Parameters
    ----------
    estimator : estimator
        A fitted one.
    X : array-like, shape (n_rows, n_features)
        The rows.
    """
    return _validate(estimator, X, dtype=_DTYPES, reset=False)


def check_rows_and_labels(
    estimator: BaseEstimator, X: Any, y: Any
) -> tuple[npt.NDArray, npt.NDArray]:
    """Return rows and labels as arrays, and note the number and names of features.

    Parameters
    ----------
    estimator : estimator
        The one to be fitted; gets ``n_features_in_`` and, for data frames,
        ``feature_names_in_``.
    X : array-like, shape (n_rows, n_features)
        The rows.
    y : array-like, shape (n_rows,)
        Their labels.
    """
    return _validate(estimator, X, y, dtype=_DTYPES)


def _validate(estimator: Any, *arrays: Any, **settings: Any) -> Any:
    if hasattr(validation, "validate_data"):
        return validation.validate_data(estimator, *arrays, **settings)
    return estimator._validate_data(*arrays, **settings)  # scikit-learn 1.5
