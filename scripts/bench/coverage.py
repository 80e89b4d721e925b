#!/usr/bin/env python
"""Found coverage of the 95 % intervals: new samples are drawn from classifiers of known figures.

    python scripts/bench/coverage.py [--repeats 2000] [--seed 0] [--only auc,balanced_accuracy]
    python scripts/bench/coverage.py --subgroups [--repeats 400]
    python scripts/bench/coverage.py --plans [--repeats 300]

Scores are normal within a class (positive ones with another spread where the table says so), a
patient's images share half of the variance. True figures are drawn from a range for every
sample, because coverage at one value oscillates with the counts (Brown, Cai, DasGupta 2001).
"before" is what featx computed until then: DeLong's variance on the logit scale with Clopper and
Pearson's bound at 1, Wilson's interval with a linearized design effect, the bootstrap on the
logit scale. Prints a Markdown table.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from scipy import special, stats

from featx import metrics
from featx.metrics.bootstrap import resample_patients
from featx.metrics.scores import evaluate
from featx.metrics.subgroups import subgroup_scores

SHARED = 0.5


@dataclass(frozen=True)
class Design:
    """Patients of each class, images of a patient, range of the true area, spread of positives.

    In a cohort the classes of the patients are drawn, too: what PPV, NPV and F1 are estimated for.
    """

    positive: int
    negative: int
    images: str = "1"
    area: tuple[float, float] = (0.85, 0.95)
    spread: float = 1.0
    cohort: bool = False

    def sizes(self, generator, n):
        """Return the number of images of each patient."""
        if self.images == "1 to 30":
            return generator.integers(1, 31, n)
        if self.images == "1, few 30":
            return np.where(generator.random(n) < 0.9, 1, 30)
        return np.full(n, int(self.images))

    def draw(self, generator):
        """Return labels, scores, patients and the true area."""
        area = generator.uniform(*self.area)
        distance = special.ndtri(area) * np.hypot(1, self.spread)
        sizes = self.sizes(generator, self.positive + self.negative)
        patients = np.repeat(np.arange(len(sizes)), sizes)
        positive = self.positive
        if self.cohort:
            positive = generator.binomial(len(sizes), positive / len(sizes))
        labels = patients < np.clip(positive, 2, len(sizes) - 2)
        own, shared = generator.normal(size=len(patients)), generator.normal(size=len(sizes))
        one_each = sizes.max() == 1
        noise = own if one_each else np.sqrt(SHARED) * shared[patients] + np.sqrt(1 - SHARED) * own
        return labels, noise * np.where(labels, self.spread, 1) + distance * labels, patients, area


@dataclass(frozen=True)
class Sample:
    """Images with their scores, the threshold, and the true figures."""

    labels: np.ndarray
    scores: np.ndarray
    patients: np.ndarray
    cut: float
    truth: dict

    @classmethod
    def of(cls, design, generator):
        """Draw images and a threshold near the best one."""
        labels, scores, patients, area = design.draw(generator)
        distance = special.ndtri(area) * np.hypot(1, design.spread)
        cut = distance / (1 + design.spread) + generator.uniform(-0.3, 0.3)
        sensitivity = special.ndtr((distance - cut) / design.spread)
        specificity = special.ndtr(cut)
        tp, fp = design.positive * sensitivity, design.negative * (1 - specificity)
        fn, tn = design.positive - tp, design.negative - fp
        truth = {"auc": area, "sensitivity": sensitivity}
        truth["balanced_accuracy"] = (sensitivity + specificity) / 2
        truth["lr_positive"] = sensitivity / (1 - specificity)
        truth["lr_negative"] = (1 - sensitivity) / specificity
        sides = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
        truth["mcc"] = (tp * tn - fp * fn) / sides
        truth["ppv"] = tp / (tp + fp)
        truth["f1"] = 2 * tp / (2 * tp + fp + fn)
        return cls(labels, scores, patients, cut, truth)


def found_now(sample, figures):
    """Return the bounds of some figures by featx."""
    probability = special.expit(sample.scores)
    scores = evaluate(
        sample.labels.astype(np.int64),
        np.column_stack([1 - probability, probability]),
        threshold=float(special.expit(sample.cut)),
        class_names=("negative", "positive"),
        patients=sample.patients,
        n_bootstrap=200 if "mcc" in figures else 2,
    )
    return {name: (scores.metrics[name].low, scores.metrics[name].high) for name in figures}


def found_before(sample, figures):
    """Return the bounds as featx computed them before."""
    called = sample.scores >= sample.cut
    bounds = {}
    for name in figures:
        if name == "auc":
            bounds[name] = logit_delong(sample)
        elif name in ("sensitivity", "ppv"):
            outcome, among = (
                (called, sample.labels) if name == "sensitivity" else (sample.labels, called)
            )
            bounds[name] = linearized_wilson(outcome[among], sample.patients[among])
    left = [name for name in figures if name not in bounds]
    return bounds | (logit_bootstrap(sample, called, left) if left else {})


def logit_delong(sample):
    """Return bounds by DeLong's variance on the logit scale, or Clopper and Pearson's at 1."""
    positive, scores = sample.labels, sample.scores
    ranks = stats.rankdata(scores)
    variance, members = 0.0, []
    for side in (positive, ~positive):
        beaten = (ranks[side] - stats.rankdata(scores[side])) / (~side).sum()
        sums = np.bincount(sample.patients[side], beaten - beaten.mean()) / len(beaten)
        members.append(len(np.unique(sample.patients[side])))
        variance += sums @ sums * members[-1] / (members[-1] - 1)
    area = 1 - beaten.mean()
    return (0.025 ** (1 / min(members)), 1.0) if area == 1 else logit_bounds(area, variance)


def logit_bounds(value, variance):
    """Return bounds that are symmetric on the logit scale."""
    half = 1.96 * np.sqrt(variance) / (value * (1 - value))
    return special.expit(special.logit(value) - half), special.expit(special.logit(value) + half)


def linearized_wilson(outcome, patients):
    """Return Wilson's bounds with a linearized design effect."""
    n, share = len(outcome), outcome.mean()
    images = np.unique(patients, return_counts=True)[1]
    residuals = outcome - share
    spread, groups = residuals @ residuals, len(images)
    sums = np.bincount(patients, residuals)
    effect = images @ images / n
    if spread > 0 and groups > 1:
        effect = sums @ sums * groups / (groups - 1) * (n - 1) / (n * spread)
    trials = n if groups == n else n / max(1.0, effect)
    squared = 1.96**2 / trials
    half = np.sqrt(squared * (share * (1 - share) + squared / 4)) / (1 + squared)
    middle = (share + squared / 2) / (1 + squared)
    return middle - half, middle + half


