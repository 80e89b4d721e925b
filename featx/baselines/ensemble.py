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
from featx.baselines.keras_fit import FitResult, fit_network, fit_recipe
from featx.baselines.training_data import FitTask, TrainingData, policy_of
from featx.baselines.views import Indices, run_network
from featx.runtime.files import file_name_of
from featx.runtime.process_state import network_state
from featx.runtime.progress import progress

if TYPE_CHECKING:
    import keras

# Views of a training image whose features the classifier sees, the image itself included.
VIEWS = 4


class FeatureTables:
    """Features of images, computed at their first use: a finished classifier needs none."""

    def __init__(self, data: TrainingData, recipe: BaselineRecipe, extractor: keras.Model) -> None:
        self._data, self._recipe, self._extractor = data, recipe, extractor
        self._tables: list[npt.NDArray[np.float32]] = []

    def render(self, indices: Indices, view: int) -> npt.NDArray[np.float32]:
        """Return the features of one view of each image; views repeat after the last."""
        if not self._tables:
            self._tables = self._embed()
        return self._tables[view % len(self._tables)][indices]

    def _embed(self) -> list[npt.NDArray[np.float32]]:
        """Compute one table of features a view; augmented views of training images only."""
        data, recipe = self._data, self._recipe
        views = data.views.with_settings(recipe.size, policy_of(recipe.augmentation))
        tables = []
        total = VIEWS * len(data.training) + len(data.validation)
        with progress(f"Embedding with the networks of {recipe.name}", total, "views") as advance:
            for view in range(VIEWS):
                chosen = data.training
                if view == 0:
                    chosen = np.concatenate([data.training, data.validation])
                table = np.zeros((len(data.images), self._extractor.output.shape[1]), np.float32)
                table[chosen] = run_network(
                    self._extractor, views.render, chosen, recipe.batch_size, view, advance
                )
                tables.append(table)
        return tables


@network_state()
def fit_ensemble(
    data: TrainingData,
    recipe: BaselineRecipe,
    weights: Sequence[Weights | None],
    folder: Path | None,
) -> tuple[BaselineRecipe, FitResult]:
    """Train the pieces and the classifier, and join them into one network."""
    keras = import_keras()
    recipes, pieces = [], []
    for piece, start in zip(recipe.pieces, weights, strict=True):
        place = None if folder is None else folder / "pieces" / file_name_of(piece.name)
        used, result = fit_recipe(data, piece, start, place)
        recipes.append(used)
        pieces.append(result)
    gray = keras.Input((*recipe.size, 1), name="gray")
    blocks = [_extractor(piece.network)(gray) for piece in pieces]
    # In mixed precision the pieces return float16.
    features = keras.layers.Concatenate(dtype="float32")(blocks)
    widths = [int(block.shape[1]) for block in blocks]
    head = fit_network(
        lambda: _build_head(recipe, widths, data.n_classes),
        FitTask(recipe, data, FeatureTables(data, recipe, keras.Model(gray, features)).render),
        folder,
        [None if start is None else start.digest for start in weights],
    )
    name = recipe.name.replace("-", "_")
    result = replace(
        head,
        network=keras.Model(gray, head.network(features), name=name),
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
