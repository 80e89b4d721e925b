import json

import pytest

from featx.backbones.registry import get_backbone, list_backbones
from featx.baselines.baseline_recipe import Constant, Plateau, WarmCosine
from featx.baselines.registry import get_baseline, list_baselines
from featx.errors import UsageError
from featx.images.augmentation import Augmentation


def test_ramirez_cnn_is_trained_as_the_report_says():
    recipe = get_baseline("ramirez-cnn")
    assert (recipe.size, recipe.batch_size, recipe.epochs) == ((300, 300), 128, 12)
    assert (recipe.optimizer, recipe.learning_rate) == ("RMSprop", 1e-3)
    assert recipe.schedule == Plateau("val_accuracy", factor=0.3, patience=2, floor=1e-6)
    assert (recipe.validation_by, recipe.validation_size) == ("image", 0.2)
    assert recipe.class_weights
    assert recipe.preprocessing.scale == (255.0, 255.0, 255.0)
    policy = Augmentation.named(recipe.augmentation)
    assert (policy.rotation, policy.zoom, policy.shift, policy.flip) == (30, (0.8, 1.2), 0.1, False)


def test_every_backbone_can_be_finetuned_with_its_own_preprocessing():
    for backbone in list_backbones():
        recipe = get_baseline(f"finetuned:{backbone.name}")
        assert recipe.preprocessing == backbone.preprocessing
        assert recipe.size == backbone.size
        assert recipe.backbone == backbone.name
    names = [recipe.name for recipe in list_baselines()]
    assert len(set(names)) == len(names)
    assert sum(name.startswith("finetuned:") for name in names) == len(list_backbones())
    assert [get_baseline(name).name for name in names] == names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *((name, r"ramirez-cnn, .*, finetuned:<backbone>") for name in ("ramirez-cn", "", "vgg16")),
        ("finetuned:resnet51", "resnet51"),
    ],
)
def test_unknown_names_raise_with_the_known_ones(name, message):
    with pytest.raises(UsageError, match=message):
        get_baseline(name)


@pytest.mark.parametrize(("name", "frozen"), [("ramirez-inception", 200), ("ramirez-resnet", 100)])
def test_ramirez_transfer_recipes_are_trained_as_the_report_says(name, frozen):
    recipe = get_baseline(name)
    assert (recipe.size, recipe.batch_size, recipe.epochs) == ((300, 300), 128, 35)
    assert (recipe.optimizer, recipe.learning_rate) == ("RMSprop", 1e-3)
    assert recipe.schedule == Constant()
    assert (recipe.steps_per_epoch, recipe.frozen_layers) == (10, frozen)
    assert (recipe.keep, recipe.monitor, recipe.patience) == ("best", "val_loss", 20)
    assert (recipe.validation_by, recipe.validation_size) == ("image", 0.2)
    assert recipe.class_weights
    assert recipe.train_batch_norm
    assert recipe.preprocessing.scale == (255.0, 255.0, 255.0)
    assert recipe.augmentation == "ramirez"


@pytest.mark.parametrize("name", ["cnn", "inception", "resnet"])
def test_corrected_recipes_correct_the_published_ones(name):
    published = get_baseline(f"ramirez-{name}")
    corrected = get_baseline(f"ramirez-{name}-corrected")
    assert corrected.size == published.size
    assert corrected.frozen_layers == published.frozen_layers
    assert corrected.validation_by == "patient"
    assert isinstance(corrected.schedule, WarmCosine)
    assert corrected.steps_per_epoch is None
    assert not corrected.train_batch_norm
    if corrected.backbone:
        assert corrected.preprocessing == get_backbone(corrected.backbone).preprocessing
        assert corrected.head_epochs > 0


def test_every_recipe_is_plain_values_and_says_what_is_interpreted():
    for recipe in list_baselines():
        values = json.loads(json.dumps(recipe.to_dict()))
        assert values["name"] == recipe.name
        assert values["schedule"]["kind"] == type(recipe.schedule).__name__
        assert len(values["pieces"]) == len(recipe.pieces)
        assert recipe.title and recipe.source
        if recipe.name.startswith(("kaushik", "mathur", "shekhar", "mabrouk")):
            assert "our reading" in recipe.notes