def logit_bootstrap(sample, called, figures):
    """Return bounds by the standard error of resamples of patients."""
    weights = np.concatenate(list(resample_patients(sample.patients, 300, 0)))
    cells = np.column_stack(
        [
            sample.labels & called,
            sample.labels & ~called,
            ~sample.labels & called,
            ~sample.labels & ~called,
        ]
    ).astype(float)
    rows = np.vstack([np.ones(len(called)), weights]) @ cells
    tp, fn, fp, tn = np.maximum(rows, 1e-12).T
    every = {
        "balanced_accuracy": (tp / (tp + fn) + tn / (tn + fp)) / 2,
        "f1": 2 * tp / (2 * tp + fn + fp),
    }
    bounds = {}
    for name in figures:
        value, replicates = every[name][0], every[name][1:]
        if 1e-9 < value < 1 - 1e-9:
            bounds[name] = logit_bounds(value, replicates.var(ddof=1))
        else:
            counts = [
                len(np.unique(sample.patients[side])) for side in (sample.labels, ~sample.labels)
            ]
            bounds[name] = (0.025 ** (1 / min(counts)), 1.0)
    return bounds


DIFFERENCES = ("auc", "sensitivity", "specificity")
OF_CLASSES, OF_COHORTS = ("auc", "sensitivity", "balanced_accuracy"), ("ppv", "f1")
NEAR, HIGH, USUAL = (0.985, 0.995), (0.94, 0.97), (0.8, 0.9)
DESIGNS = [
    *(
        Design(m, n, area=area)
        for m, n in ((10, 10), (10, 200), (30, 30), (30, 300), (80, 240), (270, 770))
        for area in (USUAL, HIGH, NEAR)
    ),
    *(
        Design(m, n, area=HIGH, spread=spread)
        for m, n in ((10, 200), (30, 300), (80, 240))
        for spread in (0.67, 1.5)
    ),
    *(
        Design(m, n, images, area)
        for m, n in ((10, 10), (30, 30), (30, 100), (100, 100))
        for images in ("3", "10", "1 to 30", "1, few 30")
        for area in (USUAL, HIGH)
    ),
]


