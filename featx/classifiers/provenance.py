"""Provenance of a model: versions, settings, counts, candidates, and the matrix's digest."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import featx
from featx.audit.membership import tuning_members
from featx.classifiers.config import FitConfig
from featx.classifiers.decision_scores import FORMAT, Scores, one_vs_rest_auc
from featx.classifiers.search import Candidate
from featx.classifiers.training_set import TrainingSet
from featx.errors import FeatxError, UsageError
from featx.features.lazy_rows import row_blocks
from featx.features.matrix import FeatureMatrix
from featx.metrics.ranking import ranked
from featx.runtime.versions import decisive_versions, library_versions


def describe_fit(
    config: FitConfig,
    training: TrainingSet,
    candidates: Sequence[Candidate],
    calibrated: Scores,
    n_splits: int,
    reduced: bool,
) -> dict[str, Any]:
    """Return everything about a fit that is stored with the model."""
    settings = _settings_of(config)
    counts = np.bincount(training.labels, minlength=len(training.classes)).tolist()
    rows, features = training.X.shape
    return {
        "featx": featx.__version__,
        "versions": {
            "python": platform.python_version(),
            **library_versions("skops"),
            **decisive_versions(),
        },
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
        "auc_out_of_fold": one_vs_rest_auc(training.labels, ranked(calibrated)),
        **({"reduced": {"components": features, "rows": rows}} if reduced else {}),
    }


def check_replaceable(path: Path, matrix: FeatureMatrix, config: FitConfig) -> None:
    """Refuse to replace a model of another matrix or other settings."""
    from featx.classifiers.model_file import load_model

    if not path.exists():
        return
    remedy = "give another --out, or --overwrite to replace it"
    try:
        facts = load_model(path).provenance_
    except FeatxError as error:
        raise UsageError(f"{path} exists and is not a model ({error}); {remedy}") from error
    wanted = _settings_of(config)
    changed = [name for name, value in wanted.items() if facts.get(name, value) != value]
    if facts.get("matrix_sha256") != matrix_digest(
        matrix.lazily().select_images(usable_images(matrix))
    ):
        changed.insert(0, "training images or features")
    if changed:
        raise UsageError(f"{path} is another model ({', '.join(changed)} differ); {remedy}")


def usable_images(matrix: FeatureMatrix) -> npt.NDArray[np.int64]:
    """Return the labeled images outside the test split that tuned no network of the features."""
    labeled = (matrix.labels >= 0) & (matrix.splits != "test")
    return np.flatnonzero(labeled & ~tuning_members(matrix))


def _settings_of(config: FitConfig) -> dict[str, Any]:
    """Return the settings that a model depends on."""
    settings = config.to_dict()
    for name in ("n_jobs", "memory"):
        del settings[name]
    return settings


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
