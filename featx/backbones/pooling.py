"""Pooling of feature maps to one vector per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.backbones._keras import import_keras
from featx.errors import find_name

if TYPE_CHECKING:
    from featx.backbones.brought import AnyBackbone

MULTI_DEPTH = "multi_depth"
# Of feature maps; tokens have no places that these need.
MAP_POOLINGS = ("average", "max", "gem", "quadrants", MULTI_DEPTH)
TOKEN_POOLINGS = ("average", "class", "tokens")
POOLINGS = tuple(dict.fromkeys((*MAP_POOLINGS, *TOKEN_POOLINGS)))

# In the order of the pooled features.
_QUADRANTS = ("upper_left", "upper_right", "lower_left", "lower_right")
_STATISTICS = ("mean", "std")

# Radenovic et al. start from 3; 1 is the mean, infinity the maximum.
_GEM_POWER = 3.0
_GEM_FLOOR = 1e-6

# Rounding noise of a constant map must not become a feature.
VARIANCE_FLOOR = 1e-12


def check_pooling(method: str) -> str:
    """Return the registered spelling of a pooling.

    Examples
    --------
    >>> check_pooling("GeM")
    'gem'
    """
    return find_name("pooling", method, POOLINGS)


def pooled_columns(backbone: AnyBackbone, method: str) -> list[str]:
    """Return a distinct word for each pooled feature of a backbone.

    Examples
    --------
    >>> from featx.backbones.registry import get_backbone
    >>> pooled_columns(get_backbone("vgg16"), "average")[:2]
    ['0', '1']
    >>> pooled_columns(get_backbone("vgg16"), "multi_depth")[256:258]
    ['block3_pool_std_0', 'block3_pool_std_1']
    """
    blocks = [("", backbone.features)]
    if method == "quadrants":
        blocks = [(f"{place}_", backbone.features) for place in _QUADRANTS]
    if method == MULTI_DEPTH:
        blocks = [
            (f"{stage.layer}_{statistic}_", stage.channels)
            for stage in backbone.stages
            for statistic in _STATISTICS
        ]
    return [f"{prefix}{number}" for prefix, count in blocks for number in range(count)]


def pool(maps: Sequence[Any], method: str) -> Any:
    """Pool maps, each of shape (n, height, width, channels), over their positions.

    Maps are Keras tensors or arrays. Of several maps the mean and the standard deviation of each
    channel are taken.

    References
    ----------
    .. [1] F. Radenovic, G. Tolias, O. Chum (2019), "Fine-tuning CNN image retrieval with no human
       annotation", TPAMI 41(7), doi 10.1109/TPAMI.2018.2846566, equation 3.
    """
    layers = None if isinstance(maps[0], np.ndarray) else import_keras().layers
    ops = import_keras().ops if layers else np
    if method == MULTI_DEPTH:
        statistics = [part for each in maps for part in _mean_and_deviation(each, ops)]
        return ops.concatenate(statistics, axis=-1)
    (last,) = maps
    if method == "max":
        return layers.GlobalMaxPooling2D(name="pool")(last) if layers else last.max(axis=(1, 2))
    if method == "gem":
        powers = ops.power(ops.maximum(last, _GEM_FLOOR), _GEM_POWER)
        return ops.power(ops.mean(powers, axis=(1, 2)), 1 / _GEM_POWER)
    if method == "quadrants":
        height, width = last.shape[1:3]
        halves = [(slice(0, -(-size // 2)), slice(size // 2, size)) for size in (height, width)]
        quarters = [
            ops.mean(last[:, rows, columns], axis=(1, 2))
            for rows in halves[0]
            for columns in halves[1]
        ]
        return ops.concatenate(quarters, axis=-1)
    return layers.GlobalAveragePooling2D(name="pool")(last) if layers else last.mean(axis=(1, 2))


def _mean_and_deviation(maps: Any, ops: Any) -> tuple[Any, Any]:
    """Return the mean and, in a second pass that cannot cancel, the standard deviation."""
    mean = ops.mean(maps, axis=(1, 2), keepdims=True)
    variance = ops.mean(ops.square(maps - mean), axis=(1, 2))
    return mean[:, 0, 0], ops.sqrt(ops.maximum(variance, VARIANCE_FLOOR))
