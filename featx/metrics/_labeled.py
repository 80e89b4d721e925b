"""Images of two classes as users give them: labels, patients, predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.errors import UsageError
from featx.metrics.intervals import (
    Floats,
    Integers,
    Interval,
    number_patients,
    proportion_interval,
)
from featx.metrics.labels import check_of_rows, check_scores

__all__ = ["LabeledImages", "check_probabilities"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LabeledImages:
    """Checked images: which are positive, their patients, and the classes they were given as."""

    positive: Mask
    patients: Integers
    classes: npt.NDArray
    label: Any
    level: float

    @classmethod
    def of(
        cls,
        y_true: npt.ArrayLike,
        groups: npt.ArrayLike | None,
        pos_label: Any,
        level: float = 0.95,
    ) -> LabeledImages:
        """Check what the user gave."""
        if not 0 < level < 1:
            raise UsageError(f"level={level}: the coverage must be between 0 and 1, such as 0.95")
        given = np.asarray(y_true)
        n = len(given) if given.ndim else 1
        truth = check_of_rows("y_true", y_true, n)
        if n == 0:
            raise UsageError("y_true is empty; give at least one image")
        classes = np.unique(truth)
        label = _positive_class(classes) if pos_label is None else pos_label
        if pos_label is not None and label not in classes.tolist():
            raise UsageError(
                f"pos_label={label!r} is not among the classes of y_true, "
                f"{', '.join(map(repr, classes.tolist()[:4]))}; give one of these"
            )
        if groups is not None:
            groups = check_of_rows("groups", groups, n)
        return cls(truth == label, number_patients(groups, n), classes, label, level)

    def check_both(self) -> None:
        """Require images of both classes."""
        for name, mask in (("positive", self.positive), ("negative", ~self.positive)):
            self.check_any(mask, name)

    def check_any(self, mask: Mask, name: str) -> None:
        """Require an image of one class."""
        if not mask.any():
            raise UsageError(
                f"y_true has no {name} image (the positive class is {self.label!r}); give images "
                "of both classes, or another pos_label"
            )

    def predicted(self, y_pred: npt.ArrayLike, threshold: float | None) -> Mask:
        """Return which images are predicted as positive, by class or by score."""
        n = len(self.positive)
        if threshold is not None:
            return np.asarray(check_scores(y_pred, n) >= threshold)
        found = check_of_rows("y_pred", y_pred, n)
        known = {*self.classes.tolist(), *((0, 1) if self.classes.dtype.kind in "biuf" else ())}
        strange = sorted(set(found.tolist()) - known, key=str)
        # Two classes may lack one in y_true alone.
        if strange and (len(self.classes) > 1 or found.dtype.kind == "f"):
            raise UsageError(
                f"y_pred has {strange[0]!r}, which is no class of y_true; give predicted classes, "
                "or give scores and threshold="
            )
        return np.asarray(found == self.label)

    def proportion(self, outcome: Mask, among: Mask) -> Interval:
        """Return the proportion of some images that have an outcome."""
        self.check_any(among, "positive" if among is self.positive else "negative")
        return proportion_interval(outcome[among], self.patients[among], self.level)


def _positive_class(classes: npt.NDArray) -> Any:
    if len(classes) > 2:
        raise UsageError(
            f"y_true has {len(classes):,} classes; give pos_label, the class that is compared with "
            "the rest"
        )
    plain = classes.dtype.kind in "biuf" and set(classes.tolist()) <= {0, 1}
    if len(classes) == 1 and not plain:
        raise UsageError(
            f"y_true has one class alone, {classes[0].item()!r}; give images of both classes, or "
            "pos_label"
        )
    return 1 if plain else classes[-1].item()


def check_probabilities(y_prob: npt.ArrayLike, n_images: int) -> Floats:
    """Return one probability of each image."""
    probability = check_scores(y_prob, n_images)
    if not (probability.min() >= 0 and probability.max() <= 1):
        raise UsageError(
            f"y_prob runs from {probability.min():g} to {probability.max():g}; give probabilities "
            "from 0 to 1"
        )
    return probability
