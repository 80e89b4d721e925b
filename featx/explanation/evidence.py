"""Evidence for decisions by place: exact class activation maps, or occlusion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from featx.backbones.kept import CONVERTED
from featx.backbones.pooling import MULTI_DEPTH
from featx.backbones.registry import get_backbone, get_registered
from featx.classifiers.calibration import probabilities as class_probabilities
from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.fusion import linear_decision
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.features.columns import columns_recipe_of
from featx.features.config import ExtractionConfig
from featx.features.extraction import find_model_weights
from featx.features.recipe import Recipe
from featx.images.augmentation import make_view
from featx.images.normalization import normalize
from featx.runtime.versions import check_known_changes, decisive_versions

if TYPE_CHECKING:
    from featx.backbones.engines import Engine
    from featx.backbones.feature_maps import FeatureMaps

ACTIVATION = "class activation map"
OCCLUSION = "occlusion"

METHODS = {
    ACTIVATION: "Class activation maps, exact: the mean of a map plus the bias is the decision "
    "value. Zero is the value of the average training row. With pooling multi_depth, maps of all "
    "stages are added; a standard deviation is divided among places by their squared differences "
    "from the mean of its map.",
    OCCLUSION: "Occlusion on a grid of 8 x 8: the decrease of the decision value when a gray patch "
    "covers a place. Exact maps are those of linear classifiers on averaged maps of a network that "
    "featx has.",
}

# Cells of the occlusion map along each side.
CELLS = 8

# Each patch covers two by two cells.
_PATCHES = [np.s_[top : top + 2, left : left + 2] for top in range(7) for left in range(7)]

Map = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Hold a model's decision on one image, and the evidence for it in the original view.

    Probabilities are those of `featx.predict`, of scores averaged over views; decision value and
    map are of the original view, before calibration. The mean of a class activation map is the
    decision value minus the bias, the decision value of the average training row; a map by
    occlusion, without a bias, holds the decrease of the decision value under a gray patch.
    """

    name: str
    # Shape (n_classes,).
    probabilities: npt.NDArray[np.float64]
    label: str
    # Class that positive values of the map speak for: of two the last, otherwise the predicted.
    toward: str
    decision: float
    map: Map
    bias: float | None

    @property
    def total(self) -> float | None:
        """The map's mean plus the bias: the decision value, where the map is exact."""
        return None if self.bias is None else float(self.map.mean()) + self.bias


