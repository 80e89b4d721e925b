"""Checks that a matrix has the features of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from featx.errors import UsageError
from featx.features.lazy_rows import row_blocks
from featx.features.matrix import FeatureMatrix

__all__ = ["check_features", "check_finite", "check_recipes"]

# These decide which augmented views exist, not the meaning of a feature.
_VIEWS_ONLY = ("augmentation", "seed")

_SHOWN = 5


def check_features(expected: int, recipes: Sequence[dict[str, Any]], matrix: FeatureMatrix) -> None:
    """Refuse a matrix with another number of features."""
    if matrix.X.shape[1] != expected:
        raise UsageError(
            f"the model takes {expected:,} features ({_backbones(recipes)}) and the matrix has "
            f"{matrix.X.shape[1]:,} ({_backbones(matrix.recipes)}); extract the images with the "
            "model's backbones, in its order"
        )


def check_recipes(recipes: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> None:
    """Refuse features of another recipe than the model's.

    Augmentation may differ: view 0 is the same under all policies.
    """
    if len(recipes) != len(others):
        raise UsageError(
            f"the model was fitted on features of {_backbones(recipes)} and the matrix holds "
            f"{_backbones(others)}; extract the images with the model's backbones, in its order"
        )
    differences = [
        f"{key} {mine.get(key)!r} in the model, {other.get(key)!r} in the matrix"
        for mine, other in zip(recipes, others, strict=True)
        for key in sorted({*mine, *other} - {*_VIEWS_ONLY})
        if mine.get(key) != other.get(key)
    ]
    if differences:
        raise UsageError(
            f"the matrix is of another recipe than the model: {'; '.join(differences)}; extract "
            "the images as for the model, or allow another recipe if you know that they agree"
        )


def check_finite(matrix: FeatureMatrix) -> None:
    """Refuse features that are not finite, naming images and views."""
    finite = [np.isfinite(block).all(axis=1) for _, block in row_blocks(matrix.X)]
    broken = np.flatnonzero(~np.concatenate([np.ones(0, dtype=bool), *finite]))
    if not len(broken):
        return
    places = ", ".join(
        f"row {row} ({matrix.names[matrix.image[row]]}, view {matrix.view[row]})"
        for row in broken[:_SHOWN]
    )
    more = f" and {len(broken) - _SHOWN:,} more" if len(broken) > _SHOWN else ""
    raise UsageError(
        f"features are NaN or infinite in {places}{more}; extract these images again, "
        "and check the weights if it happens again"
    )


def _backbones(recipes: Sequence[dict[str, Any]]) -> str:
    return " + ".join(str(recipe.get("backbone", "?")) for recipe in recipes) or "unknown features"
