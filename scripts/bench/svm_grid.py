#!/usr/bin/env python
"""An SVM's grid of C and gamma, searched by featx and by scikit-learn's `GridSearchCV(SVC)`.

    python scripts/bench/svm_grid.py [--quick] [--plain-folds 1] [--rounds 3]

Both sides get the same features, 5 folds by patient, standardization inside the folds, balanced
class weights, 5 x 4 settings and the mean over folds of the area under the ROC curve; no PCA.
featx runs the whole search once a round. GridSearchCV, with all cores, runs every setting once, a
share of the settings in each round, in as many of the 5 folds as `--plain-folds` says; its time
is multiplied by 5 / folds, and the line says so. Features are made up: 5,000 images of 2,048
features, few directions strong as in real ones, classes that overlap.

Prints a JSON line "svm" and exits with 1 if featx is less than 10 times faster, another setting
wins in the folds that both ran, or a score differs by more than 1e-4. A line "logistic" follows:
the path over C, warm-started against fits from nothing, medians of the rounds.
"""

import argparse
import json
import logging
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from featx.classifiers.config import FitConfig
from featx.classifiers.registry import ClassifierSpec, get_classifier
from featx.classifiers.search import Search
from featx.classifiers.shared_fits import SharedFits
from featx.classifiers.training_set import TrainingSet

BAR, TOLERANCE = 10.0, 1e-4
FOLDS, IMAGES_A_PATIENT = 5, 2
C = [0.3, 1.0, 3.0, 10.0, 30.0]
WIDTHS = [0.1, 0.3, 1.0, 3.0]


def make_training(images, features):
    """Make non-negative features of many patients, a few of whose directions tell the class."""
    generator = np.random.default_rng(0)
    patients = np.arange(images) // IMAGES_A_PATIENT
    labels = (generator.random(patients.max() + 1) < 0.7).astype(np.int64)[patients]
    strength = np.arange(1, 151) ** -0.5
    centers = 0.15 * generator.normal(size=(2, 150))
    hidden = 0.5 * generator.normal(size=(patients.max() + 1, 150))[patients]
    hidden += centers[labels] + generator.normal(size=(images, 150))
    X = (hidden * strength) @ generator.normal(size=(150, features))
    X += generator.normal(size=X.shape)
    X = np.maximum(X, 0).astype(np.float32)
    return TrainingSet(X, np.arange(images), labels, patients, np.array(["NORMAL", "PNEUMONIA"]))


def make_pipeline(_shape=None, _seed=None):
    """Standardization and the machine, with the cache that featx gives it, on both sides."""
    return Pipeline([("scale", StandardScaler()), ("classify", SVC(cache_size=400))])


def searched(record, training):
    """Return the seconds of featx's search and what it found."""
    search = Search(record, training, FitConfig(cv=FOLDS, search_rows=len(training.X)))
    since = time.perf_counter()
    candidates = search.run(lambda *_: None)
    return time.perf_counter() - since, candidates


def fold_areas(training, folds, candidates):
    """Return each candidate's area under the curve in each fold, shape (settings, folds)."""
    return np.array(
        [
            [roc_auc_score(training.labels[held], one.out_of_fold[held]) for _, held in folds]
            for one in candidates
        ]
    )


def plain_search(training, folds, grid):
    """Return the seconds of GridSearchCV, and each setting's area in each fold."""
    balanced = make_pipeline().set_params(classify__class_weight="balanced")
    lists = [{f"classify__{name}": [value] for name, value in one.items()} for one in grid]
    plain = GridSearchCV(
        balanced, lists, scoring="roc_auc", cv=folds, n_jobs=-1, refit=False, error_score="raise"
    )
    since = time.perf_counter()
    plain.fit(training.X, training.labels)
    seconds = time.perf_counter() - since
    columns = [plain.cv_results_[f"split{fold}_test_score"] for fold in range(len(folds))]
    return seconds, np.column_stack(columns)


def compare_svm(training, folds, arguments):
    """Search both ways in turn and judge them."""
    grid = {"kernel": ["rbf"], "C": C, "gamma": [w / training.X.shape[1] for w in WIDTHS]}
    record = replace(get_classifier("svm"), make=make_pipeline, grid=lambda _shape: [grid])
    settings = record.candidates((len(training.X), training.X.shape[1]))
    ran = folds[: arguments.plain_folds]
    ours, plain_seconds = [], 0.0
    plain = np.empty((len(settings), len(ran)))
    for turn in range(arguments.rounds):
        seconds, candidates = searched(record, training)
        ours.append(seconds)
        share = slice(turn, None, arguments.rounds)
        seconds, plain[share] = plain_search(training, ran, settings[share])
        plain_seconds += seconds
    areas = fold_areas(training, folds, candidates)[:, : len(ran)]
    best = areas.mean(axis=1).argmax()
    factor = len(folds) / len(ran)
    row = {
        "case": "svm",
        "rows": len(training.X),
        "features": training.X.shape[1],
        "fits": len(settings) * len(folds),
        "featx_seconds": [round(one, 2) for one in ours],
        "plain_measured_seconds": round(plain_seconds, 2),
        "plain_measured": f"{len(settings)} settings, {len(ran)} of {len(folds)} folds",
        "plain_extrapolated_by": factor,
        "ratio": round(plain_seconds * factor / statistics.median(ours), 1),
        "best": settings[best],
        "best_auc": round(float(areas[best].mean()), 5),
        "same_choice": bool(best == plain.mean(axis=1).argmax()),
        "largest_score_difference": float(np.abs(areas - plain).max()),
    }
    print(json.dumps(row), flush=True)
    agree = row["same_choice"] and row["largest_score_difference"] <= TOLERANCE
    return agree and row["ratio"] >= BAR


def compare_logistic(training, rounds):
    """Time the warm-started path against fits from nothing."""
    warm = get_classifier("logistic")
    records: dict[str, ClassifierSpec] = {
        "warm": warm,
        "cold": replace(warm, shared_fits=SharedFits()),
    }
    seconds = {way: [] for way in records}
    found = {}
    for _ in range(rounds):
        for way, record in records.items():
            taken, found[way] = searched(record, training)
            seconds[way].append(taken)
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    areas = {way: np.array([one.auc for one in candidates]) for way, candidates in found.items()}
    row = {
        "case": "logistic",
        "rows": len(training.X),
        "features": training.X.shape[1],
        "seconds": {way: [round(one, 2) for one in times] for way, times in seconds.items()},
        "ratio": round(medians["cold"] / medians["warm"], 2),
        "same_choice": bool(areas["warm"].argmax() == areas["cold"].argmax()),
        "largest_score_difference": float(np.abs(areas["warm"] - areas["cold"]).max()),
    }
    print(json.dumps(row), flush=True)


def main():
    """Run both cases and judge the first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1,500 x 512 instead of 5,000 x 2,048")
    parser.add_argument("--plain-folds", type=int, default=1, choices=range(1, FOLDS + 1))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logging.getLogger("featx").setLevel(logging.WARNING)
    training = make_training(*((1500, 512) if arguments.quick else (5000, 2048)))
    folds = training.folds(FOLDS, random_state=0)
    kept = compare_svm(training, folds, arguments)
    compare_logistic(training, arguments.rounds)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
