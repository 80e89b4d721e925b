#!/usr/bin/env python
"""Three backbones in one call against three calls, on large images: what reading once saves.

    python scripts/bench/read_once.py FOLDER [--backbones a,b,c] [--rounds 3]

Each round times both ways, one after the other, from empty caches. Prints one JSON line with the
medians and exits with 1 if one call takes more than 0.97 of three.
"""

import argparse
import json
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from featx.datasets.dataset import ImageDataset
from featx.features.extraction import extract
from featx.features.matrix import FeatureMatrix

BAR = 0.97


def timed(images, calls, settings):
    """Return the seconds of some calls and what they gave, side by side."""
    with tempfile.TemporaryDirectory(prefix="featx-once-") as cache:
        since = time.perf_counter()
        matrices = [extract(images, names, cache=cache, **settings) for names in calls]
        return time.perf_counter() - since, FeatureMatrix.join(matrices)


def main():
    """Run both ways in turn and judge them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbones", default="efficientnet_lite0,mobilenetv2,densenet121")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--engine", default="auto")
    arguments = parser.parse_args()
    logging.getLogger("featx").setLevel(logging.WARNING)
    names = arguments.backbones.split(",")
    images = ImageDataset.open(arguments.folder, "kermany")
    # Speed does not depend on the values of the weights.
    settings = {"views": arguments.views, "engine": arguments.engine, "weights": "random"}
    # Libraries are loaded once, before either way is timed.
    timed(images.select([0]), [names], settings)
    together, apart = [], []
    for _ in range(arguments.rounds):
        seconds, one = timed(images, [names], settings)
        together.append(seconds)
        seconds, three = timed(images, names, settings)
        apart.append(seconds)
        assert np.array_equal(one.X, three.X)
    ratio = statistics.median(together) / statistics.median(apart)
    row = {
        "backbones": names,
        "images": len(images),
        "views": arguments.views,
        "engine": arguments.engine,
        "one_call": [round(seconds, 2) for seconds in together],
        "calls_apart": [round(seconds, 2) for seconds in apart],
        "ratio": round(ratio, 3),
    }
    print(json.dumps(row))
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
