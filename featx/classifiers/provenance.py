"""Where a model comes from: versions, counts, and a digest of what it was fitted on."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib import metadata
from typing import Any

import numpy as np

import featx
from featx.classifiers.training import TrainingSet
from featx.features.lazy_rows import row_blocks
from featx.features.matrix import FeatureMatrix

__all__ = ["describe", "environment", "matrix_digest"]

_LIBRARIES = ("numpy", "scipy", "scikit-learn", "scikit-learn-intelex", "skops")
# The same library under two names: with and without its CUDA part.
_XGBOOST = ("xgboost", "xgboost-cpu")


def environment() -> dict[str, Any]:
    """Return the versions that a fitted value may depend on."""
    installed = {name: _version(name) for name in (*_LIBRARIES, *_XGBOOST)}
    versions = {name: version for name, version in installed.items() if version}
    return {
        "featx": featx.__version__,
        "versions": {"python": platform.python_version(), **versions},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def describe(training: TrainingSet) -> dict[str, Any]:
    """Count what was learned from."""
    counts = np.bincount(training.labels, minlength=len(training.classes))
    return {
        "images": len(training.labels),
        "rows": len(training.X),
        "patients": len(np.unique(training.patients)),
        "class_counts": {
            str(name): int(count) for name, count in zip(training.classes, counts, strict=True)
        },
    }


def matrix_digest(matrix: FeatureMatrix) -> str:
    """Return the SHA-256 of everything in a matrix that a fit depends on, in hexadecimal."""
    digest = hashlib.sha256()
    head = [matrix.digests, matrix.class_names, matrix.recipes, matrix.patients.tolist()]
    digest.update(json.dumps(head, sort_keys=True).encode())
    for _, block in row_blocks(matrix.X):
        digest.update(np.ascontiguousarray(block).data)
    for array in (matrix.image, matrix.view, matrix.labels):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
