#!/usr/bin/env python
"""Recall of a rare class: the most probable class, featx's cutoffs, scikit-learn's class weights.

    python scripts/bench/rare_class.py [--repeats 20] [--images 1000] [--classifiers logistic,svm]

Three classes make up 62, 33 and 5 % of the images, drawn from normal distributions; models are
fitted to them and judged on 4,000 others. Prints means of the recall of the rare class and of the
balanced accuracy.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from featx.classifiers.classifier import FeatureClassifier

SHARES, FEATURES, TESTED = (0.62, 0.33, 0.05), 12, 4000


def draw(generator, n, centers):
    """Return features and classes."""
    labels = generator.permutation(np.repeat([0, 1, 2], np.rint(np.array(SHARES) * n).astype(int)))
    return centers[labels] + generator.normal(size=(len(labels), FEATURES)), labels


def measure(names, repeats, n):
    """Return recall of the rare class and balanced accuracy of each way to decide."""
    found = {}
    for random_state in range(repeats):
        generator = np.random.default_rng(random_state)
        centers = 0.55 * generator.normal(size=(3, FEATURES))
        (X, y), (other, truth) = (draw(generator, size, centers) for size in (n, TESTED))
        called = {}
        for name in names:
            model = FeatureClassifier(name, n_jobs=1).fit(X, y)
            called[f"{name}, most probable (before)"] = model.predict_proba(other).argmax(axis=1)
            called[f"{name}, cutoffs"] = model.predict(other)
        balanced = LogisticRegression(class_weight="balanced", max_iter=1000)
        called["scikit-learn, balanced logistic regression"] = (
            make_pipeline(StandardScaler(), balanced).fit(X, y).predict(other)
        )
        for name, predicted in called.items():
            recall = recall_score(truth, predicted, average=None)[2]
            found.setdefault(name, []).append((recall, balanced_accuracy_score(truth, predicted)))
    return {name: np.mean(values, axis=0) for name, values in found.items()}


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--classifiers", default="logistic,svm,xgboost,random_forest,naive_bayes")
    arguments = parser.parse_args()
    print("| Model | Recall of the class of 5 % | Balanced accuracy |\n|---|---|---|")
    found = measure(arguments.classifiers.split(","), arguments.repeats, arguments.images)
    for name, (recall, balanced) in found.items():
        print(f"| {name} | {recall:.3f} | {balanced:.3f} |")


if __name__ == "__main__":
    main()
