"""One model as figures see it: truth, probability, and how it is drawn."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.classifiers.predictions import Predictions

__all__ = ["COLORS", "DrawnModel", "assign_styles"]

COLORS = 6
"""How many colors the style sheet has; the seventh model takes the first again, dashed."""

_DASHES = 4
_SHAPES = {"baseline": "square", "control": "triangle"}


@dataclass(frozen=True, eq=False)
class DrawnModel:
    """One class against the rest, as one model sees it.

    Parameters
    ----------
    positive : ndarray of bool, shape (n_images,)
        Which images are of the class.
    probability : ndarray of float64, shape (n_images,)
        Of the class.
    patients : ndarray of str, shape (n_images,), or None
        Whose image it is.
    """

    label: str
    style: str
    shape: str
    positive: npt.NDArray[np.bool_]
    probability: npt.NDArray[np.float64]
    patients: npt.NDArray[np.str_] | None
    threshold: float | None
    auc_text: str
    shown: bool

    @classmethod
    def of(
        cls,
        row: dict[str, Any],
        style: str,
        label: str,
        scored: Predictions,
        klass: int,
        shown: bool = True,
    ) -> DrawnModel:
        """Take one class of a row's scores."""
        two = len(scored.class_names) == 2
        auc = row.get("auc")
        return cls(
            label=label,
            style=style,
            shape=_SHAPES.get(row.get("kind", ""), "circle"),
            positive=scored.labels == klass,
            probability=scored.probabilities[:, klass],
            patients=scored.patients,
            threshold=row.get("threshold") if two else None,
            auc_text="unknown" if auc is None else f"{auc:.3f}",
            shown=shown,
        )

    @property
    def has_both_sides(self) -> bool:
        """Whether there are images of the class and of others, as every curve needs."""
        return bool(self.positive.any() and not self.positive.all())


def assign_styles(n_rows: int, first: Collection[int] = ()) -> list[str]:
    """Give each row its color and its dashes.

    Examples
    --------
    >>> assign_styles(3, first=[2])
    ['c1 d0', 'c2 d0', 'c0 d0']
    """
    order = sorted(range(n_rows), key=lambda place: (place not in first, place))
    styles = [""] * n_rows
    for number, place in enumerate(order):
        styles[place] = f"c{number % COLORS} d{number // COLORS % _DASHES}"
    return styles
