#!/usr/bin/env python
"""Which choices hold for images of a later collection? Methods x internal shifts, no test set.

    python scripts/bench/generalization.py IMAGES --patients kermany [--weights-dir DIR]

Patients of a quarter of the images are held out. Methods learn from the others and are judged on
the held-out images as they are, and as another collection might have taken them: of another field,
collimation, exposure, style. "NORMAL only" moves the first class alone, as a collection does whose
healthy patients came from another ward. "Darkest" and "lowest numbers" hold out other patients
instead: those of the darkest quarter of images, and of the lowest fifth of the file numbers of each
class. Another --random-state holds out other patients, without these two. A backbone "tuned:NAME"
is tuned on 70 % of the training images, by patient; classifiers learn from the others. Prints a
table, and one JSON line a method. A `test` split is never touched.
"""

import argparse
import itertools
import json
import re
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
from scipy.special import expit, logit
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score, roc_curve

from featx.baselines.tuning import tune
from featx.benchmarking.tuned_rows import split_for_tuning
from featx.classifiers.adaptation import adapt, adapted_threshold
from featx.classifiers.fitting import fit
from featx.datasets.dataset import ImageDataset
from featx.datasets.splitting import hold_out
from featx.errors import UsageError
from featx.features.extraction import extract
from featx.features.matrix import FeatureMatrix
from featx.images.augmentation import POLICIES, Augmentation
from featx.metrics.operating_point import OperatingPoint

WIDE = Augmentation(
    crop_area=(0.4, 1.0),
    crop_aspect=(0.6, 1.6),
    rotation=10.0,
    gamma=(0.6, 1.6),
    contrast=(0.7, 1.3),
)
ONE, TWO = ["efficientnet_lite0"], ["efficientnet_lite0", "mobilenetv2"]
BASE = {"backbone": ONE, "augmentation": POLICIES["radiograph"], "views": (4, 4)}
DEPTHS = {**BASE, "pooling": "multi_depth"}
FOUR = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "mobilenetv2"]
TUNED = {**DEPTHS, "backbone": ["tuned:efficientnet_lite0@160"]}
LARGE = {**DEPTHS, "backbone": ["tuned:efficientnet_lite0"]}

METHODS = {
    "no augmentation": {**BASE, "views": (1, 1)},
    "seed policy, 4 views": {**BASE, "augmentation": POLICIES["ramirez"]},
    "wide crops, 4 views": {**BASE, "augmentation": WIDE},
    "radiograph, 4 views, tested on 1": {**BASE, "views": (4, 1)},
    "radiograph, 4 views": BASE,
    "the same, gem pooling": {**BASE, "pooling": "gem"},
    "the same, equalized": {**BASE, "normalization": "equalize"},
    "the same, multi_depth": DEPTHS,
    "multi_depth, tested on 1": {**DEPTHS, "views": (4, 1)},
    "multi_depth, tested on 8": {**DEPTHS, "views": (4, 8)},
    "the same, multi_depth, means": {**DEPTHS, "columns": "_mean_"},
    "the same, multi_depth, from 1/16 on": {**DEPTHS, "columns": "block(7|10|14|15)_|head_"},
    "the same, multi_depth, from 1/32 on": {**DEPTHS, "columns": "block1[45]_|head_"},
    "the same, multi_depth, last stage": {**DEPTHS, "columns": "head_"},
    "the same, multi_depth, last means": {**DEPTHS, "columns": "head_relu6_mean_"},
    "svm, radiograph, 4 views": {**BASE, "classifier": "svm"},
    "svm, the same, multi_depth": {**DEPTHS, "classifier": "svm"},
    "svm, the same, multi_depth, means": {**DEPTHS, "classifier": "svm", "columns": "_mean_"},
    "svm, the same, multi_depth, last means": {
        **DEPTHS,
        "classifier": "svm",
        "columns": "head_relu6_mean_",
    },
    "the same, two networks": {**BASE, "backbone": TWO},
    "the same, two networks, adapted": {**BASE, "backbone": TWO, "adapted": True},
    "four networks": {**BASE, "backbone": FOUR},
    "four networks, multi_depth": {**DEPTHS, "backbone": FOUR},
    "tuned": {**TUNED, "pooling": "average"},
    "tuned, multi_depth": TUNED,
    "tuned at 224": {**LARGE, "pooling": "average"},
    "tuned at 224, multi_depth": LARGE,
    "frozen and tuned, multi_depth": {**DEPTHS, "backbone": [*ONE, *TUNED["backbone"]]},
    "multi_depth, adapted": {**DEPTHS, "adapted": True},
    "tuned, multi_depth, adapted": {**TUNED, "adapted": True},
}
FUSED = {
    "fused: frozen and tuned": ("the same, multi_depth", "tuned, multi_depth"),
    "fused: frozen and tuned, last means": ("the same, multi_depth", "tuned"),
    "fused: frozen and tuned, adapted": ("multi_depth, adapted", "tuned, multi_depth, adapted"),
}


