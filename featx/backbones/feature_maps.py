"""Maps of a frozen backbone whose means over places are its features."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from featx.backbones.engines import as_batch, maps_model
from featx.backbones.pooling import MULTI_DEPTH, VARIANCE_FLOOR
from featx.backbones.spec import BackboneSpec
from featx.backbones.weights import Weights, load_base
from featx.runtime.process_state import network_state


class FeatureMaps:
    """Feature maps of a frozen backbone, computed by Keras on any of its back ends.

    Their means over places are the features of pooling ``"average"`` or ``"multi_depth"``.
    """

    def __init__(self, base: Any, backbone: BackboneSpec, pooling: str = "average") -> None:
        self.base = base
        self.backbone = backbone
        self.pooling = pooling
        self._models: dict[int, Any] = {}

    @network_state()
    def of(self, pixels: npt.NDArray) -> list[npt.NDArray[np.float64]]:
        """Compute maps of one view, shape (height, width[, 3]), in the order of the features.

        Maps have shape (rows, columns, channels); with ``"multi_depth"`` those of each stage are
        followed by the shares of places in their standard deviations.
        """
        batch = as_batch(pixels[None], self.base.input_shape[1:3], self.backbone)
        channels = batch.shape[-1]
        if channels not in self._models:
            self._models[channels] = maps_model(self.base, self.backbone, channels, self.pooling)
        outputs = self._models[channels].predict_on_batch(batch)
        if self.pooling != MULTI_DEPTH:
            # Keras returns a single output without its list.
            return [np.asarray(outputs[0], dtype=np.float64)]
        maps = [np.asarray(output[0], dtype=np.float64) for output in outputs]
        return [part for each in maps for part in (each, _deviation_shares(each))]


def make_maps(backbone: BackboneSpec, weights: Weights, pooling: str) -> FeatureMaps:
    """Load a network that computes feature maps."""
    return FeatureMaps(load_base(backbone, weights), backbone, pooling)


def _deviation_shares(maps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Divide each channel's standard deviation among places by their squared differences.

    The shares' mean is the standard deviation, since it is the mean square divided by itself.
    """
    squares = (maps - maps.mean(axis=(0, 1))) ** 2
    variance = squares.mean(axis=(0, 1))
    deviation = np.sqrt(np.maximum(variance, VARIANCE_FLOOR))
    return (squares - variance) / deviation + deviation
