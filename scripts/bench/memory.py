#!/usr/bin/env python
"""Peak memory of extractions of ever more images, each in a process of its own.

    python scripts/bench/memory.py [--images 5000 10000 25000 50000] [--engine quick|keras|openvino]

Prints one JSON line a case with the ratio to the first, and exits with 1 if the last needs more
than a tenth above it. With ``--engine quick`` the backbone is loaded and embeds the first batch,
so that it is in memory; later batches get made-up features, so that the curve is had in minutes.
"""

import argparse
import json
import logging
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

BAR = 1.1
SIZE = 64


def make_images(folder, count):
    """Write small pictures, no two alike, alternately JPEG and PNG, in two classes."""
    from PIL import Image

    generator = np.random.default_rng(count)
    for label in ("NORMAL", "PNEUMONIA"):
        (folder / label).mkdir(parents=True)
    for number in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (5, 6), dtype=np.uint8))
        label, suffix = ("NORMAL", "PNEUMONIA")[number % 2], (".jpeg", ".png")[number // 2 % 2]
        path = folder / label / f"person{number // 2}_image{number}{suffix}"
        coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(path)


class QuickEngine:
    """The real engine for the first batch; then features that cost next to nothing."""

    def __init__(self, engine, n_features):
        self.engine = engine
        self.name = "quick"
        self.n_features = n_features
        self.warm = False

    def versions(self):
        """Those of the real engine."""
        return self.engine.versions()

    def embed(self, pixels):
        """Return features, shape (n, n_features)."""
        if not self.warm:
            self.warm = True
            return self.engine.embed(pixels)
        flat = pixels.reshape(len(pixels), -1)[:, : self.n_features]
        return np.ascontiguousarray(flat, dtype=np.float32)


def extract(arguments):
    """Extract in this process and print its peak memory."""
    from featx.datasets.dataset import ImageDataset
    from featx.features.extraction import extract
    from featx.features.pipeline import ENGINES

    logging.getLogger("featx").setLevel(logging.WARNING)
    loading = []
    quick = arguments.engine == "quick"

    def make_engine(embedder):
        since = time.perf_counter()
        engine = embedder.load_engine()
        # Networks are compiled for the first pixels that they see.
        engine.embed(np.zeros((1, *embedder.backbone.size), dtype=np.float32))
        loading.append(time.perf_counter() - since)
        return QuickEngine(engine, embedder.backbone.features) if quick else engine

    ENGINES.factory = make_engine
    began = time.perf_counter()
    matrix = extract(
        ImageDataset.open(arguments.folder / "images", r"(person\d+)_"),
        arguments.backbone,
        views=arguments.views,
        engine="auto" if quick else arguments.engine,
        cache=arguments.folder / "cache",
        out=arguments.folder / "matrix.h5",
    )
    assert matrix.X.shape[0] == matrix.n_images * arguments.views
    print(
        json.dumps(
            {
                "images": matrix.n_images,
                "rows": len(matrix),
                "features": matrix.X.shape[1],
                "seconds": round(time.perf_counter() - began, 2),
                "loading_seconds": round(sum(loading), 2),
                "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    )


def run_apart(folder, arguments):
    """Extract a folder's images in a fresh process, from an empty cache."""
    shutil.rmtree(folder / "cache", ignore_errors=True)
    command = [sys.executable, __file__, "--folder", str(folder), "--engine", arguments.engine]
    command += ["--backbone", arguments.backbone, "--views", str(arguments.views)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main():
    """Run the cases and judge them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[5000, 10000, 25000, 50000])
    parser.add_argument("--engine", choices=["quick", "auto", "keras", "openvino"], default="quick")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        extract(arguments)
        return 0
    ratio, first = 1.0, None
    for count in arguments.images:
        with tempfile.TemporaryDirectory(prefix="featx-memory-") as folder:
            make_images(Path(folder, "images"), count)
            row = run_apart(Path(folder), arguments)
        first = first or row["peak_bytes"]
        ratio = row["peak_bytes"] / first
        print(json.dumps({**row, "engine": arguments.engine, "ratio": round(ratio, 3)}), flush=True)
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
