"""Recipes as they were published, errors included."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from featx.backbones.registry import get_backbone
from featx.baselines import architectures
from featx.baselines.baseline_recipe import SHARE_OF_255, BaselineRecipe, Constant, Plateau
from featx.images.augmentation import Augmentation

__all__ = ["PUBLISHED"]

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


def _ramirez_cnn() -> BaselineRecipe:
    return BaselineRecipe(
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
    backbone = get_backbone(backbone_name)
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
        preprocessing=SHARE_OF_255,
        augmentation=Augmentation(zoom=(0.8, 1.2), flip=True),
        batch_size=32,
        epochs=20,
        optimizer="Adam",
        learning_rate=1e-3,
        schedule=Constant(),
        class_weights=False,
        keep="last",
        notes="Stages, 20 epochs and batches of 32 are published. Filters, dropout, dense layer, "
        "size, optimizer and augmentation (zoom 0.2, flip) are our reading; validation by patient.",
    )


_MATHUR = BaselineRecipe(
    name="mathur-cnn",
    title="CNN from scratch on 150 x 150 gray pixels, five convolutions",
    source="M. Mathur 2020, Kaggle notebook: Pneumonia detection using CNN (92.6 % accuracy)",
    body=partial(architectures.ramirez_cnn, channels=1),
    size=(150, 150),
    minimum_size=32,
    preprocessing=SHARE_OF_255,
    augmentation=Augmentation(rotation=30.0, zoom=(0.8, 1.2), shift=0.1, flip=True),
    batch_size=32,
    epochs=12,
    optimizer="RMSprop",
    learning_rate=1e-3,
    schedule=Plateau(),
    class_weights=False,
    keep="last",
    notes="Validation there is the public val folder of 16 images; here a fraction of the "
    "patients, which also reduces the learning rate (our reading).",
)


def _shekhar(
    name: str, backbone_name: str, pooling: Literal["average", "flatten"]
) -> BaselineRecipe:
    backbone = get_backbone(backbone_name)
    return BaselineRecipe(
        name=name,
        title=f"{backbone.title}, frozen, with a dense layer trained on it",
        source="Shekhar 2020, Kaggle notebook",
        body=partial(architectures.pretrained, backbone, dropout=0.0, pooling=pooling),
        size=(224, 224),
        minimum_size=backbone.minimum_size,
        preprocessing=SHARE_OF_255,
        augmentation=Augmentation(zoom=(0.8, 1.2), flip=True),
        batch_size=32,
        epochs=10,
        optimizer="Adam",
        learning_rate=1e-3,
        schedule=Constant(),
        backbone=backbone.name,
        frozen_layers=None,
        class_weights=False,
        keep="last",
        notes="The backbone and the accuracy are published. That it is frozen, the layers on top, "
        "size, pixels / 255, optimizer, epochs and augmentation are our reading.",
    )


PUBLISHED = (
    _ramirez_cnn(),
    _ramirez_transfer("ramirez-inception", "inceptionv3", 200),
    _ramirez_transfer("ramirez-resnet", "resnet50", 100),
    *(_kaushik(stages) for stages in (1, 2, 3, 4)),
    _MATHUR,
    _shekhar("shekhar-vgg", "vgg16", "flatten"),
    _shekhar("shekhar-inception", "inceptionv3", "average"),
)
