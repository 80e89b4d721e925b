"""Features of new images by the recipes of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights
from featx.errors import UsageError
from featx.features.extraction import extract
from featx.features.matrix import FeatureMatrix
from featx.features.recipe import Recipe
from featx.images.dataset import ImageDataset

__all__ = ["extract_by_recipes"]


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
        random = recipe.weights.startswith("random-")
        seed = int(recipe.weights.removeprefix("random-")) if random else recipe.seed
        chosen = "random" if random else weights
        directory = None if weights_dir is None else Path(weights_dir)
        backbone = f"{recipe.backbone}@{recipe.size[0]}"
        found = find_weights(get_backbone(backbone), chosen, directory, seed=seed)
        if found.digest != recipe.weights:
            raise UsageError(
                f"the model was trained on features of {recipe.backbone} with weights "
                f"{recipe.weights[:16]}; those at hand ({found.description}) are "
                f"{found.digest[:16]}; give --weights or --weights-dir the model's own"
            )
        matrices.append(
            extract(
                images,
                backbone,
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
                strict=strict,
                rehash=rehash,
            )
        )
    return FeatureMatrix.join(matrices)
