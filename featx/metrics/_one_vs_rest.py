"""Figures of one class against the rest, and their means over classes, with intervals."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from featx.metrics.bootstrap import (
    basic_interval,
    calibration_error_interval,
    fraction_interval,
    resample_patients,
)
from featx.metrics.intervals import (
    Floats,
    Integers,
    Interval,
    correlation,
    effective_patients,
    mean_interval,
    proportion_interval,
    ratio_interval,
)
from featx.metrics.ranking import auc_interval, macro_auc_interval
from featx.metrics.resampled import TwoWayTask

__all__ = [
    "RESAMPLED",
    "figures_of_class",
    "mean_figures",
    "proportion_influences",
    "resample_tasks",
]

# Figures whose intervals come from resamples of patients.
RESAMPLED = (
    "mcc",
    "average_precision",
    "brier",
    "calibration_slope",
    "calibration_intercept",
    "expected_calibration_error",
)


def resample_tasks(
    tasks: list[TwoWayTask], numbers: Integers, n_bootstrap: int, random_state: int
) -> list[dict[str, Floats]]:
    """Measure every task in the same resamples of patients."""
    pieces: list[list[dict[str, Floats]]] = [[] for _ in tasks]
    for weights in resample_patients(numbers, n_bootstrap, random_state):
        for task, measured in zip(tasks, pieces, strict=True):
            measured.append(task.measure(weights))
    # A single patient cannot be resampled: every resample is the same.
    known = 1.0 if numbers.max() > 0 else np.nan
    return [
        {name: known * np.concatenate([piece[name] for piece in measured]) for name in measured[0]}
        for measured in pieces
    ]


def figures_of_class(
    task: TwoWayTask, replicates: dict[str, Floats], numbers: Integers, confidence: float
) -> dict[str, Interval]:
    """Return the figures of one class against the rest."""
    figures = {
        name: proportion_interval(outcome[among], numbers[among], confidence)
        for name, (outcome, among) in task.proportions.items()
    }
    influences = proportion_influences([task], ("sensitivity", "specificity"), numbers)
    parts = [figures["sensitivity"], figures["specificity"]]
    # F1 is 2 J / (1 + J) of the Jaccard index J, a proportion; nothing to find leaves it undefined.
    jaccard = figures.pop("jaccard") if task.positive.any() else Interval.undefined()
    f1 = [2 * bound / (1 + bound) for bound in (jaccard.value, jaccard.low, jaccard.high)]
    values = {name: float(whole[0]) for name, whole in task.unweighted.items()}
    trials = _patients_of_rarer(task.positive, numbers)
    return (
        figures
        | {
            "auc": auc_interval(task.positive, task.probability, confidence, numbers),
            "balanced_accuracy": mean_interval(parts, influences),
            "f1": Interval(*f1),
        }
        | _likelihood_ratios(parts[0], parts[1], influences)
        | _by_bootstrap(values, replicates, trials, confidence)
    )


def mean_figures(
    tasks: list[TwoWayTask],
    classes: list[dict[str, Interval]],
    resampled: list[dict[str, Floats]],
    numbers: Integers,
    confidence: float,
) -> dict[str, Interval]:
    """Return means over classes of figures that share patients."""
    figures = {
        name: mean_interval(
            [of_class["f1" if name == "jaccard" else name] for of_class in classes],
            proportion_influences(tasks, (name,), numbers),
        )
        for name in tasks[0].proportions
    }
    figures["f1"] = figures.pop("jaccard")
    # Not the mean over classes against the rest, to which specificities would add.
    figures["balanced_accuracy"] = figures["sensitivity"]
    values = {
        name: float(np.mean([task.unweighted[name][0] for task in tasks])) for name in RESAMPLED
    }
    replicates = {
        name: np.mean([measured[name] for measured in resampled], axis=0) for name in resampled[0]
    }
    trials = min(_patients_of_rarer(task.positive, numbers) for task in tasks)
    truth = np.argmax([task.positive for task in tasks], axis=0)
    columns = np.column_stack([task.probability for task in tasks])
    auc = macro_auc_interval(truth, columns, confidence, numbers)
    return {"auc": auc} | figures | _by_bootstrap(values, replicates, trials, confidence)


def _likelihood_ratios(
    sensitivity: Interval, specificity: Interval, influences: Floats
) -> dict[str, Interval]:
    # That of sensitivity and 1 - specificity, and of 1 - sensitivity and specificity.
    opposed = -correlation(influences[0], influences[1])
    return {
        "lr_positive": ratio_interval(sensitivity, _complement(specificity), opposed),
        "lr_negative": ratio_interval(_complement(sensitivity), specificity, opposed),
    }


def _complement(figure: Interval) -> Interval:
    return Interval(1 - figure.value, 1 - figure.high, 1 - figure.low)


def proportion_influences(
    tasks: list[TwoWayTask], names: tuple[str, ...], numbers: Integers
) -> Floats:
    """Return each patient's influence on proportions, a row for each task and name."""
    chosen = [task.proportions[name] for task in tasks for name in names]
    return np.array([proportion_influence(*each, numbers) for each in chosen])


def proportion_influence(
    outcome: npt.NDArray[np.bool_],
    among: npt.NDArray[np.bool_],
    numbers: Integers,
    n_patients: int = 0,
) -> Floats:
    """Return each patient's influence on a proportion, times its denominator."""
    proportion = outcome[among].mean() if among.any() else 0.0
    weights = (outcome - proportion) * among
    return np.bincount(numbers, weights, n_patients).astype(np.float64)


def _by_bootstrap(
    values: dict[str, float], replicates: dict[str, Floats], trials: float, confidence: float
) -> dict[str, Interval]:
    intervals = {}
    for name in RESAMPLED:
        value, resampled = values[name], replicates[name]
        if name == "expected_calibration_error":
            shifts = replicates["calibration_shift"]
            intervals[name] = calibration_error_interval(value, resampled, shifts, confidence)
        elif name.startswith("calibration"):
            intervals[name] = basic_interval(value, resampled, confidence)
        elif name == "mcc":
            # A correlation: half of 1 plus it is a fraction.
            found = fraction_interval((1 + value) / 2, (1 + resampled) / 2, trials, confidence, 0.1)
            ends = (math.nan if math.isnan(end) else 2 * end - 1 for end in (found.low, found.high))
            intervals[name] = Interval(value, *ends)
        else:
            assumed = 1e-6 if name == "brier" else 0.5
            intervals[name] = fraction_interval(value, resampled, trials, confidence, assumed)
    return intervals


def _patients_of_rarer(positive: npt.NDArray[np.bool_], numbers: Integers) -> float:
    """Return the effective number of patients of the rarer class that is present."""
    sides = (numbers[positive], numbers[~positive])
    return min(effective_patients(side) for side in sides if len(side))
