"""Where a model looked: class activation maps where they are exact, occlusion elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from featx.backbones.registry import BackboneSpec, get_backbone
from featx.backbones.weights import Weights
from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.decision_scores import pipeline_scores
from featx.classifiers.linear_weights import LinearWeights, linear_weights
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.features.recipe import Recipe
from featx.features.reextraction import find_recipe_weights
from featx.images.augmentation import make_view
from featx.images.normalization import normalize

__all__ = ["ACTIVATION", "METHODS", "OCCLUSION", "Explainer", "Explanation", "add_maps"]

ACTIVATION = "class activation map"
OCCLUSION = "occlusion"

# What the maps of a method show, for whoever looks at them.
METHODS = {
    ACTIVATION: "Class activation maps, exact: the mean of a map and the bias make up the "
    "decision value. Zero is what the average training row gives.",
    OCCLUSION: "Occlusion on a grid of 8 x 8: by how much a gray patch over a place lowers the "
    "decision value. The classifier is not linear on averaged features, so that neither an exact "
    "map nor Grad-CAM is to be had.",
}

# Cells of the occlusion map along each side; a patch covers two by two of them.
CELLS = 8
_PATCH = 2

Map = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a model says what it says of one image, seen whole (view 0).

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_classes,)
        Calibrated, of this view alone.
    map : ndarray of float64, shape (rows, columns)
        By place. A class activation map has the decision, less the bias, as its mean. One of
        occlusion tells by how much a gray patch over the place lowers the decision.
    """

    name: str
    probabilities: npt.NDArray[np.float64]
    label: str
    toward: str
    decision: float
    map: Map
    bias: float | None

    @property
    def total(self) -> float | None:
        """The map's mean and the bias: the decision, if the map is exact."""
        return None if self.bias is None else float(self.map.mean()) + self.bias


class Explainer:
    """Explains what a fitted model says of images.

    Parameters
    ----------
    model : FeatureClassifier
        Fitted on a feature matrix.
    weights, weights_dir
        As in `featx.extract`.
    engine : {"auto", "keras", "openvino"}, default="auto"
        What runs the networks for occlusion.

    Raises
    ------
    UsageError
        If the model knows of no backbone, or the weights at hand are not those it was trained
        with.
    """

    def __init__(
        self,
        model: FeatureClassifier,
        *,
        weights: str | Path = "imagenet",
        weights_dir: str | Path | None = None,
        engine: str = "auto",
    ) -> None:
        recipes = [Recipe.from_dict(recipe) for recipe in model.recipes_ if "weights" in recipe]
        if not recipes or len(recipes) < len(model.recipes_):
            raise UsageError(
                "the model was fitted on features that no network made, so there is no place in "
                "an image to point at; fit one on a matrix of `featx extract`"
            )
        others = {recipe.precision for recipe in recipes} - {"float32"}
        if others:
            raise UsageError(
                f"the model was fitted on features computed in {others.pop()}; maps are made in "
                "float32, and would explain another decision: fit one on a matrix in float32"
            )
        self.model = model
        self._sights = [
            _Sight(recipe, find_recipe_weights(recipe, weights, weights_dir), engine)
            for recipe in recipes
        ]
        averaged = all(recipe.pooling == "average" for recipe in recipes)
        self._linear = linear_weights(model.pipeline_) if averaged else None

    @property
    def method(self) -> str:
        """`ACTIVATION` where the model is linear on averages of feature maps, else `OCCLUSION`."""
        return OCCLUSION if self._linear is None else ACTIVATION

    def explain(self, images: ImageDataset, index: int) -> Explanation:
        """Explain one image.

        Parameters
        ----------
        images : ImageDataset
            Labeled or not.
        index : int
            Which of them.

        Returns
        -------
        Explanation

        Raises
        ------
        UnreadableImageError
            If it cannot be decoded.
        """
        views = [sight.view(images, index) for sight in self._sights]
        if self._linear is None:
            return self._occlude(images.names[index], views)
        return self._activate(images.names[index], views, self._linear)

    def _activate(
        self, name: str, views: Sequence[npt.NDArray], linear: LinearWeights
    ) -> Explanation:
        maps = [sight.maps.of(view) for sight, view in zip(self._sights, views, strict=True)]
        row = np.concatenate([each.mean(axis=(0, 1)) for each in maps])[None]
        probabilities, label, toward, score = self._verdict(row)
        ends = np.cumsum([each.shape[2] for each in maps])[:-1]
        parts = zip(
            maps,
            np.split(linear.center, ends),
            np.split(linear.weights[score], ends),
            strict=True,
        )
        evidence = [(each.astype(np.float64) - center) @ weights for each, center, weights in parts]
        decision = float(np.ravel(self.model.pipeline_.decision_function(row))[score])
        bias = float(linear.bias[score])
        return Explanation(name, probabilities, label, toward, decision, add_maps(evidence), bias)

    def _occlude(self, name: str, views: Sequence[npt.NDArray]) -> Explanation:
        shown = [_covered(view) for view in views]
        blocks = [
            sight.engine.embed(batch) for sight, batch in zip(self._sights, shown, strict=True)
        ]
        rows = np.concatenate(blocks, axis=1)
        probabilities, label, toward, score = self._verdict(rows[:1])
        decision, *covered = self._decisions(rows, score)
        lost = decision - np.array(covered)
        return Explanation(name, probabilities, label, toward, decision, _spread(lost), None)

    def _verdict(self, row: npt.NDArray) -> tuple[npt.NDArray[np.float64], str, str, int]:
        """Return probabilities, class called, class mapped, and which score is that class's."""
        probabilities = self.model.predict_proba(row)
        label = str(self.model.decide(probabilities)[0])
        classes = [str(name) for name in self.model.classes_]
        if len(classes) == 2:
            return probabilities[0], label, classes[1], 0
        return probabilities[0], label, label, classes.index(label)

    def _decisions(self, rows: npt.NDArray, score: int) -> list[float]:
        scores = pipeline_scores(self.model.pipeline_, rows)
        return (scores if scores.ndim == 1 else scores[:, score]).tolist()


