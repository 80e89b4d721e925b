#!/usr/bin/env python
"""Found coverage of the 95 % intervals of means over findings, or over groups left out.

    python scripts/bench/mean_coverage.py [--repeats 300] [--seed 0]

Scores are normal within a class; a patient's images share half of the variance, in all findings
and groups. "Difference" is of the mean AUC of a second classifier, whose scores share half of the
remaining variance. Findings are of the same patients, and each is unknown for some images. Of
groups, a third of the patients of each is in the next one, too. True areas are drawn for every
part of every sample, because coverage at one value oscillates with the counts. Prints a Markdown
table.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from scipy import special

from featx.metrics.multi_label import FindingScores, macro_auc_difference, macro_average
from featx.metrics.scores import evaluate

FIGURES = ("auc", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "difference")
PREVALENCES = (0.5, 0.35, 0.25)


def members(kind, n_patients):
    """Return the patients of each of three parts."""
    if kind == "findings":
        return [np.arange(n_patients)] * 3
    step = 2 * n_patients // 3
    return [np.arange(place * step, place * step + n_patients) for place in range(3)]


def draw_part(generator, patients, effects, prevalence, images, areas):
    """Return the predictions of one finding or group, and the true figures."""
    area = generator.uniform(*areas)
    sizes = generator.integers(1, 1 + images, len(patients))
    positive = np.repeat(generator.random(len(patients)) < prevalence, sizes)
    owner = np.repeat(patients, sizes)
    known = generator.random(len(owner)) < 0.9
    positive, owner = positive[known], owner[known]
    distance = np.sqrt(2) * special.ndtri(area)
    noise = generator.normal(size=len(owner))
    scores = distance * positive + np.sqrt(0.5) * (effects[owner] + noise)
    cut = distance / 2 + generator.uniform(-0.3, 0.3)
    p, cutoff = special.expit(scores), float(special.expit(cut))
    both = np.column_stack([1 - p, p])
    labels = positive.astype(np.int64)
    found = evaluate(
        labels,
        both,
        threshold=cutoff,
        class_names=("no", "yes"),
        patients=owner,
        n_bootstrap=2,
    )
    sensitivity, specificity = special.ndtr(distance - cut), special.ndtr(cut)
    tp, tn = prevalence * sensitivity, (1 - prevalence) * specificity
    fn, fp = prevalence - tp, 1 - prevalence - tn
    truth = (area, tp + tn, sensitivity, specificity, tp / (tp + fp), tn / (tn + fn))
    called = (p >= cutoff).astype(np.int64)
    part = FindingScores(labels, both, called, owner.astype(str), found.metrics)
    # Figures of the other classifier are not needed for differences of AUC.
    other_area = generator.uniform(*areas)
    noise = np.sqrt(0.5) * (noise + generator.normal(size=len(owner)))
    scores = np.sqrt(2) * special.ndtri(other_area) * positive
    p = special.expit(scores + np.sqrt(0.5) * (effects[owner] + noise))
    other = FindingScores(labels, np.column_stack([1 - p, p]), called, part.patients, {})
    return part, other, (*truth, 2 * tp / (2 * tp + fp + fn), area - other_area)


def measure(kind, n_patients, images, areas, repeats, seed):
    """Return the proportion of intervals that hold the true mean, by figure."""
    generator = np.random.default_rng(seed)
    inside = np.zeros(len(FIGURES))
    of_parts = members(kind, n_patients)
    for _ in range(repeats):
        effects = generator.normal(size=1 + max(int(each.max()) for each in of_parts))
        drawn = [
            draw_part(generator, each, effects, prevalence, images, areas)
            for each, prevalence in zip(of_parts, PREVALENCES, strict=True)
        ]
        first, second, truths = zip(*drawn, strict=True)
        found = macro_average(first) | {"difference": macro_auc_difference(first, second)}
        truth = np.mean(truths, axis=0)
        for place, name in enumerate(FIGURES):
            inside[place] += found[name].low <= truth[place] <= found[name].high
    return inside / repeats


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("| Mean over three | Patients of each | Images of each | AUC | " + " | ".join(FIGURES)
          + " |\n|" + "---|" * (4 + len(FIGURES)))  # fmt: skip
    for kind in ("findings", "groups"):
        for n_patients in (60, 200, 400):
            for images in (1, 5):
                for areas in ((0.8, 0.9), (0.94, 0.97)):
                    found = measure(kind, n_patients, images, areas, given.repeats, given.seed)
                    shown = " | ".join(f"{100 * each:.0f} %" for each in found)
                    print(f"| {kind} | {n_patients} | {'1' if images == 1 else f'1 to {images}'} | "
                          f"{areas[0]:g} to {areas[1]:g} | {shown} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
