"""Estimates, confidence intervals and paired tests of classifiers.

Arrays in, estimates with intervals out, for the scores of any model; no TensorFlow, no network.

Examples
--------
>>> from featx import metrics
>>> print(metrics.auc([0, 0, 0, 1, 1, 1], [0.1, 0.3, 0.6, 0.5, 0.8, 0.9], groups=list("aabcdd")))
0.889 (0.082 to 0.999)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Calibration": "featx.metrics.estimates",
    "Interval": "featx.metrics.intervals",
    "Plan": "featx.metrics.planning",
    "auc": "featx.metrics.estimates",
    "balanced_accuracy": "featx.metrics.estimates",
    "brier": "featx.metrics.estimates",
    "calibration": "featx.metrics.estimates",
    "compare": "featx.metrics.estimates",
    "holm": "featx.metrics.paired_tests",
    "measure_pilot": "featx.metrics.planning",
    "net_benefit": "featx.metrics.estimates",
    "plan": "featx.metrics.planning",
    "sensitivity": "featx.metrics.estimates",
    "specificity": "featx.metrics.estimates",
}

__all__ = [*_HOMES]

if TYPE_CHECKING:
    from featx.metrics.estimates import Calibration as Calibration
    from featx.metrics.estimates import auc as auc
    from featx.metrics.estimates import balanced_accuracy as balanced_accuracy
    from featx.metrics.estimates import brier as brier
    from featx.metrics.estimates import calibration as calibration
    from featx.metrics.estimates import compare as compare
    from featx.metrics.estimates import net_benefit as net_benefit
    from featx.metrics.estimates import sensitivity as sensitivity
    from featx.metrics.estimates import specificity as specificity
    from featx.metrics.intervals import Interval as Interval
    from featx.metrics.paired_tests import holm as holm
    from featx.metrics.planning import Plan as Plan
    from featx.metrics.planning import measure_pilot as measure_pilot
    from featx.metrics.planning import plan as plan


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'featx.metrics' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
