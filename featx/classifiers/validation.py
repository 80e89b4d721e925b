"""Checks of arrays by scikit-learn, for all its versions and global settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.utils import validation

from featx.metrics.labels import check_of_rows

_SCIKIT_LEARN = tuple(int(part) for part in re.findall(r"\d+", sklearn.__version__)[:2])

# Features are float32; float64 stays float64.
_DTYPES = [np.float64, np.float32]


def check_rows(estimator: BaseEstimator, X: Any) -> npt.NDArray:
    """Return rows as a finite floating array that fits the fitted estimator."""
    return _validate(estimator, X, dtype=_DTYPES, reset=False)


def check_rows_and_labels(
    estimator: BaseEstimator, X: Any, y: Any
) -> tuple[npt.NDArray, npt.NDArray]:
    """Return rows and labels as arrays; set the feature names."""
    named = np.asarray(y)
    if named.ndim == 1 and named.dtype.kind in "OUS":
        y = check_of_rows("labels", y, len(named))
    return _validate(estimator, X, y, dtype=_DTYPES)


@contextmanager
def own_settings() -> Iterator[None]:
    """Suspend scikit-learn's global settings, which are meant for the user's estimators."""
    with config_context(enable_metadata_routing=False, transform_output="default"):
        yield


def _validate(estimator: Any, *arrays: Any, **settings: Any) -> Any:
    if _SCIKIT_LEARN < (1, 6):
        return estimator._validate_data(*arrays, **settings)
    return validation.validate_data(estimator, *arrays, **settings)
