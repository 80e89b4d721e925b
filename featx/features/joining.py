"""Join of matrices: features side by side, where all else that the matrices say agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from featx.errors import UsageError
from featx.features.lazy_rows import LazyRows
from featx.features.recipe import differing_settings
from featx.runtime.memory import available_memory
from featx.runtime.versions import check_versions

if TYPE_CHECKING:
    from featx.features.matrix import FeatureMatrix

# Messages use the words of the command line.
_IMAGES = {
    "digests": "images",
    "names": "paths",
    "labels": "labels",
    "patients": "patients",
    "splits": "splits",
}

# Backbone, weights, size, pooling and precision may differ between blocks; how an image was read,
# and how its views were drawn, may not.
_OF_A_BLOCK = ("backbone", "weights", "size", "pooling", "precision", "network", "dtype")


def check_joinable(first: FeatureMatrix, other: FeatureMatrix) -> None:
    """Refuse a matrix that differs from the first in anything but its networks."""
    check_same_rows(first, other)
    if first.recipes and other.recipes:
        _refuse(first, other, differing_settings(first.recipes[:1], other.recipes[:1], _OF_A_BLOCK))
    repeated = [recipe["backbone"] for recipe in other.recipes if recipe in first.recipes]
    if repeated:
        raise UsageError(
            f"{first!r} and {other!r} have the same features of {', '.join(repeated)}. Give each "
            "matrix once"
        )
    if first.versions and other.versions:
        check_versions(first.versions, other.versions, "the first matrix", "the second matrix")


def check_same_rows(first: FeatureMatrix, other: FeatureMatrix) -> None:
    """Refuse a matrix of other images, views, labels, patients or splits than the first."""
    _refuse(first, other, _differences(first, other))


def _refuse(first: FeatureMatrix, other: FeatureMatrix, found: list[str]) -> None:
    if found:
        raise UsageError(
            f"{first!r} and {other!r} cannot be joined: {'; '.join(found)} (the first one first). "
            "Extract both from the same images with the same settings"
        )


def join_columns(matrices: Sequence[FeatureMatrix]) -> FeatureMatrix:
    """Concatenate the features of matrices that have the same rows."""
    return replace(
        matrices[0],
        X=_side_by_side([matrix.X for matrix in matrices]),
        recipes=tuple(recipe for matrix in matrices for recipe in matrix.recipes),
        seconds=sum(matrix.seconds for matrix in matrices),
        tuned_on=tuple(record for matrix in matrices for record in matrix.tuned_on),
    )


def _differences(first: FeatureMatrix, other: FeatureMatrix) -> list[str]:
    found = []
    if first.class_names != other.class_names:
        classes = (f"({', '.join(matrix.class_names)})" for matrix in (first, other))
        found.append(f"classes {' and '.join(classes)}")
    if first.patients_known != other.patients_known:
        known = ("known" if matrix.patients_known else "unknown" for matrix in (first, other))
        found.append(f"patients {' and '.join(known)}")
    if first.n_images != other.n_images:
        return [*found, f"{first.n_images:,} and {other.n_images:,} images"]
    if first.digests != other.digests and sorted(first.digests) == sorted(other.digests):
        return [
            *found,
            f"the same images in another order ({_first_pair(first, other, 'digests')})",
        ]
    for table, word in _IMAGES.items():
        if not np.array_equal(getattr(first, table), getattr(other, table)):
            found.append(f"{word} differ ({_first_pair(first, other, table)})")
    if len(first) != len(other):
        views = [int(matrix.view.max(initial=-1)) + 1 for matrix in (first, other)]
        return [*found, f"{len(first):,} rows of {views[0]} views and {len(other):,} of {views[1]}"]
    rows = [sorted(zip(m.image.tolist(), m.view.tolist(), strict=True)) for m in (first, other)]
    for table in ("image", "view"):
        if not np.array_equal(getattr(first, table), getattr(other, table)):
            order = "rows in another order" if rows[0] == rows[1] else f"{table} of rows differ"
            found.append(f"{order} ({_first_pair(first, other, table, 'row')})")
            break
    return found


def _first_pair(first: FeatureMatrix, other: FeatureMatrix, table: str, of: str = "image") -> str:
    pairs = zip(getattr(first, table), getattr(other, table), strict=True)
    place, (one, two) = next((n, pair) for n, pair in enumerate(pairs) if pair[0] != pair[1])
    if table == "labels":
        one, two = (["unknown", *first.class_names][int(code) + 1] for code in (one, two))
    name = f"image {first.names[place]}" if of == "image" else f"row {place}"
    return f"{name}: {_short(one)} and {_short(two)}"


def _short(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= 40 else f"{text[:16]}…")


def _side_by_side(blocks: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Concatenate blocks of columns, lazily where they would take much of the memory."""
    if len(blocks) == 1:
        return blocks[0]
    if sum(block.nbytes for block in blocks) > available_memory() / 4:
        return cast("npt.NDArray[np.float32]", LazyRows(blocks))
    return np.concatenate(blocks, axis=1)
