#!/usr/bin/env python
"""What a cache of a million images x 4 views costs to open, search and plan with.

    python scripts/bench/million.py [--images 1000000] [--missing 0.01] [--folder FOLDER]

Fills a cache with real parts whose rows are few numbers wide (what is measured does not read the
features), leaves some out, and then in fresh processes: remembers which file has which digest,
finds what is missing with the index and without it, and cuts what is missing into batches. Prints
one JSON line a case and exits with 1 if, with the index, all this takes over 30 seconds or 2 GiB.
With --folder the cache is kept there and used again.
"""

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

VIEWS = 4
WIDTH = 2
BAR_SECONDS = 30
BAR_BYTES = 2 * 2**30


def digest_of(number):
    """Return the made-up digest of an image."""
    return hashlib.sha256(b"%d" % number).hexdigest()


def open_cache(folder):
    """Open the cache of a made-up recipe."""
    from featx.features.config import ExtractionConfig
    from featx.features.pipeline import embedders_of

    config = ExtractionConfig("densenet169", views=VIEWS, weights="random", cache=folder / "cache")
    (embedder,) = embedders_of(config)
    return embedder


def list_images(count):
    """List made-up files of an archive."""
    from featx.datasets.dataset import ImageDataset

    names = tuple(f"{number // 1000:04d}/{number:07d}.dcm" for number in range(count))
    return ImageDataset(
        names=names,
        labels=np.full(count, -1),
        class_names=(),
        patients=np.array(names),
        patients_known=False,
        splits=np.full(count, ""),
        sources=tuple(Path("/archive", name) for name in names),
    )


def fill(folder, images, missing):
    """Write the shards and the index of files, without waiting for the disk."""
    import os

    from featx.features.cache.file_hashes import MEMORY_NAME, _Memory
    from featx.features.pipeline import ROWS_PER_SHARD

    os.fsync = lambda _: None
    store = open_cache(folder).store
    step = ROWS_PER_SHARD // VIEWS
    generator = np.random.default_rng(0)
    for start in range(0, images, step):
        if generator.random() < missing:
            continue
        digests = [digest_of(number) for number in range(start, min(start + step, images))]
        keys = [(digest, view) for digest in digests for view in range(VIEWS)]
        store.add(keys, np.full((len(keys), WIDTH), start, dtype=np.float32), 1.0)
    store.save_index()
    memory = _Memory(folder / "cache" / MEMORY_NAME)
    for number in range(images):
        memory.put(file_key(number), digest_of(number), digest_of(number))
    memory.save()


def file_key(number):
    """Return the made-up state of an image file."""
    return hashlib.blake2b(b"%d" % number, digest_size=16).digest()


def measure(folder, images):
    """Do what a run does before it reads the first image, and print what it took."""
    from featx.features.cache.file_hashes import MEMORY_NAME, Hashed, _Memory
    from featx.features.pipeline import find_missing, images_to_read

    dataset = list_images(images)
    states = [file_key(number) for number in range(images)]
    seconds, began, worked = {}, time.perf_counter(), time.process_time()

    def lap(name):
        seconds[name] = round(time.perf_counter() - began - sum(seconds.values()), 2)

    memory = _Memory(folder / "cache" / MEMORY_NAME)
    digests, keys = zip(*(memory.get(state) for state in states), strict=True)
    lap("know files")
    embedder = open_cache(folder)
    missing = find_missing([embedder], keys, VIEWS)
    lap("find missing rows")
    numbers = images_to_read(Hashed(dataset, np.arange(images), digests, keys, {}), missing)
    lap("list images to read")
    row = {
        "images": images,
        "rows": images * VIEWS,
        "shards": len(list(embedder.store.folder.glob("part-*.h5"))),
        "index_bytes": (embedder.store.folder / "keys.index").stat().st_size,
        "missing_images": len(numbers),
        "seconds": seconds,
        "total_seconds": round(sum(seconds.values()), 2),
        "cpu_seconds": round(time.process_time() - worked, 2),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(row))


def run(step, arguments, folder):
    """Do a step in a fresh process."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
    command += ["--images", str(arguments.images), "--missing", str(arguments.missing)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main():
    """Run the cases and judge the one with the index."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--missing", type=float, default=0.01, help="Share of parts left out.")
    parser.add_argument("--folder", type=Path, help="Of the cache, to be kept.")
    parser.add_argument("--step", choices=["fill", "measure"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step == "fill":
        fill(arguments.folder, arguments.images, arguments.missing)
        return 0
    if arguments.step == "measure":
        measure(arguments.folder, arguments.images)
        return 0
    with tempfile.TemporaryDirectory(prefix="featx-million-") as temporary:
        folder = arguments.folder or Path(temporary)
        if not (folder / "cache").exists():
            run("fill", arguments, folder)
        (index,) = (folder / "cache").glob("*/keys.index")
        row = json.loads(run("measure", arguments, folder))
        print(json.dumps({"index": "there", **row}), flush=True)
        index.unlink()
        without = json.loads(run("measure", arguments, folder))
        print(json.dumps({"index": "lost", **without}), flush=True)
    passed = row["total_seconds"] <= BAR_SECONDS and row["peak_bytes"] <= BAR_BYTES
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
