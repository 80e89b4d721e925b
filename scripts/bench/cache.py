#!/usr/bin/env python
"""What a warm cache costs, against computing, and for a whole data set.

    python scripts/bench/cache.py FOLDER [--images 600] [--backbone efficientnet_lite0]

Two JSON lines. "computed": some images of FOLDER, embedded by the real backbone and then asked for
again; exits with 1 if asking takes more than a hundredth of computing. "whole": all images of
FOLDER, with made-up features, asked for again: seconds in all, and of these the seconds that
reading, checking and copying the rows takes; exits with 1 if the rest takes a second or more.
Each call is in a process of its own; medians of three warm ones.
"""

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

BAR_SHARE, BAR_SECONDS, WARM_CALLS = 0.01, 1.0, 3


class MadeUpEngine:
    """Features that cost nothing."""

    name = "made up"

    def __init__(self, n_features):
        self.n_features = n_features

    def versions(self):
        """Tell nothing that the cache would hold against other rows."""
        return {}

    def embed(self, pixels):
        """Return features, shape (n, n_features)."""
        return np.ascontiguousarray(pixels.reshape(len(pixels), -1)[:, : self.n_features])


def extract(arguments):
    """Extract in this process and print what it took."""
    from featx.datasets.dataset import ImageDataset
    from featx.features.cache.store import FeatureStore
    from featx.features.extraction import extract
    from featx.features.pipeline import ENGINES

    logging.getLogger("featx").setLevel(logging.WARNING)
    if arguments.made_up:
        ENGINES.factory = lambda embedder: MadeUpEngine(embedder.backbone.features)
    collect, reading = FeatureStore.collect, []

    def timed(*rest):
        since = time.perf_counter()
        result = collect(*rest)
        reading.append(time.perf_counter() - since)
        return result

    FeatureStore.collect = timed
    images = ImageDataset.open(arguments.folder, "kermany")
    chosen = np.linspace(0, len(images) - 1, min(arguments.images, len(images))).astype(int)
    images = images.select(chosen)
    since = time.perf_counter()
    matrix = extract(images, arguments.backbone, views=arguments.views, cache=arguments.cache)
    seconds = time.perf_counter() - since
    facts = {"images": matrix.n_images, "rows": len(matrix), "seconds": seconds}
    print(json.dumps({**facts, "reading": sum(reading)}))


def call(arguments, cache, images, made_up):
    """Extract in a fresh process."""
    command = [sys.executable, __file__, str(arguments.folder), "--cache", str(cache)]
    command += ["--backbone", arguments.backbone, "--views", str(arguments.views)]
    command += ["--images", str(images), *(["--made-up"] if made_up else [])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def measure(arguments, images, made_up):
    """Fill a cache and ask it again, a few times."""
    with tempfile.TemporaryDirectory(prefix="featx-cache-") as cache:
        cold = call(arguments, cache, images, made_up)
        warm = [call(arguments, cache, images, made_up) for _ in range(WARM_CALLS)]
    seconds = statistics.median(row["seconds"] for row in warm)
    answer = statistics.median(row["seconds"] - row["reading"] for row in warm)
    return {
        "case": "whole" if made_up else "computed",
        "backbone": arguments.backbone,
        "images": cold["images"],
        "rows": cold["rows"],
        "cold_seconds": round(cold["seconds"], 3),
        "warm_seconds": round(seconds, 3),
        "warm_seconds_without_reading_rows": round(answer, 3),
        "share": round(seconds / cold["seconds"], 5),
    }


def main():
    """Run the cases and judge them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--cache", help=argparse.SUPPRESS)
    parser.add_argument("--made-up", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cache:
        extract(arguments)
        return 0
    computed = measure(arguments, arguments.images, made_up=False)
    print(json.dumps(computed), flush=True)
    whole = measure(arguments, sys.maxsize, made_up=True)
    print(json.dumps(whole), flush=True)
    kept = computed["share"] <= BAR_SHARE
    return 0 if kept and whole["warm_seconds_without_reading_rows"] < BAR_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
