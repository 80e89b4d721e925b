"""Records of a backbone: architecture, preprocessing, and published weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.backbones._keras import import_keras


@dataclass(frozen=True)
class Preprocessing:
    """Affine map from pixels to the input a network was trained on.

    Examples
    --------
    >>> from featx.backbones.registry import get_backbone
    >>> tf_mode = get_backbone("inceptionv3").preprocessing
    >>> tf_mode(np.array([[0.0, 127.5, 255.0]], dtype=np.float32))
    array([[-1.,  0.,  1.]], dtype=float32)
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    bgr: bool = False

    def __call__(self, pixels: Any) -> Any:
        """Map pixels, an array or a Keras tensor of shape (..., 3), RGB from 0 to 255."""
        if not (any(self.mean) or self.bgr or {*self.scale} - {1.0}):
            return pixels
        ops = np if isinstance(pixels, np.ndarray) else import_keras().ops
        if self.bgr:
            pixels = ops.flip(pixels, axis=-1)
        centered = ops.subtract(pixels, np.asarray(self.mean, dtype=np.float32))
        return ops.divide(centered, np.asarray(self.scale, dtype=np.float32))


@dataclass(frozen=True)
class WeightFile:
    """A published file of weights."""

    name: str
    url: str | None = None
    md5: str | None = None
    sha256: str | None = None
    package: str | None = None


@dataclass(frozen=True)
class Stage:
    """Output of a group of layers that share one resolution, by the name of the last layer."""

    layer: str
    channels: int
    # Input pixels per place of the map along each side, about.
    stride: int


@dataclass(frozen=True, repr=False)
class BackboneSpec:
    """A convolutional network without its classification layer.

    Parameters
    ----------
    name : str
        Name on the command line and in `get_backbone`.
    title : str
        Name in its paper.
    builder : str
        Dotted path of the callable that builds the network.
    size : tuple of int
        Height and width of the input in pixels.
    minimum_size : int
        Smallest height and width of the input in pixels.
    stages : tuple of Stage
        Stages from about 1/8 of the input's resolution on; the last is the network's output.
    parameters : int
        Number of weights without the classification layer.
    preprocessing : Preprocessing
        Map from pixels (0 to 255) to the network's input.
    license : str
        License of the ImageNet weights, as stated by their publisher.
    source : str
        Origin of the ImageNet weights.
    weight_file : WeightFile
        Published file of the ImageNet weights.
    keras_name : str
        Name of its Keras module, also accepted in the file names of weights.

    Examples
    --------
    >>> from featx.backbones.registry import get_backbone
    >>> get_backbone("vgg16")
    <BackboneSpec vgg16: 224 x 224 pixels, 512 features, 14,714,688 parameters>
    """

    name: str
    title: str
    builder: str
    size: tuple[int, int]
    minimum_size: int
    stages: tuple[Stage, ...]
    parameters: int
    preprocessing: Preprocessing
    license: str
    source: str
    weight_file: WeightFile
    keras_name: str

    def __repr__(self) -> str:
        height, width = self.size
        return (
            f"<BackboneSpec {self.name}: {height} x {width} pixels, {self.features:,} features, "
            f"{self.parameters:,} parameters>"
        )

    @property
    def features(self) -> int:
        """Channels of the last feature map: features after global average pooling."""
        return self.stages[-1].channels

    @property
    def weight_names(self) -> tuple[str, ...]:
        """File names of weights in a directory, in order of preference."""
        own = [f"{self.name}_notop.weights.h5", f"{self.keras_name}_notop.weights.h5"]
        return tuple(dict.fromkeys([*own, self.weight_file.name]))
