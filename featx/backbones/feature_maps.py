"""Feature maps of a frozen backbone, before pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from featx.backbones._keras import import_keras
from featx.backbones.registry import BackboneSpec
from featx.backbones.weights import Weights, load_base

__all__ = ["FeatureMaps", "make_maps"]


class FeatureMaps:
    """The last feature maps of a frozen backbone, computed by Keras on any of its back ends.

    Their mean over places is what average pooling makes of them.
    """

    def __init__(self, base: Any, backbone: BackboneSpec) -> None:
        self.base = base
        self.backbone = backbone
        self._models: dict[int, Any] = {}

    def of(self, pixels: npt.NDArray) -> npt.NDArray[np.float32]:
        """Compute the maps of one view.

        Parameters
        ----------
        pixels : ndarray, shape (height, width) or (height, width, 3)
            Gray or RGB, 0 to 255, of the size that the network was loaded for.

        Returns
        -------
        ndarray of float32, shape (rows, columns, features)
        """
        view = np.asarray(pixels, dtype=np.float32)
        batch = (view[..., None] if view.ndim == 2 else view)[None]
        maps = self._model(batch.shape[-1]).predict_on_batch(batch)
        return np.asarray(maps, dtype=np.float32)[0]

    def _model(self, channels: int) -> Any:
        if channels not in self._models:
            keras = import_keras()
            inputs = keras.Input((*self.base.input_shape[1:3], channels), name="pixels")
            colors = keras.ops.repeat(inputs, 3, axis=-1) if channels == 1 else inputs
            maps = self.base(self.backbone.preprocessing(colors), training=False)
            self._models[channels] = keras.Model(inputs, maps, name=f"{self.backbone.name}_maps")
        return self._models[channels]


def make_maps(backbone: BackboneSpec, weights: Weights) -> FeatureMaps:
    """Load a network that computes feature maps."""
    return FeatureMaps(load_base(backbone, weights), backbone)
