"""Train an ensemble: its networks one by one, then a classifier on all their features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from featx.backbones._keras import import_keras
from featx.backbones.weights import Weights
from featx.baselines.architectures import output_layer
from featx.baselines.baseline_recipe import BaselineRecipe
from featx.baselines.fitting import FitResult, FitTask, fit_network, fit_recipe
from featx.baselines.settings import policy_of
from featx.baselines.training_data import TrainingData
from featx.baselines.views import Indices, ViewSource
from featx.runtime.progress import progress

if TYPE_CHECKING:
    import keras

__all__ = ["FeatureTables", "fit_ensemble"]

# Views of a training image whose features the classifier sees, the image itself included.
VIEWS = 4


class FeatureTables:
    """Features of images, computed at their first use: a finished classifier needs none."""

    def __init__(
        self, data: TrainingData, recipe: BaselineRecipe, extractors: list[keras.Model]
    ) -> None:
        self._arguments = data, recipe, extractors
        self._tables: list[npt.NDArray[np.float32]] = []

    def render(self, indices: Indices, view: int) -> npt.NDArray[np.float32]:
        """Return the features of one view of each image; views repeat after the last."""
        if not self._tables:
            self._tables = _embed(*self._arguments)
        return self._tables[view % len(self._tables)][indices]


def fit_ensemble(
    data: TrainingData,
    recipe: BaselineRecipe,
    weights: Sequence[Weights | None],
    folder: Path | None,
) -> tuple[BaselineRecipe, FitResult]:
    """Train the pieces and the classifier, and join them into one network."""
    recipes, pieces = [], []
    for piece, start in zip(recipe.pieces, weights, strict=True):
        place = None if folder is None else folder / "pieces" / piece.name.replace(":", "-")
        used, result = fit_recipe(data, piece, start, place)
        recipes.append(used)
        pieces.append(result)
    extractors = [_extractor(piece.network) for piece in pieces]
    widths = [int(extractor.output.shape[1]) for extractor in extractors]
    head = fit_network(
        lambda: _build_head(recipe, widths, data.n_classes),
        FitTask(recipe, data, FeatureTables(data, recipe, extractors)),
        folder,
        [None if start is None else start.digest for start in weights],
    )
    result = replace(
        head,
        network=_join(recipe, extractors, head.network),
        seconds_before=sum(each.seconds_before for each in (*pieces, head)),
    )
    return replace(recipe, pieces=tuple(recipes)), result


def _extractor(network: keras.Model) -> keras.Model:
    features = network.get_layer("features").output
    return import_keras().Model(network.input, features, name=f"{network.name}_features")


def _build_head(recipe: BaselineRecipe, widths: list[int], n_classes: int) -> keras.Model:
    keras = import_keras()
    features = keras.Input((sum(widths),), name="all_features")
    ends = np.cumsum(widths).tolist()
    blocks = [features[:, end - width : end] for end, width in zip(ends, widths, strict=True)]
    output = output_layer(n_classes)(recipe.body(blocks))
    return keras.Model(features, output, name="classifier")


def _join(recipe: BaselineRecipe, extractors: list[keras.Model], head: keras.Model) -> keras.Model:
    keras = import_keras()
    gray = keras.Input((*recipe.size, 1), name="gray")
    # In mixed precision the pieces return float16.
    side_by_side = keras.layers.Concatenate(dtype="float32")([net(gray) for net in extractors])
    return keras.Model(gray, head(side_by_side), name=recipe.name.replace("-", "_"))


def _embed(
    data: TrainingData, recipe: BaselineRecipe, extractors: list[keras.Model]
) -> list[npt.NDArray[np.float32]]:
    """Compute one table of features a view; augmented views of training images only."""
    everything = np.concatenate([data.training, data.validation])
    width = sum(int(net.output.shape[1]) for net in extractors)
    tables = []
    total = VIEWS * len(data.training) + len(data.validation)
    views: ViewSource = data.views.with_settings(recipe.size, policy_of(recipe.augmentation))
    with progress(f"Embedding with the networks of {recipe.name}", total, "views") as advance:
        for view in range(VIEWS):
            chosen = everything if view == 0 else data.training
            table = np.zeros((len(data.images), width), dtype=np.float32)
            for start in range(0, len(chosen), recipe.batch_size):
                part = chosen[start : start + recipe.batch_size]
                pixels = views.render(np.resize(part, recipe.batch_size), view)
                outputs = [np.asarray(net.predict_on_batch(pixels)) for net in extractors]
                table[part] = np.hstack(outputs)[: len(part)]
                advance(len(part))
            tables.append(table)
    return tables
