"""Scaling of features, those of a tuned network by one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from featx.backbones.tuned import TUNED

Blocks = tuple[tuple[int, int], ...]
"""Of each block of columns, the first and the one after the last."""


class BlockScaler(StandardScaler):
    """Standardize features; those of a block keep their variances relative to each other.

    Tuning makes large what tells the classes apart. Standardized one by one, features without
    information would weigh as much.
    """

    def __init__(self, blocks: Blocks = ()) -> None:
        super().__init__()
        self.blocks = blocks

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> BlockScaler:
        """Compute means and scales."""
        super().fit(X, y, sample_weight)
        share_scales(self, self.blocks)
        return self


def share_scales(scaler: StandardScaler, blocks: Blocks) -> None:
    """Give the columns of each block the root of their mean variance as scale."""
    for start, stop in blocks:
        scaler.scale_[start:stop] = math.sqrt(np.mean(scaler.var_[start:stop])) or 1.0


def tuned_blocks(feature_names: Sequence[str]) -> Blocks:
    """Return the blocks of columns of tuned networks, by the names of the features."""
    found, start = [], 0
    for block, columns in groupby(feature_names, lambda name: name.rpartition("_")[0]):
        stop = start + sum(1 for _ in columns)
        if block.startswith(TUNED):
            found.append((start, stop))
        start = stop
    return tuple(found)
