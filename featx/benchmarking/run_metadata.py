"""Metadata of a run (``run.json``): versions, settings, flow of images, audit."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import featx
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.data import AuditedData
from featx.runtime.files import library_versions

__all__ = ["run_metadata"]

_FORMAT = 1

_LIBRARIES = ("scikit-learn", "scipy", "xgboost", "xgboost-cpu", "tensorflow", "tensorflow-cpu")


def run_metadata(
    config: BenchmarkConfig,
    data: AuditedData,
    published: Sequence[dict[str, Any]],
    started: datetime,
    learning_curve: Sequence[dict[str, Any]],
    finished: bool,
) -> dict[str, Any]:
    """Return the plain values of ``run.json``, with the seconds since the start."""
    return {
        "format": _FORMAT,
        "finished": finished,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
        "class_names": list(data.inspection.images.class_names),
        "versions": {
            "featx": featx.__version__,
            "python": platform.python_version(),
            **library_versions(*_LIBRARIES, "openvino"),
        },
        "settings": config.to_dict(),
        "inputs": data.inputs,
        "learning_curve": list(learning_curve),
        # Of all images under "", of external validation sets under their names.
        "inventory": {
            name: images.inventory.to_dict()
            for name, images in {"": data.inspection.images, **data.inspection.externals}.items()
        },
        "flow": data.flow(),
        "audit": data.audit.to_dict(),
        "published": list(published),
    }
