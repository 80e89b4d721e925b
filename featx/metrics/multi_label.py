"""Averages over findings, each measured on images of its own, of patients who may be shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from featx.metrics.intervals import Floats, Integers, Interval, mean_interval, number_patients
from featx.metrics.ranking import auc_influence
from featx.metrics.resampled import TwoWayTask

__all__ = ["FindingScores", "macro_average"]

# Figures by the proportion whose influences say how they vary together; F1 follows from Jaccard's.
_PROPORTIONS = {name: name for name in ("sensitivity", "specificity", "ppv", "npv")}
_PROPORTIONS["f1"] = "jaccard"


@dataclass(frozen=True, eq=False)
class FindingScores:
    """Hold the predictions of one finding and the figures measured on them.

    Parameters
    ----------
    positive : ndarray of bool, shape (n_images,)
        Which images have the finding.
    probability : ndarray of float, shape (n_images,)
        Predicted probability of the finding.
    predicted : ndarray of bool, shape (n_images,)
        Which images are predicted to have it.
    patients : sequence of str, length n_images
        Patient of each image, under the same names for all findings.
    figures : mapping of str to Interval
        Figures of the finding, as in `featx.metrics.scores.Scores.metrics`.
    """

    positive: npt.NDArray[np.bool_]
    probability: Floats
    predicted: npt.NDArray[np.bool_]
    patients: Sequence[str]
    figures: dict[str, Interval]


def macro_average(findings: Sequence[FindingScores]) -> dict[str, Interval]:
    """Return the means of figures over findings, with intervals clustered by patient.

    The intervals are made from those of the findings (`mean_interval`). Findings are correlated
    because they share patients; the correlations follow from each patient's influence on the
    figures, 0 on those of findings that a patient has no image for.

    Parameters
    ----------
    findings : sequence of FindingScores
        At least one.

    Returns
    -------
    dict of str to Interval
        ``auc``, ``accuracy``, ``sensitivity``, ``specificity``, ``ppv``, ``npv`` and ``f1``; nan
        where the figure of any finding is.

    Examples
    --------
    >>> from featx.metrics.scores import evaluate
    >>> positive = np.arange(40) % 2 == 1
    >>> probability = np.where(positive, 0.6, 0.4) + np.arange(40) % 5 / 10 - 0.2
    >>> both = np.column_stack([1 - probability, probability])
    >>> figures = evaluate(positive.astype(int), both, class_names=("no", "yes")).metrics
    >>> one = FindingScores(positive, probability, probability >= 0.5, [*map(str, range(40))],
    ...                     figures)
    >>> print(figures["auc"], "|", macro_average([one, one])["auc"])
    0.800 (0.629 to 0.899) | 0.800 (0.629 to 0.899)
    """
    sizes = [len(each.positive) for each in findings]
    named = np.concatenate([np.asarray(each.patients, dtype=np.str_) for each in findings])
    numbers = np.split(number_patients(named, len(named)), np.cumsum(sizes)[:-1])
    total = 1 + max(int(each.max()) for each in numbers)
    pairs = [*zip(findings, numbers, strict=True)]
    influences = {
        "auc": [auc_influence(e.positive, e.probability, n)[1] for e, n in pairs],
        "accuracy": [_influence(e.positive == e.predicted, np.ones(len(n)), n) for e, n in pairs],
    }
    tasks = [(TwoWayTask(e.positive, e.probability, e.predicted), n) for e, n in pairs]
    for name, proportion in _PROPORTIONS.items():
        influences[name] = [_influence(*task.proportions[proportion], n) for task, n in tasks]
    return {
        name: mean_interval(
            [each.figures[name] for each in findings],
            np.nan_to_num([np.pad(row, (0, total - len(row))) for row in rows]),
        )
        for name, rows in influences.items()
    }


def _influence(outcome: npt.NDArray, among: npt.NDArray, patients: Integers) -> Floats:
    """Return each patient's influence on a proportion, times its denominator."""
    chosen = among.astype(bool)
    proportion = outcome[chosen].mean() if chosen.any() else 0.0
    return np.bincount(patients, weights=(outcome - proportion) * chosen).astype(np.float64)
