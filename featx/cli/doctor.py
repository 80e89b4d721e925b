"""What this machine has that featx needs."""

from __future__ import annotations

import os
import platform
from importlib import metadata, util
from pathlib import Path
from typing import Any

from featx.cli.listings import backbone_rows
from featx.features.config import default_cache
from featx.runtime.files import TEMPORARY_PREFIX

__all__ = ["examine", "library_versions"]

_LIBRARIES = (
    "featx",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "openvino",
    "scikit-learn",
    "xgboost",
    "xgboost-cpu",
    "numpy",
    "scipy",
    "h5py",
    "pillow",
    "opencv-python-headless",
    "skops",
)


def examine(weights_dir: Path | None = None, cache: Path | None = None) -> dict[str, Any]:
    """Look at versions, engines, weights and the cache."""
    rows = backbone_rows(weights_dir)
    return {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": library_versions(),
        "engines": [name for name in ("keras", "openvino") if util.find_spec(name)],
        "weights at hand": [row["name"] for row in rows if row["weights_at_hand"]],
        "weights to download": [row["name"] for row in rows if not row["weights_at_hand"]],
        "cache": _cache(default_cache() if cache is None else cache),
    }


def library_versions() -> dict[str, str]:
    """Return the version of each library that decides results, or ``"not installed"``."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _cache(folder: Path) -> dict[str, Any]:
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    parts = list(folder.glob("*/part-*.h5"))
    return {
        "folder": str(folder),
        "writable": os.access(nearest, os.W_OK),
        "recipes": len({part.parent for part in parts}),
        "parts": len(parts),
        "bytes": sum(part.stat().st_size for part in parts),
        "set aside as damaged": len(list(folder.glob("*/damaged/*"))),
        "left by a kill": len(list(folder.glob(f"*/{TEMPORARY_PREFIX}*"))),
    }
