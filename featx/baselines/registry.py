"""Registry of CNNs trained end to end: as published, errors included; corrected; fine-tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from featx.backbones._keras import import_keras
from featx.backbones.registry import get_registered, list_backbones
from featx.backbones.spec import BackboneSpec
from featx.baselines import architectures
from featx.baselines.baseline_recipe import (
    SHARE_OF_255,
    BaselineRecipe,
    Constant,
    Plateau,
    WarmCosine,
)
from featx.baselines.vision_transformer import VIT, VIT_PREPROCESSING, vision_transformer
from featx.errors import find_name
from featx.images.augmentation import Augmentation

if TYPE_CHECKING:
    from keras import KerasTensor

_REPORT = "Ramírez Cámara 2022"
_SPLIT = (
    "Its split by image is kept for validation, inside the training patients; the test patients "
    "are those of every other row."
)

_RAMIREZ: dict[str, Any] = {
    "size": (300, 300),
    "preprocessing": SHARE_OF_255,
    "augmentation": "ramirez",
    "batch_size": 128,
    "optimizer": "RMSprop",
    "learning_rate": 1e-3,
    "validation_size": 0.2,
    "validation_by": "image",
}
_OTHERS: dict[str, Any] = {
    "preprocessing": SHARE_OF_255,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "class_weights": False,
    "keep": "last",
}

_RAMIREZ_CNN = BaselineRecipe(
    name="ramirez-cnn",
    title="CNN from scratch, five convolutions",
    source=f"{_REPORT}; its CNN is that of a public Kaggle notebook of 2020",
    body=architectures.ramirez_cnn,
    minimum_size=32,
    epochs=12,
    schedule=Plateau(),
    keep="last",
    notes=f"{_SPLIT} Color as other recipes: the gray image three times.",
    **_RAMIREZ,
)


def _ramirez_transfer(name: str, backbone_name: str, frozen_layers: int) -> BaselineRecipe:
    backbone = get_registered(backbone_name)
    return BaselineRecipe(
        name=name,
        title=f"{backbone.title}, first {frozen_layers} layers frozen",
        source=_REPORT,
        body=partial(architectures.pretrained, backbone, dropout=0.0),
        minimum_size=backbone.minimum_size,
        epochs=35,
        steps_per_epoch=10,
        schedule=Constant(),
        backbone=backbone.name,
        frozen_layers=frozen_layers,
        train_batch_norm=True,
        monitor="val_loss",
        patience=20,
        notes=f"{_SPLIT} Pixels / 255 in place of the network's preprocessing, and batch norm that "
        "goes on training, are the report's.",
        **_RAMIREZ,
    )


def _kaushik(stages: int) -> BaselineRecipe:
    return BaselineRecipe(
        name=f"kaushik-{stages}",
        title=f"CNN from scratch, {stages} convolution stage{'s' if stages > 1 else ''}",
        source="Kaushik et al. 2020, Pneumonia detection using convolutional neural networks",
        body=partial(architectures.staged_cnn, filters=(32, 64, 128, 256)[:stages]),
        size=(128, 128),
        minimum_size=32,
        augmentation=Augmentation(zoom=(0.8, 1.2), flip=True),
        epochs=20,
        optimizer="Adam",
        schedule=Constant(),
        notes="Stages, 20 epochs and batches of 32 are published. Filters, dropout, dense layer, "
        "size, optimizer and augmentation (zoom 0.2, flip) are our reading; validation by patient.",
        **_OTHERS,
    )


_MATHUR = BaselineRecipe(
    name="mathur-cnn",
    title="CNN from scratch on 150 x 150 gray pixels, five convolutions",
    source="M. Mathur 2020, Kaggle notebook: Pneumonia detection using CNN (92.6 % accuracy)",
    body=partial(architectures.ramirez_cnn, channels=1),
    size=(150, 150),
    minimum_size=32,
    augmentation=Augmentation(rotation=30.0, zoom=(0.8, 1.2), shift=0.1, flip=True),
    epochs=12,
    optimizer="RMSprop",
    schedule=Plateau(),
    notes="Validation there is the public val folder of 16 images; here a fraction of the "
    "patients, which also reduces the learning rate (our reading).",
    **_OTHERS,
)


def _shekhar(
    name: str, backbone_name: str, pooling: Literal["average", "flatten"]
) -> BaselineRecipe:
    backbone = get_registered(backbone_name)
    return BaselineRecipe(
        name=name,
        title=f"{backbone.title}, frozen, with a dense layer trained on it",
        source="Shekhar 2020, Kaggle notebook",
        body=partial(architectures.pretrained, backbone, dropout=0.0, pooling=pooling),
        size=(224, 224),
        minimum_size=backbone.minimum_size,
        augmentation=Augmentation(zoom=(0.8, 1.2), flip=True),
        epochs=10,
        optimizer="Adam",
        schedule=Constant(),
        backbone=backbone.name,
        frozen_layers=None,
        notes="The backbone and the accuracy are published. That it is frozen, the layers on top, "
        "size, pixels / 255, optimizer, epochs and augmentation are our reading.",
        **_OTHERS,
    )


FINETUNED = "finetuned:"

# Found on a few hundred radiographs with efficientnet_lite0: 1e-3 collapses, 2e-4 is slower.
# Without batch norm steps have to be smaller.
_FINE_TUNING_RATE = 3e-4
_SMALLER_RATES = {"vgg16": 5e-5, "vgg19": 5e-5}


_CORRECTED: dict[str, Any] = {
    "batch_size": 32,
    "optimizer": "AdamW",
    "schedule": WarmCosine(),
    "weight_decay": 1e-4,
}


def finetuned(backbone: BackboneSpec) -> BaselineRecipe:
    """Return the recipe that fine-tunes all layers of a backbone.

    Examples
    --------
    >>> finetuned(get_registered("vgg16")).learning_rate
    5e-05
    """
    return BaselineRecipe(
        name=f"{FINETUNED}{backbone.name}",
        title=f"{backbone.title}, all layers fine-tuned",
        source="featx: usual practice for small medical sets",
        body=partial(architectures.pretrained, backbone),
        size=backbone.size,
        minimum_size=backbone.minimum_size,
        preprocessing=backbone.preprocessing,
        augmentation="radiograph",
        epochs=12,
        learning_rate=_SMALLER_RATES.get(backbone.name, _FINE_TUNING_RATE),
        backbone=backbone.name,
        head_epochs=1,
        patience=4,
        **_CORRECTED,
    )


def _corrected_transfer(name: str, backbone_name: str, frozen_layers: int) -> BaselineRecipe:
    backbone = get_registered(backbone_name)
    return replace(
        finetuned(backbone),
        name=name,
        title=f"{backbone.title}, first {frozen_layers} layers frozen, trained right",
        source="featx: the report of 2022's network",
        body=partial(architectures.pretrained, backbone, dropout=0.0),
        size=(300, 300),
        augmentation="ramirez",
        epochs=15,
        learning_rate=_FINE_TUNING_RATE,
        frozen_layers=frozen_layers,
        head_epochs=2,
        patience=5,
        notes="Same network, size, frozen depth and augmentation. The backbone's own "
        "preprocessing, batch norm in inference mode, two epochs of the head alone, warm-up and "
        "cosine decay over whole epochs, the best of validation patients is kept.",
    )


def combine(blocks: Sequence[KerasTensor]) -> KerasTensor:
    """Normalize and concatenate the features of several networks, and add a dense layer."""
    layers = import_keras().layers
    scaled = [layers.LayerNormalization()(block) for block in blocks]
    x = layers.Dropout(0.3)(layers.Concatenate()(scaled))
    x = layers.Dense(256, activation="relu")(x)
    return layers.Dropout(0.3)(x)


_DENSENET, _MOBILENET = (finetuned(get_registered(n)) for n in ("densenet169", "mobilenetv2"))

_TRANSFORMER = replace(
    _DENSENET,
    name="finetuned:vit",
    title="Vision Transformer (ViT-B/16), all layers fine-tuned",
    body=vision_transformer,
    preprocessing=VIT_PREPROCESSING,
    learning_rate=5e-5,
    backbone=VIT,
)

RECIPES = (
    _RAMIREZ_CNN,
    _ramirez_transfer("ramirez-inception", "inceptionv3", 200),
    _ramirez_transfer("ramirez-resnet", "resnet50", 100),
    *(_kaushik(stages) for stages in (1, 2, 3, 4)),
    _MATHUR,
    _shekhar("shekhar-vgg", "vgg16", "flatten"),
    _shekhar("shekhar-inception", "inceptionv3", "average"),
    BaselineRecipe(
        name="ramirez-cnn-corrected",
        title="CNN from scratch, five convolutions, trained right",
        source="featx: the report of 2022's layers",
        body=partial(architectures.ramirez_cnn, momentum=0.9),
        size=(300, 300),
        minimum_size=32,
        preprocessing=SHARE_OF_255,
        augmentation="ramirez",
        epochs=24,
        learning_rate=1e-3,
        patience=8,
        notes="Same layers. Batches of 32 in place of 128, averages of batch norm that follow in "
        "tens of steps; warm-up and cosine decay; the best of validation patients is kept.",
        **_CORRECTED,
    ),
    _corrected_transfer("ramirez-inception-corrected", "inceptionv3", 200),
    _corrected_transfer("ramirez-resnet-corrected", "resnet50", 100),
    replace(
        _TRANSFORMER,
        name="mabrouk-ensemble",
        title="DenseNet169, MobileNetV2 and a Vision Transformer, their features combined",
        source="Mabrouk et al. 2022, Applied Sciences, doi 10.3390/app12136448",
        body=combine,
        epochs=30,
        learning_rate=1e-3,
        backbone=None,
        head_epochs=0,
        patience=8,
        pieces=(_DENSENET, _MOBILENET, _TRANSFORMER),
        notes="The three networks, their fine-tuning and the combination of their features are "
        "published. How they are fine-tuned (as finetuned:<backbone>), ViT-B/16, and the "
        "classifier (layer normalization, dropout, dense 256) are our reading. Each piece "
        "applies its own preprocessing.",
    ),
)


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