class Explainer:
    """Explain decisions of a fitted model; networks are loaded once.

    Parameters are those of `featx.explain`, which raises the same errors.
    """

    def __init__(
        self,
        model: FeatureClassifier,
        *,
        weights: str | Path = "imagenet",
        weights_dir: str | Path | None = None,
        engine: str = "auto",
        cache: str | Path | None = None,
    ) -> None:
        if columns_recipe_of(model.recipes_) is not None:
            raise UsageError(
                "the model was fitted on columns of a table beside images, so no place in an image "
                "explains its decision alone; explain the model of the images alone"
            )
        recipes = [Recipe.from_dict(recipe) for recipe in model.recipes_ if "weights" in recipe]
        if not recipes or len(recipes) < len(model.recipes_):
            raise UsageError(
                "the model was fitted on features that no network made, so no place in an image "
                "can be shown; fit a model on a matrix of `featx extract`"
            )
        others = {recipe.precision for recipe in recipes} - {"float32"}
        if others:
            raise UsageError(
                f"the model was fitted on features computed in {others.pop()}, but maps are "
                "computed in float32 and would explain another decision; fit a model on a matrix "
                "in float32"
            )
        versions = model.provenance_["versions"]
        check_known_changes(versions, decisive_versions(), "the model", "the maps")
        self.model = model
        self._recipes = recipes
        found = find_model_weights(model.recipes_, weights, weights_dir, model._weights_places)
        self._weights = [weights for _, weights in found]
        self._engine = engine
        self._kept = ExtractionConfig(cache=cache).cache_folder / CONVERTED
        averaged = all(
            recipe.pooling in ("average", MULTI_DEPTH) and not recipe.card for recipe in recipes
        )
        self._linear = linear_decision(model) if averaged else None

    @cached_property
    def _maps(self) -> list[FeatureMaps]:
        from featx.backbones.feature_maps import make_maps

        inputs = zip(self._recipes, self._weights, strict=True)
        return [
            make_maps(get_registered(recipe.backbone_name), weights, recipe.pooling)
            for recipe, weights in inputs
        ]

    @cached_property
    def _engines(self) -> list[Engine]:
        from featx.backbones import engines

        return [
            engines.make_engine(
                get_backbone(recipe.backbone_name),
                weights,
                self._engine,
                pooling=recipe.pooling,
                networks=self._kept,
            )
            for recipe, weights in zip(self._recipes, self._weights, strict=True)
        ]

    @property
    def method(self) -> str:
        """`ACTIVATION` where the model is linear on means over places, else `OCCLUSION`."""
        return OCCLUSION if self._linear is None else ACTIVATION

    def explain(
        self,
        images: ImageDataset,
        index: int,
        probabilities: npt.NDArray[np.float64] | None = None,
        label: str | None = None,
    ) -> Explanation:
        """Explain the decision on one image; an image that cannot be decoded is an error.

        By default the decision is that on the original view alone.
        """
        pixels = [
            normalize(images.read(index, recipe.color), recipe.normalization)
            for recipe in self._recipes
        ]
        linear = self._linear
        maps = [] if linear is None else self._feature_maps(pixels)
        rows = self._covered_rows(pixels) if linear is None else _means(maps)
        if probabilities is None:
            logits = self.model.calibration_.logits(self.model._scores(rows[:1]))
            probabilities = class_probabilities(logits)[0]
        label = label or str(self.model.decide(probabilities[None])[0])
        classes = [str(name) for name in self.model.classes_]
        # Of two classes there is one score, that of the last.
        toward, score = (classes[1], 0) if len(classes) == 2 else (label, classes.index(label))
        if linear is None:
            scores = self.model._scores(rows)
            decisions = scores if scores.ndim == 1 else scores[:, score]
            decision, bias = float(decisions[0]), None
            evidence = mean_effects(decision - decisions[1:])
        else:
            bias = float(linear.bias[score])
            weights, center = linear.weights[score], linear.center
            decision = float(linear.bias[score] + weights @ (rows[0] - center))
            ends = np.cumsum([each.shape[2] for each in maps])[:-1]
            blocks = zip(maps, np.split(center, ends), np.split(weights, ends), strict=True)
            evidence = add_maps([(each - middle) @ own for each, middle, own in blocks])
        name = images.names[index]
        return Explanation(name, probabilities, label, toward, decision, evidence, bias)

    def _feature_maps(self, pixels: Sequence[npt.NDArray]) -> list[npt.NDArray]:
        networks = zip(self._maps, pixels, self._recipes, strict=True)
        return [
            each
            for network, image, recipe in networks
            for each in network.of(_views([image], recipe)[0])
        ]

    def _covered_rows(self, pixels: Sequence[npt.NDArray]) -> npt.NDArray:
        """Embed the image as it is, then with each patch in turn."""
        blocks = [
            engine.embed(_views(_covered(image), recipe))
            for engine, image, recipe in zip(self._engines, pixels, self._recipes, strict=True)
        ]
        return np.concatenate(blocks, axis=1)


def _means(maps: Sequence[npt.NDArray]) -> npt.NDArray:
    return np.concatenate([each.mean(axis=(0, 1)) for each in maps])[None]


def add_maps(maps: Sequence[Map]) -> Map:
    """Add maps of several backbones, on the finest of their grids.

    Examples
    --------
    >>> add_maps([np.array([[1.0]]), np.array([[0.0, 2.0], [4.0, 2.0]])]).tolist()
    [[1.0, 3.0], [5.0, 3.0]]
    """
    rows, columns = (max(each.shape[axis] for each in maps) for axis in (0, 1))
    total = np.zeros((rows, columns))
    for each in maps:
        resized = cv2.resize(each, (columns, rows), interpolation=cv2.INTER_LINEAR)
        # Interpolation shifts the mean a little, and the mean is the decision.
        total += resized + (each.mean() - resized.mean())
    return total


def _views(images: Iterable[npt.NDArray], recipe: Recipe) -> npt.NDArray[np.float32]:
    return np.stack([make_view(each, "", 0, *recipe.view_settings) for each in images])


def _covered(image: npt.NDArray) -> Iterator[npt.NDArray]:
    """Yield an image as it is, then with a gray patch over each place in turn."""
    yield image
    rows, columns = (np.linspace(0, n, CELLS + 1).round().astype(int) for n in image.shape[:2])
    gray = image.mean()
    for down, across in _PATCHES:
        covered = image.copy()
        height = slice(rows[down.start], rows[down.stop])
        covered[height, columns[across.start] : columns[across.stop]] = gray
        yield covered


def mean_effects(effects: npt.NDArray[np.float64]) -> Map:
    """Give each cell the mean effect of the patches that cover it."""
    total, count = np.zeros((2, CELLS, CELLS))
    for patch, effect in zip(_PATCHES, effects, strict=True):
        total[patch] += effect
        count[patch] += 1
    return total / count
