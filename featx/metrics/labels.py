"""Checks of labels, scores and patients, made before anything is cast."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from featx.errors import UsageError

__all__ = ["check_binary", "check_codes", "check_of_rows", "check_scores", "is_missing"]

_SHOWN = 4


def check_of_rows(what: str, values: Any, n_rows: int) -> npt.NDArray:
    """Return one value per row as an array without missing values.

    None, NaN, NaT, `pandas.NA` and ``""`` are missing.

    Examples
    --------
    >>> check_of_rows("patients", ["p1", "p2"], 2).tolist()
    ['p1', 'p2']
    """
    array = np.asarray(values)
    if array.shape != (n_rows,):
        raise UsageError(f"{what} of shape {array.shape} for {n_rows:,} rows; give one per row")
    if array.dtype.kind in "biu":
        return array
    # NumPy would turn NaN in a list of texts into the text "nan".
    entries = list(values if isinstance(values, list | tuple) else array)
    missing = [row for row, value in enumerate(entries) if is_missing(value)]
    if missing:
        remedy = (
            " (where a patient is unknown, give the image a patient of its own)"
            if what in ("patients", "groups")
            else ""
        )
        raise UsageError(
            f"{what} are missing in {len(missing):,} of {n_rows:,} rows, row {missing[0]} for "
            f"example; give one per row{remedy}"
        )
    of_text = {isinstance(value, str) for value in entries}
    if len(of_text) > 1:
        raise UsageError(f"{what} are partly text and partly numbers; give all as text")
    plain = np.array(entries)
    return plain if plain.ndim == 1 else array


def is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, NaT, `pandas.NA` or an empty text."""
    if value is None or (isinstance(value, str) and not value):
        return True
    # NaN and NaT differ from themselves, and pandas.NA answers with itself.
    same = value == value
    return not (isinstance(same, bool | np.bool_) and same)


def check_binary(labels: Any, what: str = "labels") -> npt.NDArray[np.bool_]:
    """Return labels of 0 and 1, or False and True, as booleans.

    Examples
    --------
    >>> check_binary([0, 1, 1.0]).tolist()
    [False, True, True]
    >>> check_binary([1, 2, 2])
    Traceback (most recent call last):
        ...
    featx.errors.UsageError: labels are 1 and 2, and must be 0 and 1 or False and True, ...
    """
    array = np.asarray(labels)
    if array.dtype == bool and array.ndim == 1:
        return array
    array = check_of_rows(what, labels, len(array) if array.ndim else 1)
    distinct = np.unique(array)
    if not set(distinct.tolist()) <= {0, 1}:
        raise UsageError(
            f"{what} are {_listed(distinct)}, and must be 0 and 1 or False and True, true for "
            f"positive images; compare them with the positive class first: labels == "
            f"{distinct[-1].item()!r}"
        )
    return array.astype(bool)


def check_codes(
    labels: Any, n_classes: int, *, what: str = "labels", unknown: bool = False
) -> npt.NDArray[np.int64]:
    """Return labels as indices of classes; with `unknown`, -1 where a label is unknown.

    Examples
    --------
    >>> check_codes([0.0, 2.0], n_classes=3).tolist()
    [0, 2]
    """
    array = np.asarray(labels)
    array = check_of_rows(what, labels, len(array) if array.ndim else 1)
    distinct = np.unique(array)
    if not set(distinct.tolist()) <= set(range(-1 if unknown else 0, n_classes)):
        raise UsageError(
            f"{what} are {_listed(distinct)}; with {n_classes} classes they must be the indices "
            f"0 to {n_classes - 1}, and unlabeled images {'-1' if unknown else 'left out'}"
        )
    return array.astype(np.int64)


def check_scores(
    scores: Any, n_images: int, dimensions: tuple[int, ...] = (1,)
) -> npt.NDArray[np.float64]:
    """Return one score, or where there may be 2 dimensions one row of scores, of each image."""
    try:
        array = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"scores are no numbers, one per image ({error}); give an array, a list or a column "
            "of the scores of one model"
        ) from error
    if array.ndim not in dimensions or len(array) != n_images:
        raise UsageError(
            f"scores of shape {array.shape} for {n_images:,} labels; give one per image"
        )
    if np.isnan(array).any():
        broken = np.flatnonzero(np.isnan(array.reshape(n_images, -1)).any(axis=1))
        raise UsageError(
            f"scores are NaN for {len(broken):,} of {n_images:,} images, number {broken[0]} for "
            "example; leave these images out, or find out why the model has no score for them"
        )
    return array


def _listed(distinct: npt.NDArray) -> str:
    shown = [repr(value) for value in distinct[:_SHOWN].tolist()]
    if len(distinct) > _SHOWN:
        return f"{', '.join(shown)} and {len(distinct) - _SHOWN:,} others"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
