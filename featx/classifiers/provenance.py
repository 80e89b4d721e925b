"""Provenance of a model: versions, settings, counts, candidates, and the matrix's digest."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np

import featx
from featx.classifiers.config import FitConfig
from featx.classifiers.decision_scores import FORMAT, Scores, one_vs_rest_auc
from featx.classifiers.search import Candidate
from featx.classifiers.training_set import TrainingSet
from featx.features.lazy_rows import row_blocks
from featx.features.matrix import FeatureMatrix
from featx.runtime.files import library_versions

__all__ = ["describe_fit", "matrix_digest"]

# XGBoost has two names: with and without its CUDA code.
_LIBRARIES = ("scipy", "scikit-learn", "scikit-learn-intelex", "skops", "xgboost", "xgboost-cpu")


def describe_fit(
    config: FitConfig,
    training: TrainingSet,
    candidates: Sequence[Candidate],
    scores: Scores,
    n_splits: int,
    reduced: bool,
) -> dict[str, Any]:
    """Return everything about a fit that is stored with the model."""
    settings = config.to_dict()
    for name in ("n_jobs", "memory"):
        del settings[name]
    counts = np.bincount(training.labels, minlength=len(training.classes)).tolist()
    rows, features = training.X.shape
    return {
        "featx": featx.__version__,
        "versions": {"python": platform.python_version(), **library_versions(*_LIBRARIES)},
        **settings,
        "images": len(training.labels),
        "rows": rows,
        "patients": len(np.unique(training.patients)),
        "class_counts": {
            str(name): count for name, count in zip(training.classes, counts, strict=True)
        },
        "n_splits": n_splits,
        "candidates": [{"parameters": c.parameters, "auc": c.auc} for c in candidates],
        "score_format": FORMAT,
        "auc_out_of_fold": one_vs_rest_auc(training.labels, scores),
        **({"reduced": {"components": features, "rows": rows}} if reduced else {}),
    }


def matrix_digest(matrix: FeatureMatrix) -> str:
    """Return the SHA-256 of all values that a fit depends on."""
    digest = hashlib.sha256()
    head = [matrix.digests, matrix.class_names, matrix.recipes, matrix.patients.tolist()]
    digest.update(json.dumps(head, sort_keys=True).encode())
    for _, block in row_blocks(matrix.X):
        digest.update(np.ascontiguousarray(block).data)
    for array in (matrix.image, matrix.view, matrix.labels):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