def field(image, generator, _others):
    """Show a field of another shape, so that squashing it distorts otherwise."""
    height, width = image.shape
    ratio = np.exp(generator.uniform(-0.35, 0.35))
    keep_y, keep_x = min(1.0, ratio), min(1.0, 1 / ratio)
    top, left = int(height * (1 - keep_y) / 2), int(width * (1 - keep_x) / 2)
    return image[top : height - top, left : width - left]


def collimation(image, generator, _others):
    """Cut margins off and brighten a little."""
    height, width = image.shape
    keep = generator.uniform(0.8, 0.95, 2)
    top, left = (generator.random(2) * (1 - keep) * (height, width)).astype(int)
    cut = image[top : top + int(height * keep[0]), left : left + int(width * keep[1])]
    return 255 * (cut / 255) ** generator.uniform(0.7, 1.0)


def style(image, generator, others):
    """Take the histogram of another image of whatever class."""
    other = others.read(int(generator.integers(len(others))))
    order = np.argsort(image.ravel() + generator.random(image.size) * 0.5, kind="stable")
    matched = np.empty(image.size)
    matched[order] = np.sort(cv2.resize(other, image.shape[::-1]).ravel())
    return cv2.GaussianBlur(matched.reshape(image.shape), (0, 0), 0.5)