class _Engine(Protocol):
    def embed(self, pixels: npt.NDArray) -> npt.NDArray: ...


class _Maps(Protocol):
    def of(self, pixels: npt.NDArray) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True)
class _Sight:
    """One backbone of a model, and what it sees of an image."""

    recipe: Recipe
    weights: Weights
    engine_name: str

    def view(self, images: ImageDataset, index: int) -> npt.NDArray[np.float32]:
        recipe = self.recipe
        image = normalize(images.read(index, recipe.color), recipe.normalization)
        return make_view(image, "", 0, recipe.size, recipe.augmentation)

    @property
    def backbone(self) -> BackboneSpec:
        return get_backbone(f"{self.recipe.backbone}@{self.recipe.size[0]}")

    @cached_property
    def engine(self) -> _Engine:
        from featx.backbones.engines import make_engine

        return make_engine(
            self.backbone, self.weights, self.engine_name, pooling=self.recipe.pooling
        )

    @cached_property
    def maps(self) -> _Maps:
        from featx.backbones.feature_maps import FeatureMaps
        from featx.backbones.weights import load_base

        return FeatureMaps(load_base(self.backbone, self.weights), self.backbone)


def add_maps(maps: Sequence[Map]) -> Map:
    """Add maps of several backbones, on the finest of their grids.

    Parameters
    ----------
    maps : sequence of ndarray of float64, shape (rows, columns)
        One a backbone.

    Examples
    --------
    >>> add_maps([np.array([[1.0]]), np.array([[0.0, 2.0], [4.0, 2.0]])]).tolist()
    [[1.0, 3.0], [5.0, 3.0]]
    """
    rows, columns = (max(each.shape[axis] for each in maps) for axis in (0, 1))
    total = np.zeros((rows, columns))
    for each in maps:
        resized = cv2.resize(each, (columns, rows), interpolation=cv2.INTER_LINEAR)
        # Interpolation shifts the mean by a little, and the mean is the decision.
        total += resized + (each.mean() - resized.mean())
    return total


def _covered(view: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return a view as it is, then with a gray patch over each place in turn."""
    rows, columns = (np.linspace(0, side, CELLS + 1).round().astype(int) for side in view.shape[:2])
    places = CELLS - _PATCH + 1
    shown = np.repeat(view[None], 1 + places**2, axis=0)
    gray = view.mean()
    for place in range(places**2):
        top, left = divmod(place, places)
        height = slice(rows[top], rows[top + _PATCH])
        shown[1 + place, height, columns[left] : columns[left + _PATCH]] = gray
    return shown


def _spread(effects: npt.NDArray[np.float64]) -> Map:
    """Give each cell the mean effect of the patches that cover it."""
    places = CELLS - _PATCH + 1
    total, count = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    for place, effect in enumerate(effects):
        top, left = divmod(place, places)
        cells = np.s_[top : top + _PATCH, left : left + _PATCH]
        total[cells] += effect
        count[cells] += 1
    return total / count
