"""Features of new images by the recipes of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from featx.backbones.registry import get_backbone
from featx.backbones.weights import Weights, find_weights
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.features.extraction import extract
from featx.features.matrix import FeatureMatrix
from featx.features.recipe import Recipe

__all__ = ["extract_by_recipes", "find_recipe_weights"]


def extract_by_recipes(
    images: ImageDataset,
    recipes: Sequence[dict[str, Any]],
    views: int,
    *,
    weights: str | Path = "imagenet",
    weights_dir: str | Path | None = None,
    cache: str | Path | None = None,
    engine: str = "auto",
    strict: bool = False,
    rehash: bool = False,
) -> FeatureMatrix:
    """Embed images exactly as those were that a model was trained on.

    Each image is read once for all neighboring recipes that differ in their backbones alone.
    """
    own = [Recipe.from_dict(values) for values in recipes]
    for recipe in own:
        find_recipe_weights(recipe, weights, weights_dir)
    matrices = []
    for group in _groups(own):
        first = group[0]
        matrices.append(
            extract(
                images,
                [_name(recipe) for recipe in group],
                first.augmentation,
                views,
                weights="random" if _is_random(first) else weights,
                weights_dir=weights_dir,
                cache=cache,
                engine=engine,
                random_state=first.random_state,
                color=first.color,
                pooling=first.pooling,
                normalization=first.normalization,
                precision=first.precision,
                calibration=[recipe.network for recipe in group] if first.network else None,
                strict=strict,
                rehash=rehash,
            )
        )
    return FeatureMatrix.join(matrices)


def _groups(recipes: Sequence[Recipe]) -> list[list[Recipe]]:
    """Part recipes, in their order, into those that one extraction can serve."""
    groups: list[list[Recipe]] = []
    for recipe in recipes:
        last = groups[-1] if groups else []
        alike = last and _apart_from_backbone(last[0]) == _apart_from_backbone(recipe)
        if alike and _name(recipe) not in map(_name, last):
            last.append(recipe)
        else:
            groups.append([recipe])
    return groups


def _apart_from_backbone(recipe: Recipe) -> tuple[Recipe, bool, bool]:
    same = replace(recipe, backbone="", weights="", size=(0, 0), network="")
    return same, _is_random(recipe), bool(recipe.network)


def _name(recipe: Recipe) -> str:
    return f"{recipe.backbone}@{recipe.size[0]}"


def _is_random(recipe: Recipe) -> bool:
    return recipe.weights.startswith("random-")


def find_recipe_weights(
    recipe: Recipe, weights: str | Path = "imagenet", weights_dir: str | Path | None = None
) -> Weights:
    """Find the very weights that a recipe names."""
    random = _is_random(recipe)
    random_state = int(recipe.weights.removeprefix("random-")) if random else recipe.random_state
    found = find_weights(
        get_backbone(_name(recipe)),
        "random" if random else weights,
        None if weights_dir is None else Path(weights_dir),
        random_state=random_state,
    )
    if found.digest != recipe.weights:
        raise UsageError(
            f"the model was trained on features of {recipe.backbone} with weights "
            f"{recipe.weights[:16]}; those at hand ({found.description}) are "
            f"{found.digest[:16]}; give --weights or --weights-dir the model's own"
        )
    return found
