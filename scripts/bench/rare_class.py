#!/usr/bin/env python
"""Recall of a rare class: featx's cutoffs, and the balanced classifier of scikit-learn.

    python scripts/bench/rare_class.py [--repeats 20] [--images 1000] [--classifiers logistic,svm]

Three classes make up 62, 33 and 5 % of the images, drawn from normal distributions; models are
fitted to them and judged on 4,000 others, beside the classifier of that name of scikit-learn or
XGBoost with balanced classes. Prints means of the recall of the rare class and of the balanced
accuracy.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_sample_weight
from xgboost import XGBClassifier

from featx.classifiers.classifier import FeatureClassifier

SHARES, FEATURES, TESTED = (0.62, 0.33, 0.05), 12, 4000

# Balanced by weights of classes, or of rows where the classifier has none, or by the prior.
BALANCED = {
    "logistic": LogisticRegression(class_weight="balanced", max_iter=1000),
    "svm": SVC(class_weight="balanced"),
    "random_forest": RandomForestClassifier(class_weight="balanced", random_state=0),
    "xgboost": XGBClassifier(n_jobs=1),
    "naive_bayes": GaussianNB(priors=[1 / 3] * 3),
}


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
            weights = {"sample_weight": compute_sample_weight("balanced", y)}
            balanced = BALANCED[name].fit(X, y, **(weights if name == "xgboost" else {}))
            called[f"{name}, cutoffs"] = model.predict(other)
            called[f"{name}, balanced"] = balanced.predict(other)
            called[f"{name}, most probable class"] = model.predict_proba(other).argmax(axis=1)
        for name, predicted in called.items():
            recall = recall_score(truth, predicted, average=None)[2]
            found.setdefault(name, []).append((recall, balanced_accuracy_score(truth, predicted)))
    return {name: np.mean(values, axis=0) for name, values in found.items()}


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--classifiers", default=",".join(BALANCED))
    arguments = parser.parse_args()
    print("| Model | Recall of the class of 5 % | Balanced accuracy |\n|---|---|---|")
    found = measure(arguments.classifiers.split(","), arguments.repeats, arguments.images)
    for name, (recall, balanced) in found.items():
        print(f"| {name} | {recall:.3f} | {balanced:.3f} |")


if __name__ == "__main__":
    main()
