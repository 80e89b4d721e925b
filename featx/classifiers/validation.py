"""Checks of arrays as scikit-learn makes them, whatever its version and global settings."""

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

# Features are float32; whoever brings float64 keeps it.
_DTYPES = [np.float64, np.float32]


def check_rows(estimator: BaseEstimator, X: Any) -> npt.NDArray:
    """Return rows as a finite floating array that fits the fitted estimator.

    Parameters
    ----------
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
    X : array-like, shape (n_rows, n_features)
        The rows.
    y : array-like, shape (n_rows,)
        Their labels.
    """
    return _validate(estimator, X, y, dtype=_DTYPES)


def check_of_rows(what: str, values: Any, n_rows: int) -> npt.NDArray:
    """Return what is known of each row as an array with nothing missing.

    Parameters
    ----------
    values : array-like, shape (n_rows,)
        One a row.

    Examples
    --------
    >>> check_of_rows("patients", ["p1", "p2"], 2).tolist()
    ['p1', 'p2']
    """
    array = np.asarray(values)
    if array.shape != (n_rows,):
        raise UsageError(f"{what} of shape {array.shape} for {n_rows:,} rows; give one a row")
    missing = [row for row, value in enumerate(array) if value is None or value != value]
    if missing:
        raise UsageError(
            f"{what} are missing in {len(missing):,} rows, row {missing[0]} for one; name each "
            "(where a patient is not known, give the image a patient of its own)"
        )
    return array


@contextmanager
def own_settings() -> Iterator[None]:
    """Shut out scikit-learn's global settings, which are meant for the user's own estimators."""
    with config_context(enable_metadata_routing=False, transform_output="default"):
        yield


def _validate(estimator: Any, *arrays: Any, **settings: Any) -> Any:
    if hasattr(validation, "validate_data"):
        return validation.validate_data(estimator, *arrays, **settings)
    return estimator._validate_data(*arrays, **settings)  # scikit-learn 1.5
