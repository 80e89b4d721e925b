"""Typicality: distance of images from a model's training images, in feature space.

Features of an image itself (view 0) are scaled to unit length. Its distance is the length of what
remains after the mean and the main directions of the training images are taken out. Its typicality
is the proportion of training patients at least as far away, itself included, each by one image that
is measured with a mean and directions of other patients. So of images of other patients like them,
a proportion c at most has a typicality of c or less.

A model keeps the mean, at most 16 directions and the sorted distances, no features of an image.
docs/concepts/typicality.md has what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.utils.extmath import randomized_svd

from featx.audit.findings import Finding, make_finding
from featx.audit.membership import original_rows
from featx.features.columns import image_part
from featx.features.matrix import FeatureMatrix

Record = Mapping[str, npt.NDArray]

DIRECTIONS = 16
"""Greatest number of main directions that a model keeps."""

_PATIENTS_PER_DIRECTION = 10
_FOLDS = 5

# More make the distribution of distances no better, and would not fit beyond memory.
_MOST_PATIENTS, _MOST_BYTES = 4000, 2**25

_ROWS = 1024

# Lengths of difference that engines and rounding may cause.
_TOLERANCE = 1e-4

# Rows of zeros stay.
_SHORTEST = np.float32(1e-30)

_FALSE_ALARMS = 0.01


def typicality_record(matrix: FeatureMatrix, random_state: int = 0) -> dict[str, npt.NDArray]:
    """Return what a model keeps to compare images with its training images."""
    generator = np.random.default_rng(random_state)
    most = min(_MOST_PATIENTS, _MOST_BYTES // (4 * matrix.X.shape[1]))
    order = generator.permutation(matrix.n_images)
    _, first_of_patient = np.unique(matrix.patients[order], return_index=True)
    chosen = np.sort(generator.permutation(order[first_of_patient])[:most])
    X = _unit(matrix.X[original_rows(matrix)[chosen]])
    count = min(DIRECTIONS, len(X) // _PATIENTS_PER_DIRECTION, X.shape[1] // 4)
    fold = generator.permutation(len(X)) % _FOLDS
    distances = np.zeros(len(X), dtype=np.float32)
    for held_out in (fold == number for number in np.unique(fold)):
        distances[held_out] = _distances(_directions(X[~held_out], count), X[held_out])
    return {**_directions(X, count), "distances": np.sort(distances)}


def typicality(record: Record, matrix: FeatureMatrix) -> npt.NDArray[np.float64]:
    """Return the typicality of each image of a matrix, from nearly 0 to 1.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> names = tuple(f"{i}.png" for i in range(100))
    >>> matrix = FeatureMatrix(
    ...     X=generator.uniform(1, 2, (100, 40)).astype(np.float32), image=np.arange(100),
    ...     view=np.zeros(100, dtype=int), names=names, digests=names, labels=np.arange(100) % 2,
    ...     patients=np.array(names), splits=np.array([""] * 100), class_names=("a", "b"),
    ... )
    >>> record = typicality_record(matrix)
    >>> matrix.X[0, :20] = 0
    >>> np.flatnonzero(typicality(record, matrix) <= cutoff(100)).tolist()
    [0]
    """
    matrix = image_part(matrix)
    rows, known = original_rows(matrix), record["distances"]
    blocks = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
    found = [np.zeros(0), *(_distances(record, _unit(matrix.X[block])) for block in blocks)]
    nearer = np.searchsorted(known, np.concatenate(found) - _TOLERANCE)
    # An image counts itself, without which few training patients would give false alarms.
    return (1 + len(known) - nearer) / (1 + len(known))


def cutoff(n_patients: int) -> float:
    """Return the typicality up to which images are reported, also the rate of false alarms.

    With fewer than 99 training patients, that of an image beyond all of them.
    """
    return max(_FALSE_ALARMS, 1 / (1 + n_patients))


def find_untypical(
    record: Record | None, names: Sequence[str], typical: npt.NDArray[np.float64] | None
) -> list[Finding]:
    """Find the images that are unlike the training images, the least typical first.

    Examples
    --------
    >>> record = {"distances": np.zeros(99)}
    >>> print(find_untypical(record, ["a.png", "b.png"], np.array([0.5, 0.01]))[0].examples)
    ('b.png',)
    """
    if record is None or typical is None:
        return [Finding("typicality-unknown", "information", len(names))]
    limit = cutoff(len(record["distances"]))
    order = np.argsort(typical, kind="stable")
    far = [names[index] for index in order if typical[index] <= limit]
    details = {"limit": limit, "total": len(names)}
    return make_finding("untypical", "warning", far, details)


def _unit(rows: npt.NDArray) -> npt.NDArray[np.float32]:
    """Scale rows to unit length."""
    values = np.asarray(rows, dtype=np.float32)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.maximum(lengths, _SHORTEST)


def _directions(X: npt.NDArray[np.float32], count: int) -> dict[str, npt.NDArray[np.float32]]:
    """Return the mean and the main directions of rows."""
    mean = X.mean(axis=0)
    directions = randomized_svd(X - mean, count, random_state=0)[2] if count else X[:0]
    return {"mean": mean, "directions": directions}


def _distances(record: Record, X: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    rest = X - record["mean"]
    rest -= rest @ record["directions"].T @ record["directions"]
    return np.linalg.norm(rest, axis=1)
