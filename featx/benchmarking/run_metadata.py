"""What a run writes down of itself, for whoever reads its table: ``run.json``."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

import featx
from featx.audit.leakage import Inspection
from featx.benchmarking.protocol import Protocol
from featx.datasets.dataset import ImageDataset
from featx.runtime.files import library_versions

__all__ = ["FORMAT", "RunRecord", "flow_of_images"]

FORMAT = 1

_LIBRARIES = ("scikit-learn", "scipy", "xgboost", "xgboost-cpu", "tensorflow", "tensorflow-cpu")


class RunRecord:
    """Command, versions, settings, images, findings: all but the rows."""

    def __init__(
        self, command: str, class_names: tuple[str, ...], settings: Mapping[str, Any], **parts: Any
    ) -> None:
        self._clock = time.perf_counter()
        self._content: dict[str, Any] = {
            "format": FORMAT,
            "command": command,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": 0.0,
            "class_names": list(class_names),
            "versions": {
                "featx": featx.__version__,
                "python": platform.python_version(),
                **library_versions(*_LIBRARIES, "openvino"),
            },
            "settings": dict(settings),
            "learning_curve": [],
            **parts,
        }

    def to_dict(self, **parts: Any) -> dict[str, Any]:
        """Return everything, with the seconds since the start."""
        seconds = time.perf_counter() - self._clock
        self._content.update(parts, seconds=round(seconds, 1))
        return dict(self._content)


def flow_of_images(inspection: Inspection, protocol: Protocol) -> list[dict[str, Any]]:
    """Count the images from the folder to the table, as STARD and TRIPOD+AI ask."""
    n = len(inspection.images)
    readable = np.ones(len(inspection.fingerprints), dtype=bool)
    readable[list(inspection.fingerprints.unreadable)] = False
    images = inspection.images
    steps = [_step("found in the folder", images, inspection.owners, np.ones(n, dtype=bool))]
    if not readable[:n].all():
        steps.append(_step("unreadable, left out", images, inspection.owners, ~readable[:n]))
    left_out = ~protocol.in_test & ~protocol.in_train
    if left_out.any():
        told = "copies of tested images or patients, left out"
        steps.append(_step(told, images, inspection.owners, left_out & readable[:n]))
    for name, side in (("training", protocol.in_train), ("test", protocol.in_test)):
        steps.append(_step(name, images, inspection.owners, side & readable[:n]))
    start = n
    for name, external in inspection.externals.items():
        kept = readable[start : start + len(external)]
        steps.append(_step(f"external: {name}", external, external.patients, kept))
        start += len(external)
    return steps


def _step(
    name: str, images: ImageDataset, owners: npt.NDArray[np.str_], chosen: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    counts = np.bincount(images.labels[chosen], minlength=len(images.class_names)).tolist()
    return {
        "step": name,
        "images": int(chosen.sum()),
        "patients": len(np.unique(owners[chosen])) if images.patients_known else None,
        "classes": dict(zip(images.class_names, counts, strict=True)),
    }
