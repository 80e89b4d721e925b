"""Costs of a row: parameters of the network, speed and memory."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featx.backbones.registry import BACKBONES
from featx.backbones.tuned import TUNED
from featx.features.matrix import FeatureMatrix
from featx.runtime import posix

_PROCESS = Path("/proc/self")


def network_parameters(recipes: Sequence[Mapping[str, Any]]) -> int | None:
    """Count the parameters of the networks of features, without classification layers.

    Examples
    --------
    >>> network_parameters([{"backbone": "mobilenetv2"}, {"backbone": "efficientnet_lite0"}])
    5671008
    >>> network_parameters([{"backbone": "control-histogram"}])
    """
    names = [recipe["backbone"].removeprefix(TUNED) for recipe in recipes]
    known = [BACKBONES[name].parameters for name in names if name in BACKBONES]
    known += [r["origin"]["parameters"] for r in recipes if "parameters" in r.get("origin", {})]
    return sum(known) if known else None


def extraction_rate(matrices: Sequence[FeatureMatrix]) -> float | None:
    """Return the number of views embedded per second, cached rows included."""
    seconds = sum(matrix.seconds for matrix in matrices)
    views = sum(len(set(matrix.digests)) * len(np.unique(matrix.view)) for matrix in matrices)
    return views / seconds if seconds > 0 else None


def start_memory_watch() -> None:
    """Reset the peak memory of this process, where Linux permits it."""
    with contextlib.suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5")


def peak_memory() -> int:
    """Return the peak memory of this process since the watch was started, in bytes."""
    with contextlib.suppress(OSError):
        for line in (_PROCESS / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return posix.peak_memory()
