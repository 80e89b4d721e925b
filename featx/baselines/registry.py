"""Registry of CNNs trained end to end."""

from __future__ import annotations

from featx.backbones.registry import get_registered, list_backbones
from featx.baselines.baseline_recipe import BaselineRecipe
from featx.baselines.recipes import FINETUNED, RECIPES, finetuned
from featx.errors import find_name

_RECIPES = {recipe.name: recipe for recipe in RECIPES}


def list_baselines() -> list[BaselineRecipe]:
    """List all baseline recipes, those that fine-tune a backbone last.

    Examples
    --------
    >>> [recipe.name for recipe in list_baselines()][:3]
    ['ramirez-cnn', 'ramirez-inception', 'ramirez-resnet']
    """
    return [*_RECIPES.values(), *(finetuned(backbone) for backbone in list_backbones())]


def get_baseline(name: str) -> BaselineRecipe:
    """Return the recipe of a baseline by its name.

    Examples
    --------
    >>> get_baseline("ramirez-cnn").batch_size
    128
    >>> get_baseline("finetuned:xception").optimizer
    'AdamW'
    """
    prefix, colon, backbone = str(name).partition(":")
    if f"{prefix.lower()}{colon}" == FINETUNED:
        return finetuned(get_registered(backbone))
    return _RECIPES[find_name("baseline", name, [*_RECIPES, f"{FINETUNED}<backbone>"])]
