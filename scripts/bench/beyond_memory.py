#!/usr/bin/env python
"""Fits of a matrix larger than the memory, beside fits of the same matrix with memory to spare.

    python scripts/bench/beyond_memory.py [--matrix-mib 300] [--features 640] [--times 3]
                                          [--classifiers logistic naive_bayes xgboost ...]

Makes a matrix file with the spectrum of frozen features and the signal of a hard task, and
fits it in two processes: one as it is, one whose data segment (RLIMIT_DATA: everything but mapped
files and code) may grow by no more than a third of the matrix. Prints one JSON line a classifier
and exits with 1 if a limited fit fails, or the AUC on other images of one that learns from all rows
is more than 0.005 below. Of the others the line says what they lose.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

BAR = 0.005
VIEWS = 4
RANK = 128
STRENGTH = 0.02
TEST_IMAGES = 4000
LEARN_FROM_ALL = ("logistic", "naive_bayes", "xgboost", "random_forest")
STACK_BYTES = 2 * 2**20


def make_matrix(path, images, features, first, split="train"):
    """Write rows with the spectrum of frozen features: few directions, a weak signal."""
    from featx.features.matrix import FeatureMatrix

    world = np.random.default_rng(0)
    order = np.arange(1, RANK + 1)
    directions = (world.normal(size=(RANK, features)) * order[:, None] ** -0.6).astype(np.float32)
    signal = (world.normal(size=RANK) * order**0.3).astype(np.float32)
    patients = np.arange(first, first + images) // 2
    table = FeatureMatrix(
        X=np.empty((0, features), dtype=np.float32),
        image=np.repeat(np.arange(images), VIEWS),
        view=np.tile(np.arange(VIEWS), images),
        names=tuple(f"{number}.png" for number in range(first, first + images)),
        digests=tuple(f"{number:064x}" for number in range(first, first + images)),
        labels=_labels(patients),
        patients=patients.astype(str),
        splits=np.full(images, split),
        class_names=("NORMAL", "PNEUMONIA"),
    )

    def fill(rows):
        for start in range(0, images, 512):
            own = patients[start : start + 512]
            generator = np.random.default_rng(first + start)
            latent = generator.standard_normal((len(own), RANK), dtype=np.float32)
            latent += STRENGTH * signal * (2 * _labels(own)[:, None].astype(np.float32) - 1)
            latent = np.repeat(latent, VIEWS, axis=0)
            latent += 0.4 * generator.standard_normal(latent.shape, dtype=np.float32)
            values = np.maximum(latent @ directions + np.float32(0.5), 0)
            rows[start * VIEWS : start * VIEWS + len(values)] = values

    table.save_rows(path, (images * VIEWS, features), fill)


def _labels(patients):
    return (np.asarray(patients) * 2654435761 % 2**32 < 0.7 * 2**32).astype(np.int64)


def data_bytes():
    """Return the size of this process's data segment."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this benchmark needs Linux")


def warm_up():
    """Have both copies of OpenBLAS, NumPy's and SciPy's, take the buffers that they keep."""
    from scipy.linalg import eigh

    square = np.eye(256)
    eigh(square @ square)
    eigh((square @ square).astype(np.float32))


def fit(arguments):
    """Fit in this process, under the limit, and print how good it is and what it took."""
    from featx.classifiers.fitting import fit
    from featx.features.matrix import FeatureMatrix

    train = FeatureMatrix.load(arguments.folder / "train.h5")
    test = FeatureMatrix.load(arguments.folder / "test.h5")
    if arguments.limit:
        warm_up()
        limit = data_bytes() + arguments.limit
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    began = time.perf_counter()
    model = fit(train, arguments.classifiers[0], n_jobs=1)
    seconds = time.perf_counter() - began
    from sklearn.metrics import roc_auc_score

    scores = model.predict_images(test)[:, 1]
    row = {
        "auc": roc_auc_score(test.labels, scores),
        "seconds": round(seconds, 1),
        "reduced": model.provenance_.get("reduced"),
        "chosen": model.best_params_,
    }
    print(json.dumps(row))


def measure(classifier, folder, limit):
    """Fit in a fresh process."""
    command = [sys.executable, __file__, "--folder", str(folder), "--classifiers", classifier]
    command += ["--limit", str(limit)]
    # Each thread's heap would count as data although most of it stays empty.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "2"}
    # And so would each thread's stack, 8 MiB of which a few pages are used.
    command = ["prlimit", f"--stack={STACK_BYTES}", *command]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout) if done.returncode == 0 else None


def main():
    """Run the cases and judge them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--matrix-mib", type=int, default=300)
    parser.add_argument("--features", type=int, default=640)
    parser.add_argument("--times", type=float, default=3, help="Matrix in multiples of the limit.")
    parser.add_argument("--classifiers", nargs="+", default=list(LEARN_FROM_ALL))
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        fit(arguments)
        return 0
    size = arguments.matrix_mib * 2**20
    images = size // (4 * arguments.features * VIEWS)
    limit = int(size / arguments.times)
    passed = True
    with tempfile.TemporaryDirectory(prefix="featx-beyond-") as folder:
        make_matrix(Path(folder) / "train.h5", images, arguments.features, 0)
        make_matrix(Path(folder) / "test.h5", TEST_IMAGES, arguments.features, 10**8, "test")
        for classifier in arguments.classifiers:
            limited = measure(classifier, folder, limit)
            free = measure(classifier, folder, 0)
            difference = limited and free and limited["auc"] - free["auc"]
            held = difference is not None and difference >= -BAR
            passed &= held or (difference is not None and classifier not in LEARN_FROM_ALL)
            row = {
                "classifier": classifier,
                "rows": images * VIEWS,
                "matrix_bytes": size,
                "limit_bytes": limit,
                "limited": limited,
                "free": free,
                "auc_difference": difference,
                "within_bar": held,
            }
            print(json.dumps(row), flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
