"""Names of feature columns, which identify network and recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featx.backbones.pooling import QUADRANTS
from featx.backbones.registry import get_backbone
from featx.errors import FeatxError
from featx.features.recipe import VIEWS_ONLY
from featx.runtime.serialization import digest_of_values

__all__ = ["feature_names"]

_DIGITS = 8


def feature_names(recipes: Sequence[Mapping[str, Any]], n_features: int) -> list[str]:
    """Return a name for each column: backbone, digest of its recipe, place, and number.

    The digest covers all that decides a feature of view 0: weights, size, color, normalization,
    pooling and precision. Scikit-learn then refuses a frame with another network's features.

    Examples
    --------
    >>> feature_names([{"backbone": "vgg16", "weights": "random-0"}], 2)
    ['vgg16_793615e2_0', 'vgg16_793615e2_1']
    >>> feature_names([], 2)
    ['feature_0', 'feature_1']
    """
    names = [name for recipe in recipes for name in _of_backbone(recipe)]
    if len(names) == n_features:
        return names
    # The registry does not know a backbone that was registered elsewhere.
    prefix = "+".join(map(_prefix, recipes)) or "feature"
    return [f"{prefix}_{number}" for number in range(n_features)]


def _of_backbone(recipe: Mapping[str, Any]) -> list[str]:
    try:
        width = get_backbone(recipe["backbone"]).features
    except FeatxError:
        return []
    quadrants = recipe.get("pooling") == "quadrants"
    places = [f"{name}_" for name in QUADRANTS] if quadrants else [""]
    prefix = _prefix(recipe)
    return [f"{prefix}_{place}{number}" for place in places for number in range(width)]


def _prefix(recipe: Mapping[str, Any]) -> str:
    decisive = {name: value for name, value in recipe.items() if name not in VIEWS_ONLY}
    return f"{recipe.get('backbone', 'feature')}_{digest_of_values(decisive)[:_DIGITS]}"
