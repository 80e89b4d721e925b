import json
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from featx.audit.findings import Finding
from featx.classifiers.predictions import Predictions
from featx.datasets.inventory import PassedOver

CLASSES = ("NORMAL", "PNEUMONIA")
FINDING = Finding("exact-duplicates-across", "leak", 1, ("a.png = b.png",), {"set": "test"})


class Folder:
    """Writes a benchmark's folder with known scores, and no benchmark."""

    def __init__(self, root, class_names=CLASSES, random_state=0, n=120):
        self.root, self.class_names = root, class_names
        self.generator = np.random.default_rng(random_state)
        self.labels = np.arange(n) % len(class_names)
        self.names = [f"test/{class_names[k]}/{i:03d}.png" for i, k in enumerate(self.labels)]
        self.patients = [f"p{i // 2}" for i in range(n)]
        self.rows = []

    def add(self, backbone, classifier, kind="frozen", skill=1.5, externals=(), **more):
        name = f"{backbone}-{classifier}".replace(":", "-").replace(" ", "-").replace("/", "-")
        row = {"name": name, "backbone": backbone, "classifier": classifier, "kind": kind}
        row |= {"n_train": 480, **self.score(name, skill)}
        if externals:
            row["externals"] = {e: self.score(f"{name}@{e}", skill) for e in externals}
        row |= {"seconds_extract": 20.0, "seconds_fit": 3.0 + len(self.rows), "n_features": 2048}
        self.rows.append({**row, "settings": {"random_state": 0, "calibration": "sigmoid"}, **more})
        return self.rows[-1]

    def score(self, name, skill):
        k = len(self.class_names)
        scores = self.generator.normal(0, 1, (len(self.labels), k)) + skill * np.eye(k)[self.labels]
        probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        patients, threshold = self.patients, 0.4 if k == 2 else None
        found = Predictions(self.names, self.class_names, probabilities, self.labels, patients)
        (self.root / "scores").mkdir(parents=True, exist_ok=True)
        found.to_csv(self.root / "scores" / f"{name}.csv")
        return found.decide(threshold).score().to_dict()

    def run(self, **changes):
        step = {"images": 100, "patients": 50, "classes": dict.fromkeys(self.class_names, 50)}
        run = {
            "format": 1,
            "command": "featx benchmark xrays --out results",
            "started": "2026-01-02T03:04:05+00:00",
            "seconds": 61.5,
            "class_names": list(self.class_names),
            "versions": {"featx": "0.1.0", "numpy": "2.0"},
            "settings": {"random_state": 0, "views": 4},
            "inventory": {
                name: {
                    "where": "xrays",
                    "counts": {label: {"": 50} for label in self.class_names},
                    "labels_from": "folder names",
                    "passed_over": [asdict(PassedOver.of("of no use", ["a.webp"]))],
                }
                for name in ("", "elsewhere")
            },
            "flow": [
                {"step": "found in the folder", **step},
                {"step": "unreadable, left out", **step, "images": 7},
                {"step": "copies of tested images or patients, left out", **step, "images": 3},
                {"step": "training", **step},
                {"step": "test", **step, "patients": None},
            ],
            "audit": {
                "findings": [FINDING.to_dict()],
                "allowed": True,
            },
            "notes": ["Trained on 480 images.", "SHORTCUT: histogram alone reaches AUC 0.8."],
            "learning_curve": [
                {"name": self.rows[0]["name"], "n_patients": n, "n_images": 2 * n}
                | {"auc": auc, "auc_low": auc - 0.1, "auc_high": auc + 0.05}
                for n, auc in ((24, 0.75), (120, 0.85), (240, 0.9))
            ],
            "published": [
                {"system": "VGG16", "source": "Somebody 2020", "population": "children"}
                | {"protocol": "unknown", "accuracy": 0.9, "auc": None, "note": ""}
            ],
        }
        return run | changes

    def picture(self, path="test/NORMAL/001.png"):
        target = self.root / "gallery"
        target.mkdir()
        Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(target / "00-miss.jpg")
        Image.new("L", (20, 20)).save(target / "00-miss.heat.jpg")
        entry = {"file": "00-miss.jpg", "path": path, "kind": "miss", "probability": 0.93}
        entry |= {"truth": self.class_names[0], "called": self.class_names[1]}
        content = {"row": self.rows[0]["name"], "pictures": [entry]}
        (target / "gallery.json").write_text(json.dumps(content))

    def write(self, run=True, **changes):
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "results.json").write_text(json.dumps(self.rows))
        if run:
            (self.root / "run.json").write_text(json.dumps(self.run(**changes)))
        return self.root


@pytest.fixture
def folder(tmp_path):
    """A finished benchmark of three models, with all that a page can show."""
    made = Folder(tmp_path / "results")
    made.add("resnet50", "svm", auc_out_of_fold=0.9, externals=["elsewhere"])
    made.add("histogram", "logistic", "control", skill=0.6, auc_out_of_fold=0.7)
    baseline = made.add("ramirez-cnn", "trained end to end", "baseline", validation_auc=0.88)
    log = made.root / "baselines" / baseline["name"] / "log.csv"
    log.parent.mkdir(parents=True)
    log.write_text("epoch,loss,val_loss,val_auc\n1,0.7,0.6,0.7\n2,0.5,,0.8\n")
    made.picture()
    return made
