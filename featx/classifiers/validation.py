"""Checks of arrays by scikit-learn, for all its versions and global settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.utils import validation

from featx.errors import UsageError

__all__ = ["check_of_rows", "check_rows", "check_rows_and_labels", "own_settings"]

# Features are float32; float64 stays float64.
_DTYPES = [np.float64, np.float32]


def check_rows(estimator: BaseEstimator, X: Any) -> npt.NDArray:
    """Return rows as a finite floating array that fits the fitted estimator."""
    return _validate(estimator, X, dtype=_DTYPES, reset=False)


def check_rows_and_labels(
    estimator: BaseEstimator, X: Any, y: Any
) -> tuple[npt.NDArray, npt.NDArray]:
    """Return rows and labels as arrays; set the feature names."""
    return _validate(estimator, X, y, dtype=_DTYPES)


def check_of_rows(what: str, values: Any, n_rows: int) -> npt.NDArray:
    """Return one value per row as an array without missing values.

    Examples
    --------
    >>> check_of_rows("patients", ["p1", "p2"], 2).tolist()
    ['p1', 'p2']
    """
    array = np.asarray(values)
    if array.shape != (n_rows,):
        raise UsageError(f"{what} of shape {array.shape} for {n_rows:,} rows; give one per row")
    missing = [row for row, value in enumerate(array) if value is None or value != value]
    if missing:
        raise UsageError(
            f"{what} are missing in {len(missing):,} rows, row {missing[0]} for example; give "
            "one per row (where a patient is unknown, give the image a patient of its own)"
        )
    return array


@contextmanager
def own_settings() -> Iterator[None]:
    """Suspend scikit-learn's global settings, which are meant for the user's estimators."""
    with config_context(enable_metadata_routing=False, transform_output="default"):
        yield


def _validate(estimator: Any, *arrays: Any, **settings: Any) -> Any:
    if hasattr(validation, "validate_data"):
        return validation.validate_data(estimator, *arrays, **settings)
    return estimator._validate_data(*arrays, **settings)  # scikit-learn 1.5
