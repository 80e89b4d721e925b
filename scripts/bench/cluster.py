#!/usr/bin/env python
"""Two workers of one thread each against one process with two threads: what a cluster costs.

    python scripts/bench/cluster.py FOLDER [--backbone NAME] [--images 512] [--rounds 3]

Each round times both, one after the other, from empty caches, with networks that are loaded. The
one process is this one, without Dask. A batch has 128 images at 4 views: give whole batches to both
workers, or one of them has nothing to do in the end. Prints one JSON line with the medians of views
a second, and exits with 1 if the cluster reaches less than 0.9 of the one process, or gives another
matrix.
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
from distributed import Client, LocalCluster

from featx.datasets.dataset import ImageDataset
from featx.features.extraction import extract
from featx.features.pipeline import ENGINES
from featx.runtime.parallel import set_engine_threads, set_jobs

BAR = 0.9
THREADS = 2


def timed(images, cache, settings):
    """Return the seconds of an extraction from an empty cache, and its matrix."""
    for path in (*cache.glob("*/part-*.h5"), *cache.glob("*/*.index")):
        path.unlink()
    since = time.perf_counter()
    matrix = extract(images, cache=cache, **settings)
    return time.perf_counter() - since, matrix


def main():
    """Run both ways in turn and judge them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--engine", default="auto")
    arguments = parser.parse_args()
    logging.getLogger("featx").setLevel(logging.WARNING)
    set_jobs(THREADS)
    set_engine_threads(THREADS)
    images = ImageDataset.open(arguments.folder, labeled=False)
    images = images.select(np.linspace(0, len(images) - 1, arguments.images).astype(int))
    settings = {
        "backbones": arguments.backbone,
        "views": arguments.views,
        "engine": arguments.engine,
    }
    # Networks stay loaded, as on workers.
    ENGINES.size = 8
    alone, together = [], []
    with (
        tempfile.TemporaryDirectory(prefix="featx-cluster-") as scratch,
        LocalCluster(
            n_workers=THREADS,
            threads_per_worker=1,
            dashboard_address=None,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        for number in range(arguments.rounds + 1):
            one_seconds, one = timed(images, Path(scratch, "one"), settings)
            two_seconds, two = timed(images, Path(scratch, "two"), {**settings, "client": client})
            if not np.array_equal(one.X, two.X):
                print("the cluster gives another matrix", file=sys.stderr)
                return 1
            # In the first round libraries and networks are loaded.
            if number:
                alone.append(len(one) / one_seconds)
                together.append(len(two) / two_seconds)
    ratio = statistics.median(together) / statistics.median(alone)
    row = {
        "backbone": arguments.backbone,
        "engine": arguments.engine,
        "images": len(images),
        "views": arguments.views,
        "one_process_views_a_second": [round(rate, 1) for rate in alone],
        "two_workers_views_a_second": [round(rate, 1) for rate in together],
        "ratio": round(ratio, 3),
    }
    print(json.dumps(row))
    return 0 if ratio >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
