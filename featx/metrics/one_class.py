"""Classifiers that predict one class for all images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from featx.metrics.intervals import Interval

__all__ = ["OneClass"]


@dataclass(frozen=True)
class OneClass:
    """All images are predicted as one class although they are of several."""

    name: str
    # Of images that are of this class.
    proportion: float
    # Of the scores, of more than two classes the one-vs-rest mean.
    auc: Interval

    @property
    def off_center(self) -> bool:
        """Whether the ranking is better than chance, so that only the threshold is wrong."""
        return self.auc.low > 0.5

    @property
    def text(self) -> str:
        """What is predicted, in words."""
        proportion = f"{100 * self.proportion:.1f} % of the images are"
        return f"calls every image {self.name} ({proportion})"

    @classmethod
    def find(
        cls,
        labels: npt.NDArray[np.int64],
        predicted: npt.NDArray[np.int64],
        class_names: Sequence[str],
        auc: Interval,
    ) -> OneClass | None:
        """Return the class that is predicted for all images, None where several are.

        Examples
        --------
        >>> labels, predicted = np.array([0, 0, 1, 1]), np.array([1, 1, 1, 1])
        >>> found = OneClass.find(labels, predicted, "ab", Interval(0.8, 0.6, 0.9))
        >>> found.text, found.off_center
        ('calls every image b (50.0 % of the images are)', True)
        """
        only = int(predicted[0])
        if (predicted != only).any() or (labels == labels[0]).all():
            return None
        return cls(str(class_names[only]), float((labels == only).mean()), auc)
