"""Feature maps of a frozen backbone, before pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from featx.backbones.engines import as_batch, pooled_model
from featx.backbones.registry import BackboneSpec
from featx.backbones.weights import Weights, load_base
from featx.runtime.process_state import network_state

__all__ = ["FeatureMaps", "make_maps"]


class FeatureMaps:
    """The last feature maps of a frozen backbone, computed by Keras on any of its back ends.

    Their mean over places is what average pooling makes of them.
    """

    def __init__(self, base: Any, backbone: BackboneSpec) -> None:
        self.base = base
        self.backbone = backbone
        self._models: dict[int, Any] = {}

    @network_state()
    def of(self, pixels: npt.NDArray) -> npt.NDArray[np.float32]:
        """Compute the maps of one view (intensities 0 to 255): shape (rows, columns, features)."""
        batch = as_batch(pixels[None], self.base.input_shape[1:3], self.backbone)
        channels = batch.shape[-1]
        if channels not in self._models:
            self._models[channels] = pooled_model(self.base, self.backbone, channels, None)
        return np.asarray(self._models[channels].predict_on_batch(batch)[0])


def make_maps(backbone: BackboneSpec, weights: Weights) -> FeatureMaps:
    """Load a network that computes feature maps."""
    return FeatureMaps(load_base(backbone, weights), backbone)
