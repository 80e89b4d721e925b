"""Metadata of a run (``run.json``): versions, settings, flow of images, audit."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import featx
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.data import AuditedData
from featx.runtime.files import library_versions

__all__ = ["FORMAT", "RunMetadata"]

FORMAT = 1

_LIBRARIES = ("scikit-learn", "scipy", "xgboost", "xgboost-cpu", "tensorflow", "tensorflow-cpu")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class RunMetadata:
    """Everything of a run that is known before its rows."""

    config: BenchmarkConfig
    data: AuditedData
    published: Sequence[dict[str, Any]] = ()
    started: str = field(default_factory=_now)
    clock: float = field(default_factory=time.perf_counter)

    def to_dict(self, learning_curve: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return plain values, with the seconds since the start."""
        return {
            "format": FORMAT,
            "started": self.started,
            "seconds": round(time.perf_counter() - self.clock, 1),
            "class_names": list(self.data.inspection.images.class_names),
            "versions": {
                "featx": featx.__version__,
                "python": platform.python_version(),
                **library_versions(*_LIBRARIES, "openvino"),
            },
            "settings": self.config.to_dict(),
            "learning_curve": list(learning_curve),
            "flow": self.data.flow(),
            "audit": self.data.audit.to_dict(),
            "published": list(self.published),
        }
