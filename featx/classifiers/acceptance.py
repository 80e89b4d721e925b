"""Evidence, from images of another place, on whether a model may be used there."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from featx.audit.findings import Finding
from featx.audit.typicality import cutoff
from featx.classifiers.acceptance_record import Acceptance, LocalLabels, ThresholdEffect
from featx.classifiers.adaptation import FEWEST_IMAGES, adapted_threshold, prediction_alignment
from featx.classifiers.calibration import probabilities
from featx.classifiers.inference import (
    audited,
    check_class_names,
    loaded,
    log_findings,
    needed_columns,
)
from featx.classifiers.predictions import Predictions
from featx.datasets.conversion import as_images
from featx.datasets.dataset import ImageDataset
from featx.datasets.rules import OpeningRules
from featx.datasets.tables.table import is_table
from featx.errors import UsageError
from featx.features.cache.file_hashes import hash_images
from featx.features.config import ExtractionConfig
from featx.metrics.intervals import Integers, Interval, number_patients, proportion_interval
from featx.metrics.ranking import auc_interval
from featx.metrics.tolerance import (
    fewest_patients,
    guaranteed_threshold,
    one_image_each,
    proportion_bound,
)

if TYPE_CHECKING:
    from featx.classifiers.classifier import FeatureClassifier

__all__ = ["accept"]

# Untypical images and drift: both intervals hold with the level asked for.
_LOOKS = 2

Floats = npt.NDArray[np.float64]


def accept(
    model: FeatureClassifier | str | PathLike,
    images: Any,
    *,
    labels: Any = None,
    patients: str | None = None,
    min_sensitivity: float = 0.95,
    level: float = 0.95,
    views: int | None = None,
    **settings: Any,
) -> Acceptance:
    """Collect evidence on whether a model suits images of another place.

    Without labels: how many images are unlike those of training, how far scores drifted, and what
    two adaptations would change. With labels of some patients: a threshold that keeps a sensitivity
    with certainty, or how many patients that takes. Images that the model was trained on, or of
    such patients, are left out.

    Parameters
    ----------
    model : FeatureClassifier or path-like
        Model of two classes fitted to a feature matrix, or its ``.skops`` file.
    images : path-like, sequence of path-like, data frame, arrays or ImageDataset
        Images of the place in any form; labels of theirs are not used.
    labels : path-like, data frame or ImageDataset, optional
        Labeled images of patients drawn at random from the place, in any form: `images` itself, or
        a table with columns ``path``, ``label`` and ``patient``, whose paths are relative to
        `images` where that is a folder.
    patients : str, optional
        Rule for patients, as in `ImageDataset.open`.
    min_sensitivity : float, default=0.95
        Wanted sensitivity, of a random image of a random patient of the positive class.
    level : float, default=0.95
        Certainty of it, over draws of patients, and coverage of the intervals.
    views, **settings
        As in `featx.predict`.

    Returns
    -------
    Acceptance
        With intervals clustered by patient.

    Raises
    ------
    UsageError
        If the model has more than two classes, or the labels are of one class or of others.

    Examples
    --------
    >>> featx.accept("svm.skops", "new_images").drift  # doctest: +SKIP
    """
    fitted = loaded(model)
    classes = [str(name) for name in fitted.classes_]
    if len(classes) != 2:
        raise UsageError(
            f"thresholds are of two classes, and the model has {len(classes)} ("
            f"{', '.join(classes)}); use featx.evaluate, or a model of one class against the rest"
        )
    fewest_patients(min_sensitivity, level)
    kept = needed_columns(fitted)
    rules = OpeningRules.take(settings, patients=patients, keep_columns=kept)
    # Rules for tables are those of the labels, and of images only if these are a table.
    shared = frozenset() if labels is None else frozenset(rules.__dataclass_fields__)
    dataset = as_images(images, rules=replace(rules, labeled=False, inherited=shared))
    # A table's own patients come before the rule, which may be that of images alone.
    own = replace(rules, class_names=classes, inherited=frozenset({"patients"}))
    few = None if labels is None else _labeled(labels, images, own)
    found, marked = audited(fitted, dataset, views, leaks="drop", **settings), None
    findings, digests = list(found.findings), {}
    if few is not None:
        check_class_names(few, classes)
        marked = _of_both_classes(audited(fitted, few, views, leaks="drop", **settings))
        # From the index of files: extraction has read them.
        hashed = hash_images(few, ExtractionConfig(cache=settings.get("cache")).cache_folder)
        digests = dict(zip(hashed.images.names, hashed.digests, strict=True))
        findings += [each for each in marked.findings if each not in findings]
    log_findings(findings)
    evidence = _Evidence(fitted, found, marked, digests, min_sensitivity, level)
    return evidence.collect(tuple(findings))


def _labeled(labels: Any, images: Any, rules: OpeningRules) -> ImageDataset:
    paths = all(isinstance(each, str | os.PathLike) for each in (labels, images))
    if rules.root is None and paths and is_table(os.fspath(labels)) and Path(images).is_dir():
        rules = replace(rules, root=images)
    return as_images(labels, rules=rules)


def _of_both_classes(marked: Predictions) -> Predictions:
    """Return the images with a label, which are of both classes."""
    marked = marked.select(np.flatnonzero(marked.labels >= 0))
    present = [marked.class_names[code] for code in np.unique(marked.labels)]
    if len(present) < 2:
        raise UsageError(
            f"the {len(marked):,} labeled images are of one class ({', '.join(present)}), and a "
            "threshold, its specificity and the AUC need both; label patients as they come"
        )
    return marked


@dataclass(frozen=True, eq=False)
class _Evidence:
    """A model's predictions of images, and of labeled ones with their digests."""

    model: FeatureClassifier
    found: Predictions
    marked: Predictions | None
    digests: Mapping[str, str]
    min_sensitivity: float
    level: float

    def collect(self, findings: tuple[Finding, ...]) -> Acceptance:
        """Return all figures."""
        found, model, own = self.found, self.model, self._own
        patients = number_patients(found.patients, len(found))
        together = 1 - (1 - self.level) / _LOOKS
        limit = untypical = reference = drift = None
        if model.typicality_ is not None and found.typicality is not None:
            limit = cutoff(len(model.typicality_["distances"]))
            untypical = proportion_interval(found.typicality <= limit, patients, together)
        # Models of before have none.
        if hasattr(model, "out_of_fold_scores_"):
            logits = model.calibration_.logits(model.out_of_fold_scores_)
            reference = probabilities(logits)[:, 1]
            drift = self._drift(reference, patients, together)
        thresholds, refused = self._thresholds(reference)
        return Acceptance(
            positive_class=found.class_names[1],
            n_images=len(found),
            n_patients=None if found.patients is None else int(patients.max()) + 1,
            min_sensitivity=self.min_sensitivity,
            level=self.level,
            expected_untypical=limit,
            untypical=untypical,
            drift=drift,
            training_prevalence=float(model.out_of_fold_labels_.mean()),
            training_positive=None if reference is None else float((reference >= own).mean()),
            thresholds=tuple(self._effect(*each) for each in thresholds.items()),
            refused=refused,
            local=None if self.marked is None else self._local(self.marked),
            findings=findings,
            unreadable=tuple(found.unreadable),
        )

    @property
    def _own(self) -> float:
        return float(self.model.threshold_)  # type: ignore[arg-type]

    def _drift(self, reference: Floats, patients: Integers, level: float) -> Interval:
        known = getattr(self.model, "out_of_fold_patients_", None)
        theirs = np.arange(len(reference)) if known is None else known
        owners = np.concatenate([patients, theirs + patients.max() + 1])
        scores = np.concatenate([self.found.probabilities[:, 1], reference])
        area = auc_interval(np.arange(len(owners)) < len(patients), scores, level, owners)
        return Interval(area.value, math.nan, math.nan) if known is None else area

    def _thresholds(self, reference: Floats | None) -> tuple[dict[str, float], str]:
        """Return thresholds by name, and the reason why none is adapted."""
        scores, thresholds = self.found.probabilities[:, 1], {"model": self._own}
        if len(scores) < FEWEST_IMAGES:
            return thresholds, f"{len(scores)} images are fewer than {FEWEST_IMAGES}"
        adapted = adapted_threshold(logit(scores))
        if adapted is None:
            return thresholds, "the scores form no two groups, as if all images were of one class"
        thresholds["adapted"] = adapted
        if reference is not None:
            values, aligned = prediction_alignment(scores, reference)
            above = float(np.nextafter(values[-1], 2.0))
            thresholds["aligned"] = float(np.interp(self._own, aligned, values, right=above))
        return thresholds, ""

    def _effect(self, name: str, threshold: float) -> ThresholdEffect:
        scores = self.found.probabilities[:, 1]
        called = scores >= threshold
        changed = int((called != (scores >= self._own)).sum())
        share = proportion_interval(called, self.found.patients, self.level)
        rates = () if self.marked is None else self._rates(self.marked, threshold)
        return ThresholdEffect(name, threshold, share, changed, *rates)

    def _rates(self, marked: Predictions, threshold: float) -> list[Interval]:
        """Return sensitivity and specificity."""
        positive, patients = marked.labels == 1, number_patients(marked.patients, len(marked))
        correct = (marked.probabilities[:, 1] >= threshold) == positive
        sides = (positive, ~positive)
        return [proportion_interval(correct[s], patients[s], self.level) for s in sides]

    def _local(self, marked: Predictions) -> LocalLabels:
        patients = number_patients(marked.patients, len(marked))
        scores, positive = marked.probabilities[:, 1], marked.labels == 1
        places = np.flatnonzero(positive)
        # By their bytes: other names of the same files draw nothing anew.
        keys = [self.digests[marked.names[place]] for place in places.tolist()]
        chosen = scores[places[one_image_each(keys, patients[places])]]
        threshold = guaranteed_threshold(chosen, self.min_sensitivity, self.level)
        n, detected = len(chosen), int((chosen >= self._own).sum())
        needed = fewest_patients(self.min_sensitivity, self.level)
        counted = int(patients.max()) + 1
        return LocalLabels(
            n_images=len(marked),
            n_patients=None if marked.patients is None else counted,
            n_positive=n,
            auc=auc_interval(positive, scores, self.level, patients),
            n_detected=detected,
            own_bound=proportion_bound(detected, n, self.level),
            threshold=threshold,
            specificity=None if threshold is None else self._rates(marked, threshold)[1],
            n_needed=needed,
            n_needed_in_all=math.ceil(needed * counted / n),
            most=proportion_bound(n, n, self.level),
        )