def spectrum(image, generator, others):
    """Take the coarsest amplitudes of another image: Yang, Soatto 2020, arXiv 2004.05498."""
    other = cv2.resize(others.read(int(generator.integers(len(others)))), image.shape[::-1])
    mine, its = (np.fft.fftshift(np.fft.fft2(pixels.astype(float))) for pixels in (image, other))
    middle = tuple(slice(side // 2 - 3, side // 2 + 4) for side in image.shape)
    amplitude = np.abs(mine)
    amplitude[middle] = np.abs(its)[middle]
    return np.fft.ifft2(np.fft.ifftshift(amplitude * np.exp(1j * np.angle(mine)))).real


def border(image, _generator, _others):
    """Set the image in a black frame."""
    height, width = image.shape
    return cv2.copyMakeBorder(
        image, height // 12, height // 12, width // 12, width // 12, cv2.BORDER_CONSTANT
    )


def contrast(image, generator, _others):
    """Show gray levels steeper or flatter around their middle."""
    return (image - 128) * np.exp(generator.uniform(-0.7, 0.7)) + 128


def inversion(image, _generator, _others):
    """Show bone black."""
    return 255 - image


SHIFTS = {f.__name__: f for f in (field, collimation, style, spectrum, border)}
FURTHER = {f.__name__: f for f in (contrast, inversion)}


def shifted(images, change, others):
    """Return the images after a shift, each drawn from its own number."""
    arrays = []
    for index in range(len(images)):
        pixels = images.read(index).astype(np.float32)
        changed = change(pixels, np.random.default_rng(index), others)
        arrays.append(np.clip(np.rint(changed), 0, 255).astype(np.uint8))
    return ImageDataset.from_arrays(
        arrays, images.labels, class_names=images.class_names, patients=images.patients
    )


def natural_partitions(images):
    """Return which images to hold out: one collection against another, as far as one can tell."""
    brightness = np.array([images.read(index).mean() for index in range(len(images))])
    numbers = np.array(
        [int((re.findall(r"(?:person|IM-)(\d+)", name) or ["0"])[-1]) for name in images.names]
    )
    lowest = np.zeros(len(images), dtype=bool)
    for label in range(len(images.class_names)):
        mine = images.labels == label
        lowest |= mine & (numbers <= np.quantile(numbers[mine], 0.2))
    partitions = {"darkest": brightness <= np.quantile(brightness, 0.25)}
    return partitions if (numbers == numbers[0]).all() else {**partitions, "lowest numbers": lowest}


class Judged(NamedTuple):
    """Log-odds of images under a shift, their labels, and the log-odds decided at."""

    log_odds: np.ndarray
    labels: np.ndarray
    threshold: float

    @classmethod
    def of(cls, model, matrix):
        """Judge a model on images."""
        log_odds = logit(model.predict_images(matrix)[:, 1])
        return cls(log_odds, matrix.labels, logit(model.threshold_))

    def figures(self):
        """Return AUC, specificity at sensitivity 0.97, and accuracy at the threshold."""
        false_alarms, hits, _ = roc_curve(self.labels, self.log_odds)
        return (
            roc_auc_score(self.labels, self.log_odds),
            1 - false_alarms[np.argmax(hits >= 0.97)],
            ((self.log_odds >= self.threshold) == self.labels).mean(),
        )


def out_of_fold(model):
    """Return log-odds of training images by digest, each by a fit without its patient."""
    log_odds = model.calibration_.logits(model.out_of_fold_scores_)
    known = zip(log_odds, model.out_of_fold_labels_, strict=True)
    return dict(zip(model.out_of_fold_images_.tolist(), known, strict=True))


def fuse(found, held_out):
    """Average log-odds; the threshold is chosen on images that trained no part of any member."""
    both = [[known[image] for known in held_out] for image in held_out[-1] if image in held_out[0]]
    log_odds = np.array([[score for score, _ in each] for each in both]).mean(axis=1)
    labels = np.array([each[0][1] for each in both])
    chosen = logit(OperatingPoint.parse("youden").threshold(labels == 1, expit(log_odds)))
    fused = {}
    for name, members in found.items():
        mean = np.mean([each.log_odds for each in members], axis=0)
        fused[name] = Judged(mean, members[0].labels, chosen)
    return fused


def fuse_adapted(found, held_out):
    """Average log-odds of adapted members, and place the threshold between their two groups."""
    return {
        name: each._replace(threshold=logit(adapted_threshold(each.log_odds) or expit(each[2])))
        for name, each in fuse(found, held_out).items()
    }


def mixed(as_they_are, moved):
    """Take the first class from the moved images and the others as they are."""
    first = (as_they_are.labels == 0)[as_they_are.image]
    return replace(as_they_are, X=np.where(first[:, None], moved.X, as_they_are.X))


class Bench:
    """What all methods share: images, shifts, and where features are kept."""

    def __init__(self, images, options):
        self.options = options
        self.tuned, self.judged = {}, {}
        self.folder = tempfile.TemporaryDirectory()
        state = options.random_state
        kept, aside = hold_out(images.labels, images.patients, test_size=0.25, random_state=state)
        train, held_out = images.select(kept), images.select(aside)
        self.pairs = {"": (train, {"as they are": held_out})}
        for name, change in (SHIFTS | FURTHER if options.further else SHIFTS).items():
            self.pairs[""][1][name] = shifted(held_out, change, train)
        for name, out in ({} if state else natural_partitions(images)).items():
            others = ~np.isin(images.patients, np.unique(images.patients[out]))
            self.pairs[name] = images.select(others), {name: images.select(out)}

    def extract(self, images, method, views):
        """Embed images as a method does."""
        settings = {key: method[key] for key in ("pooling", "normalization") if key in method}
        matrix = extract(
            images,
            method["backbone"],
            method["augmentation"],
            views,
            weights_dir=self.options.weights_dir,
            cache=self.options.cache,
            **settings,
        )
        if "columns" not in method:
            return matrix
        kept = [re.search(method["columns"], name) is not None for name in matrix.feature_names]
        return replace(matrix, X=matrix.X[:, kept], recipes=())

    def tune(self, pair, images, method):
        """Return images to fit classifiers to, and the method with its tuned networks by file."""
        names = method["backbone"]
        if not any(name.startswith("tuned:") for name in names):
            return images, method
        tuning, fitting = split_for_tuning(images, 0.7, self.options.random_state)
        for name in names:
            if name.startswith("tuned:") and (pair, name) not in self.tuned:
                settings = {"epochs": 8, "weights_dir": self.options.weights_dir}
                self.tuned[pair, name], _ = tune(tuning, name, Path(self.folder.name), **settings)
        files = [
            f"tuned:{self.tuned[pair, name]}" if name.startswith("tuned:") else name
            for name in names
        ]
        return fitting, {**method, "backbone": files}

    def run(self, name):
        """Judge a method under every shift."""
        figures = {}
        for pair in self.pairs:
            if name in FUSED:
                members = [self._judged(pair, member) for member in FUSED[name]]
                found = {shift: [each[0][shift] for each in members] for shift in members[0][0]}
                join = fuse_adapted if "adapted" in name else fuse
                judged = join(found, [each[1] for each in members])
            else:
                judged, _ = self._judged(pair, name)
            figures |= {shift: each.figures() for shift, each in judged.items()}
        return figures

    def _judged(self, pair, name):
        """Fit a method once; judge it under the shifts of a pair, and out of fold."""
        if (pair, name) not in self.judged:
            method, (all_training, tests) = METHODS[name], self.pairs[pair]
            train_images, tuned = self.tune(pair, all_training, method)
            views, test_views = [self.options.views] * 2 if self.options.views else method["views"]
            train = self.extract(train_images, tuned, views)
            model = fit(train, method.get("classifier", "logistic"), cv=3, search_rows=3000)
            shown = {name: self.extract(s, tuned, test_views) for name, s in tests.items()}
            if "as they are" in shown:
                first = shown["as they are"].class_names[0]
                shown |= {
                    f"{name}, {first} only": mixed(shown["as they are"], shown[name])
                    for name in ("field", "collimation", "style")
                }
            judged = {
                shift: Judged.of(self._met(model, train, matrix, method), matrix)
                for shift, matrix in shown.items()
            }
            self.judged[pair, name] = judged, out_of_fold(model)
        return self.judged[pair, name]

    def _met(self, model, train: FeatureMatrix, matrix: FeatureMatrix, method):
        try:
            return adapt(model, matrix, train=train) if method.get("adapted") else model
        except UsageError:
            return model


def print_table(results):
    """Print AUC by method and shift, means over shifts, and how alike shifts rank methods."""
    shifts = [name for name in next(iter(results.values())) if name != "as they are"]
    print(f"\n| method | as they are | {' | '.join(shifts)} | mean AUC | specificity | accuracy |")
    print("|---|" + "---:|" * (len(shifts) + 4))
    for method, figures in results.items():
        means = np.mean([figures[name] for name in shifts], axis=0)
        areas = [f"{figures[name][0]:.3f}" for name in ("as they are", *shifts)]
        print(f"| {method} | {' | '.join(areas)} | " + " | ".join(f"{m:.3f}" for m in means) + " |")
    columns = [[figures[name][0] for figures in results.values()] for name in shifts]
    agreement = [spearmanr(a, b).statistic for a, b in itertools.combinations(columns, 2)]
    print(
        f"\nMeans are over shifts, of specificity at sensitivity 0.97. Two shifts rank the "
        f"{len(results)} methods with a mean Spearman correlation of {np.mean(agreement):.2f}."
    )


def main():
    """Run every method under every shift."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--patients", default=None)
    parser.add_argument("--weights-dir", type=Path)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--methods", default="", help="Regular expression of their names.")
    parser.add_argument("--views", type=int, help="Views in place of each method's own.")
    parser.add_argument("--further", action="store_true", help="Contrast and inversion, too.")
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--most", type=int, default=1600, help="Images, drawn by patient.")
    options = parser.parse_args()
    images = ImageDataset.open(options.images, options.patients)
    images = images.select(images.splits != "test")
    if len(images) > options.most:
        share = options.most / len(images)
        images = images.select(
            hold_out(images.labels, images.patients, test_size=share, random_state=1)[1]
        )
    bench = Bench(images, options)
    results = {}
    for name in (*METHODS, *FUSED):
        if not re.search(options.methods, name):
            continue
        started = time.perf_counter()
        results[name] = bench.run(name)
        print(
            json.dumps(
                {
                    "method": name,
                    "seconds": round(time.perf_counter() - started),
                    "auc_specificity_accuracy": {
                        shift: [round(float(figure), 4) for figure in figures]
                        for shift, figures in results[name].items()
                    },
                }
            ),
            flush=True,
        )
    print_table(results)


if __name__ == "__main__":
    main()
