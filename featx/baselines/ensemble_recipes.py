"""Recipes of ensembles: networks fine-tuned one by one, and a classifier on all their features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from featx.backbones._keras import import_keras
from featx.backbones.registry import get_backbone
from featx.baselines.baseline_recipe import BaselineRecipe, WarmCosine
from featx.baselines.corrected_recipes import finetuned
from featx.baselines.vision_transformer import VIT, VIT_PREPROCESSING, vision_transformer

if TYPE_CHECKING:
    from keras import KerasTensor

__all__ = ["ENSEMBLES", "combine"]


def combine(blocks: Sequence[KerasTensor]) -> KerasTensor:
    """Normalize and concatenate the features of several networks, and add a dense layer.

    Parameters
    ----------
    blocks : sequence of KerasTensor, each of shape (batch, features)

    Returns
    -------
    KerasTensor, shape (batch, 256)
    """
    layers = import_keras().layers
    scaled = [layers.LayerNormalization()(block) for block in blocks]
    x = layers.Dropout(0.3)(layers.Concatenate()(scaled))
    x = layers.Dense(256, activation="relu")(x)
    return layers.Dropout(0.3)(x)


def _vision_transformer() -> BaselineRecipe:
    return replace(
        finetuned(get_backbone("densenet169")),
        name="finetuned:vit",
        title="Vision Transformer (ViT-B/16), all layers fine-tuned",
        body=vision_transformer,
        size=(224, 224),
        minimum_size=32,
        preprocessing=VIT_PREPROCESSING,
        learning_rate=5e-5,
        backbone=VIT,
    )


def _mabrouk() -> BaselineRecipe:
    return BaselineRecipe(
        name="mabrouk-ensemble",
        title="DenseNet169, MobileNetV2 and a Vision Transformer, their features combined",
        source="Mabrouk et al. 2022, Applied Sciences, doi 10.3390/app12136448",
        body=combine,
        size=(224, 224),
        minimum_size=32,
        preprocessing=VIT_PREPROCESSING,
        augmentation="radiograph",
        batch_size=32,
        epochs=30,
        optimizer="AdamW",
        learning_rate=1e-3,
        schedule=WarmCosine(),
        weight_decay=1e-4,
        patience=8,
        pieces=(
            finetuned(get_backbone("densenet169")),
            finetuned(get_backbone("mobilenetv2")),
            _vision_transformer(),
        ),
        notes="The three networks, their fine-tuning and the combination of their features are "
        "published. How they are fine-tuned (as finetuned:<backbone>), ViT-B/16, and the "
        "classifier (layer normalization, dropout, dense 256) are our reading. Each piece "
        "applies its own preprocessing.",
    )


ENSEMBLES = (_mabrouk(),)
