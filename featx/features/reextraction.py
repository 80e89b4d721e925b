"""Features of new images by the recipes of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from featx.backbones.registry import get_backbone
from featx.backbones.weights import Weights, find_weights, find_weights_again
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.features.config import ExtractionConfig
from featx.features.extraction import extract
from featx.features.joining import check_same_rows, join_columns
from featx.features.matrix import FeatureMatrix
from featx.features.recipe import Recipe


def extract_by_recipes(
    images: ImageDataset,
    recipes: Sequence[Mapping[str, Any]],
    views: int,
    beside: Iterable[Path] = (),
    **settings: Any,
) -> FeatureMatrix:
    """Extract features exactly as those were that a model was trained on.

    Settings are those of `ExtractionConfig` that recipes do not decide. Files of networks are
    searched `beside` the model, too.
    """
    if not recipes:
        raise UsageError("the model was not trained on extracted features; it has no recipe")
    found = find_model_weights(
        recipes, settings.get("weights", "imagenet"), settings.get("weights_dir"), beside
    )
    files = {weights.digest: name for name, weights in found if name}
    if files:
        settings["weights"] = "imagenet"
    configs = ExtractionConfig.from_recipes(recipes, views, files, **settings)
    first, *others = [extract(images, config=config) for config in configs]
    # A model's own blocks may differ in settings, which `FeatureMatrix.join` refuses.
    for other in others:
        check_same_rows(first, other)
    return join_columns([first, *others])


def find_model_weights(
    recipes: Sequence[Mapping[str, Any]],
    weights: str | Path = "imagenet",
    weights_dir: str | Path | None = None,
    beside: Iterable[Path] = (),
) -> list[tuple[str, Weights]]:
    """Find the very weights that the recipes of a model name, and the names of their files."""
    every = [Recipe.from_dict(recipe) for recipe in recipes]
    places = list(beside)
    if str(weights) not in ("imagenet", "random") and any(recipe.by_file for recipe in every):
        places, weights = [Path(weights), *places], "imagenet"
    return [
        find_weights_again(recipe.backbone, recipe.weights, weights_dir, places)
        if recipe.by_file
        else ("", _find_recipe_weights(recipe, weights, weights_dir))
        for recipe in every
    ]


def _find_recipe_weights(
    recipe: Recipe, weights: str | Path, weights_dir: str | Path | None
) -> Weights:
    random_state = recipe.random_state
    if recipe.random_weights:
        weights, random_state = "random", int(recipe.weights.removeprefix("random-"))
    found = find_weights(
        get_backbone(recipe.backbone_name),
        weights,
        None if weights_dir is None else Path(weights_dir),
        random_state=random_state,
    )
    if found.digest != recipe.weights:
        raise UsageError(
            f"the model was trained on features of {recipe.backbone} with weights "
            f"{recipe.weights[:16]}, and the weights found ({found.description}) are "
            f"{found.digest[:16]}. Give --weights or --weights-dir the model's own"
        )
    return found
