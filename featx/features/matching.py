"""Features of new images by the recipes of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featx.backbones.registry import get_backbone
from featx.backbones.weights import Weights, find_weights
from featx.errors import UsageError
from featx.features.extraction import extract
from featx.features.matrix import FeatureMatrix
from featx.features.recipe import Recipe
from featx.images.dataset import ImageDataset

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

    Parameters
    ----------
    images : ImageDataset
        What to embed.
    recipes : sequence of dict
        Those of the model, ``model.recipes_``.
    views : int
        Views of each image.
    weights, weights_dir, cache, engine, strict, rehash
        As in `extract`; `weights` is not needed where the model's were random.

    Returns
    -------
    FeatureMatrix
        With the same recipes.

    Raises
    ------
    UsageError
        If the weights at hand are not those that the model was trained with.
    """
    matrices = []
    for values in recipes:
        recipe = Recipe.from_dict(values)
        chosen = "random" if recipe.weights.startswith("random-") else weights
        find_recipe_weights(recipe, weights, weights_dir)
        matrices.append(
            extract(
                images,
                f"{recipe.backbone}@{recipe.size[0]}",
                recipe.augmentation,
                views,
                weights=chosen,
                weights_dir=weights_dir,
                cache=cache,
                engine=engine,
                seed=recipe.seed,
                colour=recipe.colour,
                pooling=recipe.pooling,
                normalisation=recipe.normalisation,
                precision=recipe.precision,
                calibration=[recipe.network] if recipe.network else None,
                strict=strict,
                rehash=rehash,
            )
        )
    return FeatureMatrix.join(matrices)


def find_recipe_weights(
    recipe: Recipe, weights: str | Path = "imagenet", weights_dir: str | Path | None = None
) -> Weights:
    """Find the very weights that a recipe names.

    Parameters
    ----------
    recipe : Recipe
        Of a model.
    weights, weights_dir
        As in `extract`; `weights` is not needed where the recipe's are random.

    Returns
    -------
    Weights

    Raises
    ------
    UsageError
        If those at hand are others.
    """
    random = recipe.weights.startswith("random-")
    seed = int(recipe.weights.removeprefix("random-")) if random else recipe.seed
    found = find_weights(
        get_backbone(f"{recipe.backbone}@{recipe.size[0]}"),
        "random" if random else weights,
        None if weights_dir is None else Path(weights_dir),
        seed=seed,
    )
    if found.digest != recipe.weights:
        raise UsageError(
            f"the model was trained on features of {recipe.backbone} with weights "
            f"{recipe.weights[:16]}; those at hand ({found.description}) are "
            f"{found.digest[:16]}; give --weights or --weights-dir the model's own"
        )
    return found