def measure(design, figures, repeats, seed, methods=(found_now, found_before)):
    """Return found coverage and mean width by method and figure."""
    parts = [
        measure_alike(replace(design, cohort=cohort), chosen, repeats, seed, methods)
        for cohort, all_alike in ((False, OF_CLASSES), (True, OF_COHORTS))
        if (chosen := [name for name in figures if name in all_alike])
    ]
    return np.concatenate(parts, axis=1)


def measure_alike(design, figures, repeats, seed, methods):
    """Measure figures that one way of sampling suits."""
    generator = np.random.default_rng(seed)
    found = np.zeros((len(methods), len(figures), 2))
    for _ in range(repeats):
        sample = Sample.of(design, generator)
        for number, method in enumerate(methods):
            bounds = method(sample, figures)
            for place, name in enumerate(figures):
                low, high = bounds[name]
                found[number, place] += low <= sample.truth[name] <= high, high - low
    return found / repeats


def measure_subgroups(design, repeats, seed, by_patient):
    """Return coverage of differences of 0 between two groups, and proportions of p under 5 %.

    Groups are drawn by patient, or by image, so that most patients with several are in both.
    """
    generator = np.random.default_rng(seed)
    found = np.zeros((len(DIFFERENCES), 2))
    tested = 0
    for _ in range(repeats):
        sample = Sample.of(design, generator)
        side = generator.random(sample.patients.max() + 1) < 0.4
        side = side[sample.patients] if by_patient else generator.random(len(sample.labels)) < 0.4
        probability = special.expit(sample.scores)
        groups = subgroup_scores(
            sample.labels.astype(np.int64),
            np.column_stack([1 - probability, probability]),
            {"side": {"left": side, "right": ~side}},
            threshold=float(special.expit(sample.cut)),
            class_names=("negative", "positive"),
            patients=sample.patients,
            n_bootstrap=2,
        )
        for tests in (each.differences for each in groups if each.differences):
            tested += 1
            for place, name in enumerate(DIFFERENCES):
                test = tests[name]
                low, high = sorted((test.low, test.high))
                found[place] += low <= 0 <= high, test.p_value < 0.05
    return found / tested, tested


def print_subgroups(repeats, seed):
    """Print the table of differences between subgroups."""
    print("| Patients | Images of each | AUC | Groups by | Tested | Coverage: "
          + ", ".join(DIFFERENCES) + " | p < 0.05 after Holm |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for design in (
        Design(m, n, images, area)
        for m, n in ((50, 50), (60, 200), (200, 200))
        for images in ("1", "3", "1 to 30")
        for area in (USUAL, NEAR)
    ):
        for by_patient in (True, False) if design.images != "1" else (True,):
            found, tested = measure_subgroups(design, repeats, seed, by_patient)
            coverage, rejected = (", ".join(f"{100 * v:.0f} %" for v in each) for each in found.T)
            low, high = design.area
            by = "patient" if by_patient else "image"
            print(f"| {design.positive} / {design.negative} | {design.images} | {low:g} to {high:g}"
                  f" | {by} | {tested} | {coverage} | {rejected} |", flush=True)  # fmt: skip


