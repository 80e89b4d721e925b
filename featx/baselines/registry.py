"""Every network to beat, by name."""

from __future__ import annotations

from difflib import get_close_matches

from featx.backbones.registry import get_backbone, list_backbones
from featx.baselines.corrected import CORRECTED, FINETUNED, finetuned
from featx.baselines.ensemble import ENSEMBLES
from featx.baselines.published import PUBLISHED
from featx.baselines.recipe import Recipe
from featx.errors import UsageError

__all__ = ["get_baseline", "list_baselines"]

_RECIPES = {recipe.name: recipe for recipe in (*PUBLISHED, *CORRECTED, *ENSEMBLES)}


def list_baselines() -> list[Recipe]:
    """Return every recipe, those that fine-tune a backbone last.

    Examples
    --------
    >>> [recipe.name for recipe in list_baselines()][:3]
    ['ramirez-cnn', 'ramirez-inception', 'ramirez-resnet']
    """
    return [*_RECIPES.values(), *(finetuned(backbone) for backbone in list_backbones())]


def get_baseline(name: str) -> Recipe:
    """Return the recipe of that name.

    Parameters
    ----------
    name : str
        As in `list_baselines`: ``"ramirez-cnn"``, or ``"finetuned:<backbone>"`` with any registered
        backbone, and so on.

    Raises
    ------
    UsageError
        If there is no such recipe, or no such backbone.

    Examples
    --------
    >>> get_baseline("ramirez-cnn").batch_size
    128
    >>> get_baseline("finetuned:xception").optimizer
    'AdamW'
    """
    if name.startswith(FINETUNED):
        return finetuned(get_backbone(name.removeprefix(FINETUNED)))
    if name in _RECIPES:
        return _RECIPES[name]
    close = get_close_matches(name, [recipe.name for recipe in list_baselines()], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    allowed = ", ".join([*_RECIPES, f"{FINETUNED}<backbone>"])
    raise UsageError(f"there is no baseline {name!r}{hint} (known: {allowed})")
