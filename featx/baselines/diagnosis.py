"""Diagnosis of a failed training, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from featx.metrics.one_class import OneClass
from featx.metrics.operating_point import decide
from featx.metrics.ranking import macro_auc_interval, ranked

# Equal probabilities cost ln(k); confident wrong predictions cost far more.
EXPLODED = 5.0

# Overfitting raises validation loss by this factor and lowers AUC by this much: loss alone also
# rises when a network with an equally good ranking becomes more confident.
OVERFIT = 1.5
OVERFIT_AUC = 0.02


def diagnose(
    history: Mapping[str, Sequence[float]],
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float64],
    class_names: Sequence[str],
) -> list[str]:
    """Describe how a training failed on its validation images; empty where it did not.

    Examples
    --------
    >>> history = {"loss": [0.6, 0.5], "val_loss": [7.9, 9.3], "val_auc": [0.5, 0.5]}
    >>> for line in diagnose(history, np.array([0, 1, 1]), np.tile([0.1, 0.9], (3, 1)), "ab"):
    ...     print(line)
    Collapsed: all 3 validation images are called b, right for the 67 % that are, and their
    ranking is not shown to be better than chance (AUC 0.50).
    Validation loss exploded in epoch 1: 7.90, where guessing costs 0.69.
    """
    found = [
        _one_class(history, labels, probabilities, class_names),
        _explosion(history, len(class_names)),
        _overfitting(history),
    ]
    return [sentence for sentence in found if sentence]


def area_under_curve(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]
) -> float:
    """Return the area under the ROC curve; of more than two classes, the one-vs-rest mean."""
    scores = probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities
    return float(roc_auc_score(labels, scores, multi_class="ovr"))


def _one_class(
    history: Mapping[str, Sequence[float]],
    labels: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float64],
    class_names: Sequence[str],
) -> str | None:
    auc = macro_auc_interval(labels, ranked(probabilities))
    found = OneClass.find(labels, decide(probabilities, None), class_names, auc)
    if found is None:
        return None
    what = (
        f"all {len(labels):,} validation images are called {found.name}, right for the "
        f"{100 * found.proportion:.0f} % that are"
    )
    if not found.off_center:
        shares = history.get("val_majority", ())
        first = next((epoch for epoch, part in enumerate(shares, start=1) if part == 1), None)
        since = f" The first epoch to do so is {first} of {len(shares)}." if first else ""
        return (
            f"Collapsed: {what}, and their ranking is not shown to be better than chance "
            f"(AUC {auc.value:.2f}).{since}"
        )
    return (
        f"Off center: by the likelier class, {what}; their ranking is better than chance "
        f"(AUC {auc.value:.2f}), so another threshold separates them better."
    )


def _explosion(history: Mapping[str, Sequence[float]], n_classes: int) -> str | None:
    guessing = math.log(n_classes)
    for epoch, loss in enumerate(history["val_loss"], start=1):
        if not loss <= EXPLODED * guessing:
            value = f"{loss:.2f}" if math.isfinite(loss) else "not a number"
            return (
                f"Validation loss exploded in epoch {epoch}: {value}, where guessing costs "
                f"{guessing:.2f}."
            )
    return None


def _overfitting(history: Mapping[str, Sequence[float]]) -> str | None:
    training, validation = history["loss"], history["val_loss"]
    if not all(map(math.isfinite, validation)):
        return None
    best = int(np.argmin(validation))
    lost = max(history["val_auc"]) - history["val_auc"][-1]
    rose = validation[-1] >= OVERFIT * validation[best]
    if not (rose and lost >= OVERFIT_AUC and training[-1] < training[best]):
        return None
    return (
        f"Training and validation loss diverge after epoch {best + 1}: training loss went from "
        f"{training[best]:.2f} to {training[-1]:.2f} while validation loss went from "
        f"{validation[best]:.2f} to {validation[-1]:.2f}: overfitting."
    )