# Figure, its value, prevalence, images of a patient, wanted width, spread of positive scores.
PLANS = [
    ("auc", 0.9, 0.3, "1", 0.06, 1),
    ("auc", 0.97, 0.2, "1", 0.05, 1),
    ("auc", 0.9, 0.5, "3", 0.08, 1),
    ("auc", 0.85, 0.5, "10", 0.1, 1),
    ("auc", 0.8, 0.3, "1 to 30", 0.1, 1),
    ("sensitivity", 0.9, 0.3, "1", 0.1, 1),
    ("sensitivity", 0.97, 0.5, "3", 0.06, 1),
    ("specificity", 0.85, 0.3, "1 to 30", 0.08, 1),
    ("auc", 0.9, 0.3, "1", 0.06, 1.5),
    ("auc", 0.9, 0.3, "1", 0.06, 0.67),
]


def measure_plan(metric, expected, prevalence, images, width, spread, repeats, seed):
    """Return a plan by a pilot of 4,000 patients, and the mean width in new samples of its size."""
    generator = np.random.default_rng(seed)
    area = expected if metric == "auc" else 0.93
    distance = special.ndtri(area) * np.sqrt(2)
    cut = {
        "auc": None,
        "sensitivity": distance - special.ndtri(expected),
        "specificity": special.ndtri(expected),
    }[metric]

    def draw(patients):
        positive = round(patients * prevalence)
        design = Design(positive, patients - positive, images, (area, area), spread)
        return design.draw(generator)[:3]

    labels, scores, patients = draw(4000)
    pilot = metrics.measure_pilot(metric, labels, scores, threshold=cut, groups=patients)
    plan = metrics.plan(metric, width=width, pilot=pilot, expected=expected, prevalence=prevalence)
    widths = []
    for _ in range(repeats):
        labels, scores, patients = draw(plan.patients)
        cutoff = {} if metric == "auc" else {"threshold": cut}
        found = getattr(metrics, metric)(labels, scores, groups=patients, **cutoff)
        widths.append(found.high - found.low)
    return plan, float(np.mean(widths))


def print_plans(repeats, seed):
    """Print the table of planned and achieved widths."""
    print("| Figure | Value | Prevalence | Images of a patient | Spread | Design effect | Patients "
          "| Images | Planned width | Achieved | Ratio |\n" + "|---" * 11 + "|")  # fmt: skip
    for case in PLANS:
        plan, achieved = measure_plan(*case, repeats, seed)
        metric, expected, prevalence, images, width, spread = case
        print(f"| {metric} | {expected} | {prevalence} | {images} | {spread} "
              f"| {plan.design_effect:.2f} | {plan.patients:,} | {plan.images:,} | {width:g} "
              f"| {achieved:.4f} | {achieved / width:.2f} |", flush=True)  # fmt: skip


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", default=",".join(OF_CLASSES + OF_COHORTS), help="figures, by comma"
    )
    parser.add_argument(
        "--subgroups", action="store_true", help="differences of 0 between two subgroups"
    )
    parser.add_argument("--plans", action="store_true", help="planned against achieved widths")
    arguments = parser.parse_args()
    if arguments.plans:
        print_plans(arguments.repeats, arguments.seed)
        return
    if arguments.subgroups:
        print_subgroups(arguments.repeats, arguments.seed)
        return
    figures = arguments.only.split(",")
    titles = " | ".join(f"{name} (before)" for name in figures)
    print(f"| Patients | Images of each | AUC | Spread | {titles} |")
    print("|---|---|---|---|" + "---|" * len(figures))
    for design in DESIGNS:
        found = measure(design, figures, arguments.repeats, arguments.seed)
        cells = [
            f"{100 * now[0]:.0f} % {now[1]:.3f} ({100 * old[0]:.0f} % {old[1]:.3f})"
            for now, old in zip(*found, strict=True)
        ]
        low, high = design.area
        print(
            f"| {design.positive} / {design.negative} | {design.images} | {low:g} to {high:g} "
            f"| {design.spread:g} | {' | '.join(cells)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
