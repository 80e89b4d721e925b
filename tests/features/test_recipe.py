from dataclasses import replace

import pytest

from featx.features.recipe import Recipe
from featx.images.augmentation import POLICIES, Augmentation

RECIPE = Recipe("vgg16", "ab" * 32, (224, 224), POLICIES["radiograph"], 0, "gray")


def test_whole_numbers_and_floats_of_one_value_are_one_recipe():
    one, other = (replace(RECIPE, augmentation=Augmentation(rotation=r)) for r in (5, 5.0))
    assert one.digest == other.digest


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "vgg19"},
        {"weights": "random-0"},
        {"size": (240, 240)},
        {"augmentation": POLICIES["ramirez"]},
        {"random_state": 1},
        {"color": "rgb"},
        {"pooling": "gem"},
        {"pooling": "multi_depth"},
        {"normalization": "equalize"},
        {"precision": "float16"},
        {"precision": "int8", "network": "aa"},
    ],
)
def test_each_setting_changes_the_digest_and_comes_back(change):
    changed = replace(RECIPE, **change)
    assert changed.digest != RECIPE.digest
    assert Recipe.from_dict(changed.to_dict()) == changed


def test_the_digest_is_the_same_in_every_version():
    # Another digest would orphan every cache.
    assert RECIPE.digest.startswith("efe98695f6b50748314800d3")
    assert not {"normalization", "normalisation", "precision", "network"} & set(RECIPE.to_dict())
