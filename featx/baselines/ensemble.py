"""Several networks fine-tuned, their features set side by side, a classifier trained on top."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from featx.backbones._keras import import_keras
from featx.backbones.registry import get_backbone
from featx.backbones.weights import Weights
from featx.baselines.architectures import output_layer
from featx.baselines.corrected import finetuned
from featx.baselines.lesson import Learned, Lesson, policy_of, seeded
from featx.baselines.recipe import Recipe
from featx.baselines.schedules import WarmCosine
from featx.baselines.task import Source
from featx.baselines.transformer import VIT, VIT_PREPROCESSING, vision_transformer
from featx.runtime.progress import progress

if TYPE_CHECKING:
    import keras
    from keras import KerasTensor

__all__ = ["ENSEMBLES", "FeatureSource", "combine", "learn_ensemble"]

# Views of a training image whose features the classifier sees, the image itself included.
VIEWS = 4

Indices = npt.NDArray[np.int64]


def combine(blocks: Sequence[KerasTensor]) -> KerasTensor:
    """Put the features of several networks on one scale, side by side, and a dense layer on them.

    Parameters
    ----------
    blocks : sequence of KerasTensor, each of shape (batch, features)
        One a network.

    Returns
    -------
    KerasTensor, shape (batch, 256)
    """
    layers = import_keras().layers
    scaled = [layers.LayerNormalization()(block) for block in blocks]
    x = layers.Dropout(0.3)(layers.Concatenate()(scaled))
    x = layers.Dense(256, activation="relu")(x)
    return layers.Dropout(0.3)(x)


class FeatureSource:
    """Features of images in batches, as `ViewSource` gives their pixels.

    Parameters
    ----------
    tables : list of ndarray of float32, shape (n_images, features)
        One a view.
    """

    def __init__(self, tables: list[npt.NDArray[np.float32]]) -> None:
        self.tables = tables

    def batches(self, order: Sequence[Indices], view: int) -> Iterator[npt.NDArray[np.float32]]:
        """Give the features of each batch's images; views begin again after the last."""
        table = self.tables[view % len(self.tables)]
        for indices in order:
            yield table[indices]


def learn_ensemble(
    lesson: Lesson, recipe: Recipe, weights: Sequence[Weights | None], folder: Path | None
) -> Learned:
    """Train the pieces, then the classifier on their features, and join all into one network."""
    pieces = []
    for piece, start in zip(recipe.pieces, weights, strict=True):
        place = None if folder is None else folder / "pieces" / piece.name.replace(":", "-")
        pieces.append(lesson.learn(piece, start, place))
    extractors = [_extractor(piece.network) for piece in pieces]
    with seeded(lesson.random_state):
        head = _build_head(recipe, [int(net.output.shape[1]) for net in extractors], lesson)
        joint = _join(recipe, extractors, head)
        source = _FeaturesWhenNeeded(lesson, recipe, extractors)
        starts = [None if start is None else start.digest for start in weights]
        result = lesson.run(head, recipe, source, folder, starts)
    used = replace(recipe, pieces=tuple(piece.recipe for piece in pieces))
    before = sum(piece.seconds_before for piece in pieces) + result.seconds_before
    return Learned(used, joint, result, before)


class _FeaturesWhenNeeded:
    """Embeds the images at the first batch: a classifier that is trained already needs none."""

    def __init__(self, lesson: Lesson, recipe: Recipe, extractors: list[keras.Model]) -> None:
        self._arguments = lesson, recipe, extractors
        self._source: FeatureSource | None = None

    def batches(self, order: Sequence[Indices], view: int) -> Iterator[npt.NDArray[np.float32]]:
        if self._source is None:
            self._source = _embed(*self._arguments)
        yield from self._source.batches(order, view)


def _extractor(network: keras.Model) -> keras.Model:
    features = network.get_layer("features").output
    return import_keras().Model(network.input, features, name=f"{network.name}_features")


def _build_head(recipe: Recipe, widths: list[int], lesson: Lesson) -> keras.Model:
    keras = import_keras()
    features = keras.Input((sum(widths),), name="all_features")
    ends = np.cumsum(widths).tolist()
    blocks = [features[:, end - width : end] for end, width in zip(ends, widths, strict=True)]
    output = output_layer(lesson.n_classes)(recipe.body(blocks))
    return keras.Model(features, output, name="classifier")


def _join(recipe: Recipe, extractors: list[keras.Model], head: keras.Model) -> keras.Model:
    keras = import_keras()
    gray = keras.Input((*recipe.size, 1), name="gray")
    # In mixed precision the pieces give float16.
    side_by_side = keras.layers.Concatenate(dtype="float32")([net(gray) for net in extractors])
    return keras.Model(gray, head(side_by_side), name=recipe.name.replace("-", "_"))


def _embed(lesson: Lesson, recipe: Recipe, extractors: list[keras.Model]) -> FeatureSource:
    everyone = np.concatenate([lesson.training, lesson.validation])
    width = sum(int(net.output.shape[1]) for net in extractors)
    tables = []
    total = VIEWS * len(lesson.training) + len(lesson.validation)
    views: Source = lesson.source.seen_as(recipe.size, policy_of(recipe.augmentation))
    with progress(f"Embedding with the pieces of {recipe.name}", total, "views") as advance:
        for view in range(VIEWS):
            chosen = everyone if view == 0 else lesson.training
            table = np.zeros((len(lesson.images), width), dtype=np.float32)
            step = recipe.batch_size
            parts = [chosen[start : start + step] for start in range(0, len(chosen), step)]
            filled = [np.resize(part, step) for part in parts]
            for part, pixels in zip(parts, views.batches(filled, view), strict=True):
                outputs = [np.asarray(net.predict_on_batch(pixels)) for net in extractors]
                table[part] = np.hstack(outputs)[: len(part)]
                advance(len(part))
            tables.append(table)
    return FeatureSource(tables)


def _vision_transformer() -> Recipe:
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


def _mabrouk() -> Recipe:
    return Recipe(
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
