"""Pooling of the last feature maps to one vector per image."""

from __future__ import annotations

from typing import Any

from featx.backbones._keras import import_keras
from featx.errors import find_name

__all__ = ["POOLINGS", "QUADRANTS", "check_pooling", "pool"]

# In the order of the pooled features.
QUADRANTS = ("upper_left", "upper_right", "lower_left", "lower_right")

# Number of features per feature map.
POOLINGS = {"average": 1, "max": 1, "gem": 1, "quadrants": len(QUADRANTS)}

# Radenovic et al. start from 3; 1 is the mean, infinity the maximum.
_GEM_POWER = 3.0
_GEM_FLOOR = 1e-6


def check_pooling(method: str) -> str:
    """Return the registered spelling of a pooling.

    Examples
    --------
    >>> check_pooling("GeM")
    'gem'
    """
    return find_name("pooling", method, POOLINGS)


def pool(maps: Any, method: str) -> Any:
    """Pool maps of shape (n, height, width, channels) over their positions.

    References
    ----------
    .. [1] F. Radenovic, G. Tolias, O. Chum (2019), "Fine-tuning CNN image retrieval with no human
       annotation", TPAMI 41(7), doi 10.1109/TPAMI.2018.2846566, equation 3.
    """
    keras = import_keras()
    if method == "max":
        return keras.layers.GlobalMaxPooling2D(name="pool")(maps)
    if method == "gem":
        powers = keras.ops.power(keras.ops.maximum(maps, _GEM_FLOOR), _GEM_POWER)
        return keras.ops.power(keras.ops.mean(powers, axis=(1, 2)), 1 / _GEM_POWER)
    if method == "quadrants":
        height, width = maps.shape[1:3]
        halves = [(slice(0, -(-size // 2)), slice(size // 2, size)) for size in (height, width)]
        quarters = [
            keras.ops.mean(maps[:, rows, columns], axis=(1, 2))
            for rows in halves[0]
            for columns in halves[1]
        ]
        return keras.ops.concatenate(quarters, axis=-1)
    return keras.layers.GlobalAveragePooling2D(name="pool")(maps)
