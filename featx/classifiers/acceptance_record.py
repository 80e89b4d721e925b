"""Record of what images of another place show of a model, and its texts."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from featx import __version__
from featx.audit.findings import Finding
from featx.metrics.intervals import Interval
from featx.metrics.tolerance import fewest_patients

__all__ = ["Acceptance", "LocalLabels", "ThresholdEffect"]


@dataclass(frozen=True)
class ThresholdEffect:
    """Hold what one threshold on the model's probabilities does."""

    # "model": its own; "adapted": that of `featx.adapt`; "aligned": that of prediction alignment.
    name: str
    threshold: float
    # Proportion of the images predicted as positive, and how many the model decides otherwise.
    positive: Interval
    changed: int
    # Of the labeled images.
    sensitivity: Interval | None = None
    specificity: Interval | None = None


@dataclass(frozen=True)
class LocalLabels:
    """Hold what labeled images of the place show, with the certainty asked for.

    Positive patients are those with a positive image; one image of each counts.
    """

    n_images: int
    # None where patients are unknown: each image then counts as one.
    n_patients: int | None
    n_positive: int
    auc: Interval
    # Positive patients that the model's own threshold detects; its sensitivity is at least so much.
    n_detected: int
    own_bound: float
    # Threshold that has the wanted sensitivity; None where the patients are too few.
    threshold: float | None
    specificity: Interval | None
    # Least number of positive patients for it, and about how many patients have so many.
    n_needed: int
    n_needed_in_all: int
    # Greatest sensitivity that these patients can guarantee.
    most: float


@dataclass(frozen=True, repr=False)
class Acceptance:
    """Hold what `featx.accept` found: facts, no approval.

    What an older model does not know is None; images that it was trained on are left out.
    """

    positive_class: str
    n_images: int
    # None where patients are unknown: each image then counts as one.
    n_patients: int | None
    min_sensitivity: float
    level: float
    # Proportion of untypical images, and the greatest among images like those of training.
    untypical: Interval | None
    expected_untypical: float | None
    # Probability that an image scores above a training image out of fold; 0.5 without drift.
    drift: Interval | None
    # Proportions of training images that are positive, and predicted so out of fold.
    training_prevalence: float
    training_positive: float | None
    thresholds: tuple[ThresholdEffect, ...]
    # Reason why nothing is adapted.
    refused: str
    local: LocalLabels | None
    findings: tuple[Finding, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        labeled = f"{self.local.n_images:,} labeled" if self.local else "no labels"
        return f"Acceptance({self.n_images:,} images, {labeled})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        findings = [each.to_dict() for each in self.findings]
        return {"featx": __version__, **asdict(self), "findings": findings}

    def lines(self) -> list[str]:
        """Return the facts, and what they mean, as texts."""
        number = (
            "unknown, each image counts as one"
            if self.n_patients is None
            else f"{self.n_patients:,}"
        )
        return [
            f"{self.n_images:,} images, patients: {number}. Positive: {self.positive_class}.",
            self._typicality_text(),
            self._drift_text(),
            *map(self._threshold_text, self.thresholds),
            *([f"Nothing is adapted: {self.refused}."] if self.refused else []),
            *self._local_texts(),
            "These are facts on these images, not an approval. Not a medical device.",
        ]

    def _typicality_text(self) -> str:
        if self.untypical is None or self.expected_untypical is None:
            return (
                "Untypical images: unknown to this model, which an older featx fitted, or which "
                "uses columns alone."
            )
        more = self.untypical.low > self.expected_untypical
        meaning = "more: unlike what it has learned from" if more else "not shown to be more"
        limit = f"at most {self.expected_untypical:.1%} expected"
        return f"Untypical images: {self.untypical:.1%}; {limit}; {meaning}."

    def _drift_text(self) -> str:
        if self.drift is None:
            return "Drift of the scores: unknown; fit the model again with this featx."
        meaning = "none shown"
        if math.isnan(self.drift.low):
            meaning = "no interval, fit the model again with this featx"
        elif not self.drift.low <= 0.5 <= self.drift.high:
            meaning = "other cases or other devices, which labels alone can separate"
        return (
            "Drift of the scores: one here is above one of training with probability "
            f"{self.drift}, 0.5 without drift; {meaning}. In training "
            f"{self.training_prevalence:.1%} were positive, {self.training_positive:.1%} "
            "predicted so."
        )

    def _threshold_text(self, effect: ThresholdEffect) -> str:
        text = (
            f"Threshold {effect.threshold:.3f} ({effect.name}): {effect.positive:.1%} predicted "
            f"positive, {effect.changed:,} decisions changed"
        )
        if effect.sensitivity is not None:
            text += f"; sensitivity {effect.sensitivity}, specificity {effect.specificity}"
        return f"{text}."

    def _local_texts(self) -> list[str]:
        found, sure = self.local, f"with {100 * self.level:g} % certainty"
        if found is None:
            needed = fewest_patients(self.min_sensitivity, self.level)
            return [
                f"Sensitivity here: unknown. --labels of {needed:,} or more positive patients "
                f"gives a threshold of sensitivity {self.min_sensitivity:g} {sure}."
            ]
        known = found.n_patients is not None
        counted, unit = (found.n_patients, "patient") if known else (found.n_images, "image")
        text = f"{counted:,} {unit}s ({found.n_positive:,} positive)"
        of = f"{found.n_images:,} images of {text}" if known else f"{text}, patients unknown"
        enough = "enough" if found.own_bound >= self.min_sensitivity else "not shown to be enough"
        lines = [
            f"Labels: {of}; AUC {found.auc}.",
            f"The model's own threshold detects {found.n_detected:,} of {found.n_positive:,}"
            f"{', by one image each' * known}: sensitivity {found.own_bound:.3f} or more {sure}, "
            f"{enough}.",
        ]
        if found.threshold is None:
            lines.append(
                f"{text} are too few for sensitivity {self.min_sensitivity:g} {sure}: "
                f"{found.n_needed:,} positive are needed, about {found.n_needed_in_all:,} "
                f"{unit}s. These can guarantee {found.most:.3f} at most."
            )
        else:
            # Rounded down, which keeps the sensitivity.
            shown = math.floor(found.threshold * 1e6) / 1e6
            lines.append(
                f"Threshold {shown:g} has sensitivity {self.min_sensitivity:g} or more {sure}, by "
                f"{unit}, if the {unit}s were drawn at random; its specificity is "
                f"{found.specificity}."
            )
        if not known:
            lines.append(
                "Several images of one patient make all of this less certain: give their patients "
                "(--patients, or a column of the table)."
            )
        return lines
