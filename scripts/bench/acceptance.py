#!/usr/bin/env python
"""Measure whether `featx accept` keeps its promises, and what adaptations do elsewhere.

    python scripts/bench/acceptance.py IMAGES --patients kermany [--draws 500] [--backbones NAME]

A model learns from 30 % of the patients. The others are a hospital: as they are, and as another
collection might have taken them (shifts of generalization.py), with other proportions of disease,
and of one class; and the darkest quarter, by a model of the others. First, of each: what `accept`
says. Then k patients are drawn from each hospital, each time a threshold is asked for, and its true
sensitivity, over all patients of the hospital, is compared with the promise; also in a simulated
population whose sensitivity is known in closed form. Ends with 1 if a promise is kept in fewer
draws than 95 %, beyond the error of simulation. A `test` split is never touched.
"""

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from generalization import FURTHER, SHIFTS, natural_partitions, shifted
from scipy.stats import norm

import featx
from featx.datasets.splitting import hold_out
from featx.metrics.tolerance import guaranteed_threshold, one_image_each

SIZES, SENSITIVITIES, LEVEL = (20, 50, 100, 200), (0.8, 0.9, 0.95), 0.95
USED = ("collimation", "border", "style", "contrast")


@dataclass
class Hospital:
    """A population of patients: scores of their images, and which images are positive."""

    scores: np.ndarray
    positive: np.ndarray
    patients: np.ndarray

    def __post_init__(self):
        self.images = [np.flatnonzero(self.patients == p) for p in np.unique(self.patients)]
        self.number = np.unique(self.patients, return_inverse=True)[1]

    def draw(self, k, generator):
        """Return one score of each positive patient among k patients drawn at random."""
        drawn = [self.images[p] for p in generator.integers(len(self.images), size=k)]
        drawn = [images[self.positive[images]] for images in drawn]
        owners = np.repeat(np.arange(k), [len(each) for each in drawn])
        # New names, so that another image may be taken of a patient each time.
        names = [str(name) for name in generator.integers(2**60, size=len(owners))]
        scores = self.scores[np.concatenate(drawn)]
        return scores[one_image_each(names, owners)] if len(owners) else scores

    def sensitivity(self, threshold):
        """Return the sensitivity of a random positive image of a random positive patient."""
        called = (self.scores >= threshold)[self.positive]
        owners = self.number[self.positive]
        counts = np.bincount(owners)
        return (np.bincount(owners, called)[counts > 0] / counts[counts > 0]).mean()

    def specificity(self, threshold):
        """Return the specificity by image."""
        return (self.scores < threshold)[~self.positive].mean()


class Simulated(Hospital):
    """Normal scores, 30 % of patients positive, one to four images that are alike."""

    def __init__(self):
        super().__init__(np.zeros(1), np.ones(1, dtype=bool), np.zeros(1))

    def draw(self, k, generator):
        """Draw patients anew."""
        n = generator.binomial(k, 0.3)
        owners = np.repeat(np.arange(n), generator.integers(1, 5, n))
        own = generator.normal(2, math.sqrt(0.7), n)[owners]
        scores = own + generator.normal(0, math.sqrt(0.3), len(owners))
        names = [str(name) for name in generator.integers(2**60, size=len(owners))]
        return scores[one_image_each(names, owners)]

    def sensitivity(self, threshold):
        """Return it in closed form."""
        return norm.sf(threshold, 2)

    def specificity(self, threshold):
        """Return it in closed form."""
        return norm.cdf(threshold)


