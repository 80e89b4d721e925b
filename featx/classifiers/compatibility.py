"""Checks that a matrix has the features of a model."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from featx.errors import UsageError
from featx.features.columns import image_part
from featx.features.lazy_rows import row_blocks
from featx.features.matrix import FeatureMatrix
from featx.features.recipe import differing_settings
from featx.runtime.versions import check_versions

logger = logging.getLogger(__name__)

_SHOWN = 5


def check_matrix(model: Any, matrix: FeatureMatrix, *, allow_other_recipe: bool) -> None:
    """Refuse a matrix whose features are not those that a model was fitted to."""
    check_features(model.n_features_in_, model.recipes_, matrix)
    _check_names(model, matrix)
    if model.recipes_ and not allow_other_recipe:
        check_recipes(model.recipes_, matrix)
        versions = model.provenance_["versions"]
        check_versions(versions, matrix.versions, "the model", "the features")
    check_finite(matrix)


def check_features(expected: int, recipes: Sequence[dict[str, Any]], matrix: FeatureMatrix) -> None:
    """Refuse a matrix without rows, or with another number of features."""
    if not len(matrix.X):
        raise UsageError("the matrix has no images")
    if matrix.X.shape[1] != expected:
        raise UsageError(
            f"the model takes {expected:,} features ({_backbones(recipes)}) and the matrix has "
            f"{matrix.X.shape[1]:,} ({_backbones(matrix.recipes)}); extract the images with the "
            "model's backbones, in its order"
        )


def _check_names(model: Any, matrix: FeatureMatrix) -> None:
    """Refuse a matrix whose columns have other names than the frame a model was fitted to."""
    if model.recipes_ or "feature_names_in_" not in vars(model):
        return
    mine, theirs = model.feature_names_in_.tolist(), matrix.feature_names
    if mine != theirs:
        place = next(n for n, pair in enumerate(zip(mine, theirs, strict=True)) if len({*pair}) > 1)
        raise UsageError(
            f"the model was fitted to a frame whose column {place} is {mine[place]!r}, and that of "
            f"the matrix is {theirs[place]!r}; give features of the same network and recipe"
        )


def check_recipes(recipes: Sequence[dict[str, Any]], matrix: FeatureMatrix) -> None:
    """Refuse features of another recipe than the model's.

    The seed of views may differ. So may the policy, since view 0 is the same under all; where the
    matrix has further views, that is a warning.
    """
    others = matrix.recipes
    if len(recipes) != len(others):
        raise UsageError(
            f"the model was fitted on features of {_backbones(recipes)} and the matrix holds "
            f"{_backbones(others)}; extract the images with the model's backbones, in its order"
        )
    places = "in the model", "in the matrix"
    differences = differing_settings(recipes, others, places=places)
    if differences:
        raise UsageError(
            f"the matrix is of another recipe than the model: {'; '.join(differences)}; extract "
            "the images as for the model, or allow another recipe if you know that they agree"
        )
    policies = differing_settings(recipes, others, {*recipes[0], *others[0]} - {"augmentation"})
    if policies and matrix.view.any():
        logger.warning(
            f"The augmented views of the matrix are of another policy than the model's: "
            f"{'; '.join(policies)}. Probabilities may differ; extract with the model's policy, "
            "or give one view."
        )


def check_classes(classes: Iterable[Any], matrix: FeatureMatrix) -> None:
    """Refuse labels of other classes, or in another order, than the model's."""
    mine, theirs = [str(name) for name in classes], list(matrix.class_names)
    if mine != theirs:
        raise UsageError(
            f"the model has the classes {', '.join(mine)} and the matrix {', '.join(theirs)}; give "
            "a matrix of the model's classes, in its order"
        )


def check_finite(matrix: FeatureMatrix) -> None:
    """Refuse features that are not finite, naming images and views."""
    # A missing cell of a table is NaN.
    features = image_part(matrix).X
    finite = [np.isfinite(block).all(axis=1) for _, block in row_blocks(features)]
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