def promises(hospitals, draws):
    """Print how often thresholds keep their sensitivity; return whether often enough."""
    print("\n| hospital | S | " + " | ".join(f"k = {k}" for k in SIZES) + " |")
    print("|---|---:|" + "---|" * len(SIZES))
    kept = {}
    for name, hospital in hospitals.items():
        for wanted in SENSITIVITIES:
            cells = []
            for k in SIZES:
                generator = np.random.default_rng([k, round(100 * wanted), len(kept)])
                drawn = [hospital.draw(k, generator) for _ in range(draws)]
                found = [guaranteed_threshold(each, wanted, LEVEL) for each in drawn]
                given = [each for each in found if each is not None]
                held = [hospital.sensitivity(each) >= wanted - 1e-12 for each in given]
                kept[name, wanted, k] = held
                cells.append("too few")
                if given:
                    median = np.median([hospital.specificity(each) for each in given])
                    cells[-1] = f"{np.mean(held):.1%} of {len(given)}; {median:.2f}"
            print(f"| {name} | {wanted:.2f} | {' | '.join(cells)} |", flush=True)
    everything = np.concatenate(list(kept.values()))
    print(f"\nkept in {everything.mean():.2%} of {len(everything):,} draws with a threshold")
    error = norm.isf(0.05 / len(kept)) * math.sqrt(LEVEL * (1 - LEVEL))
    return all(
        np.mean(each) >= LEVEL - error / math.sqrt(len(each)) for each in kept.values() if each
    )


def evidence(name, model, images, settings):
    """Print what `accept` says of a hospital."""
    labels = images if len(np.unique(images.labels)) == 2 else None
    found = featx.accept(model, images, labels=labels, **settings)
    area = "" if labels is None else f"{found.local.auc.value:.3f}"
    cells = [f"{found.untypical.value:.1%}", f"{found.drift:.2f}", area]
    effects = {each.name: each for each in found.thresholds}
    share = (images.labels == 1).mean()
    for way in ("model", "adapted", "aligned"):
        effect = effects.get(way)
        if effect is None or labels is None:
            cells.append("refused" if effect is None else "")
            continue
        se, sp = effect.sensitivity.value, effect.specificity.value
        cells.append(f"{se:.2f}, {sp:.2f}; {share * se + (1 - share) * sp:.3f}")
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def subset(images, positive, generator):
    """Keep all patients of one class, and so many of the other that `positive` are positive."""
    of_class = [np.flatnonzero(images.labels == label) for label in (0, 1)]
    n = round(len(of_class[0]) * positive / (1 - positive))
    chosen = generator.permutation(of_class[1])[:n]
    return images.select(np.sort(np.concatenate([of_class[0], chosen])))


def main():
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images")
    parser.add_argument("--patients")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--backbones", default="efficientnet_lite0@96")
    parser.add_argument("--classifier", default="logistic")
    parser.add_argument("--weights-dir")
    parser.add_argument("--cache")
    options = parser.parse_args()
    settings = {"weights_dir": options.weights_dir, "cache": options.cache}
    images = featx.ImageDataset.open(options.images, options.patients)
    images = images.select(images.splits != "test")
    rest, own = hold_out(images.labels, images.patients, test_size=0.3)
    train, here = images.select(own), images.select(rest)

    def fit(chosen):
        matrix = featx.extract(chosen, options.backbones, views=1, **settings)
        return featx.fit(matrix, options.classifier)

    model = fit(train)
    changes = {name: (SHIFTS | FURTHER)[name] for name in USED}
    pairs = {"as it is": (model, here)}
    pairs |= {name: (model, shifted(here, each, train)) for name, each in changes.items()}
    dark = natural_partitions(images)["darkest"]
    others = ~np.isin(images.patients, np.unique(images.patients[dark]))
    pairs["darkest quarter"] = fit(images.select(others)), images.select(dark)
    print("\n| hospital | untypical | drift | AUC | model | adapted | aligned |")
    print("|---|---:|---|---:|---|---|---|")
    for name, (own_model, shown) in pairs.items():
        evidence(name, own_model, shown, settings)
    for name in ("as it is", "collimation"):
        shown = pairs[name][1]
        for positive in (0.2, 0.5):
            part = subset(shown, positive, np.random.default_rng(0))
            evidence(f"{name}, {positive:.0%} positive", model, part, settings)
        for label, of_class in enumerate(images.class_names):
            part = shown.select(shown.labels == label)
            evidence(f"{name}, {of_class} only", model, part, settings)
    hospitals = {"simulated": Simulated()}
    for name, (own_model, shown) in pairs.items():
        found = featx.predict(own_model, shown, **settings)
        score = found.probabilities[:, 1]
        hospitals[name] = Hospital(score, found.labels == 1, np.asarray(shown.patients))
    sys.exit(0 if promises(hospitals, options.draws) else 1)


if __name__ == "__main__":
    main()
