#!/usr/bin/env python
"""Images a second from files to an HDF5 matrix, against ready arrays, the usual way and a peer.

    python scripts/bench/end_to_end.py FOLDER [BACKBONE ...] [--images 200] [--rounds 3] [--timm]

FOLDER holds JPEGs, full-size ones for figures that mean something; each is copied, with other bytes
in a comment, until there are enough. One after the other, `--rounds` times:

featx   `featx.extract` from an empty cache to a matrix file, one view an image
arrays  the same engine, given all views at once, ready in memory
usual   `keras.utils.image_dataset_from_directory`, `map`, `prefetch`, `model.predict`, `np.save`
timm    with `--timm`, where it is installed: a data loader and a loop on the CPU

Loading a network and holding it against the cache's probe is in none of them; weights are random,
and files are in the page cache. Prints one JSON line a backbone, of medians and of featx's ratios
to each, and one of the mean; exits with 1 if one is under its bar.
"""

import argparse
import json
import logging
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

import featx

BACKBONES = ["resnet50", "inceptionv3", "densenet121", "densenet169"]
TO_ARRAYS = 0.9
TO_USUAL = {"float32": (1.3, 1.6), "int8": (3.0, 3.0)}
TIMM_NAMES = {"inceptionv3": "inception_v3"}


def copy_images(source, target, count):
    """Copy JPEGs, each with a comment of its own, until there are `count`."""
    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".jpeg", ".jpg"))
    if not paths:
        sys.exit(f"there is no JPEG in {source}")
    target.mkdir()
    for number in range(count):
        content = paths[number % len(paths)].read_bytes()
        comment = f"{number:06d}".encode()
        marker = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        (target / f"{number:06d}.jpeg").write_bytes(content[:2] + marker + content[2:])


@contextmanager
def one_engine(pipeline):
    """Load the first engine only, use it for every extraction, and skip drift checks."""
    engines, check = [], pipeline.check_drift

    def load_once(embedder):
        if not engines:
            engines.append(embedder.load_engine())
        return engines[0]

    pipeline.check_drift = lambda *_, **__: None
    with pipeline.ENGINES.using(load_once):
        yield engines
    pipeline.check_drift = check


class Featx:
    """The road of featx, and its engine alone."""

    def __init__(self, name, images, folder, arguments, engines):
        from featx.features.extraction import extract
        from featx.images.augmentation import POLICIES, make_view

        self.folder, self._extract = folder, extract
        self.settings = {"augmentation": "none", "views": 1, "engine": arguments.engine}
        self.settings |= {"backbones": name, "weights": "random"}
        if arguments.precision == "int8":
            file = folder / "int8.xml"
            network = featx.quantize(name, images, out=file, weights="random", cache=folder)
            self.settings |= {"backbones": network, "weights": "imagenet"}
        # A cache with the network, and with one image that is not among those timed.
        first = extract(images.select([0]), cache=folder / "template", **self.settings)
        (self.engine,) = engines
        self.images = images.select(range(1, len(images)))
        size, policy = first.recipes[0]["size"], POLICIES["none"]
        self.views = np.stack(
            [make_view(self.images.read(n), "", 0, size, policy) for n in range(len(self.images))]
        )

    def extract(self):
        """Go from files to a matrix file; return the seconds."""
        cache = self.folder / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(self.folder / "template", cache)
        since = time.perf_counter()
        matrix = self._extract(
            self.images, cache=cache, out=self.folder / "matrix.h5", **self.settings
        )
        seconds = time.perf_counter() - since
        assert matrix.n_images == len(self.images)
        return seconds

    def embed(self):
        """Embed ready arrays; return the seconds."""
        since = time.perf_counter()
        self.engine.embed(self.views)
        return time.perf_counter() - since


def usual_way(name, files, folder):
    """Return what most people write, timed."""
    from featx.backbones._keras import import_keras
    from featx.backbones.registry import get_backbone
    from featx.backbones.weights import find_weights, load_base

    keras = import_keras()
    backbone = get_backbone(name)
    base = load_base(backbone, find_weights(backbone, "random"))
    model = keras.Model(base.input, keras.layers.GlobalAveragePooling2D()(base.output))

    def run():
        since = time.perf_counter()
        dataset = keras.utils.image_dataset_from_directory(
            files, labels=None, image_size=backbone.size, shuffle=False, verbose=False
        )
        # What tf.data calls AUTOTUNE.
        chosen_by_itself = -1
        dataset = dataset.map(backbone.preprocessing, num_parallel_calls=chosen_by_itself)
        features = model.predict(dataset.prefetch(chosen_by_itself), verbose=0)
        np.save(folder / "usual.npy", features)
        return time.perf_counter() - since

    # The graph is traced before it is timed.
    model.predict(np.zeros((32, *backbone.size, 3), dtype=np.float32), verbose=0)
    return run


def timm_way(name, files, folder):
    """Return a loop over timm's network of that name, timed, in a process of its own."""
    command = [sys.executable, __file__, str(files), name, "--as-timm", str(folder / "timm.npy")]
    return lambda: float(subprocess.check_output(command).split()[-1])


def run_timm(name, files, target):
    """Embed with timm as its documentation shows, and print the seconds."""
    import os

    import timm
    import torch
    from PIL import Image

    model = timm.create_model(TIMM_NAMES.get(name, name), pretrained=False, num_classes=0).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))

    class Files(torch.utils.data.Dataset):
        paths = sorted(files.iterdir())

        def __len__(self):
            return len(self.paths)

        def __getitem__(self, number):
            return transform(Image.open(self.paths[number]).convert("RGB"))

    workers = len(os.sched_getaffinity(0))
    since = time.perf_counter()
    with torch.inference_mode():
        loader = torch.utils.data.DataLoader(Files(), batch_size=32, num_workers=workers)
        np.save(target, torch.cat([model(batch) for batch in loader]).numpy())
    print(time.perf_counter() - since)


def measure(name, images, files, folder, arguments):
    """Time a backbone's ways in turn and return the row."""
    from featx.features import pipeline

    with one_engine(pipeline) as engines:
        return timed(
            Featx(name, images, folder, arguments, engines), name, files, folder, arguments
        )


def timed(featx, name, files, folder, arguments):
    """Time the ways of a backbone that is loaded."""
    ways = {"featx": featx.extract, "arrays": featx.embed, "usual": usual_way(name, files, folder)}
    if arguments.timm:
        ways["timm"] = timm_way(name, files, folder)
    seconds = {way: [] for way in ways}
    for _ in range(arguments.rounds):
        for way, run in ways.items():
            seconds[way].append(run())
    rates = {way: len(featx.images) / statistics.median(s) for way, s in seconds.items()}
    return {
        "backbone": name,
        "engine": featx.engine.name,
        "precision": arguments.precision,
        "images": len(featx.images),
        "images_a_second": {way: round(rate, 1) for way, rate in rates.items()},
        "ratio": {way: round(rates["featx"] / rate, 3) for way, rate in rates.items()},
    }


def main(arguments):
    """Measure each backbone and judge."""
    from featx.datasets.dataset import ImageDataset

    logging.getLogger("featx").setLevel(logging.WARNING)
    each, mean = TO_USUAL[arguments.precision]
    to_usual, passed = [], True
    with tempfile.TemporaryDirectory(prefix="featx-end-to-end-") as scratch:
        files = Path(scratch, "images")
        copy_images(arguments.folder, files, arguments.images + 1)
        images = ImageDataset.open(files, labeled=False)
        for name in arguments.backbones or BACKBONES:
            row = measure(name, images, files, Path(scratch), arguments)
            shutil.rmtree(Path(scratch, "template"))
            print(json.dumps(row), flush=True)
            to_usual.append(row["ratio"]["usual"])
            passed &= row["ratio"]["arrays"] >= TO_ARRAYS and to_usual[-1] >= each
    print(json.dumps({"mean_ratio_to_usual": round(statistics.mean(to_usual), 3)}))
    return 0 if passed and statistics.mean(to_usual) >= mean else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("backbones", nargs="*")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision", choices=list(TO_USUAL), default="float32")
    parser.add_argument("--timm", action="store_true")
    parser.add_argument("--as-timm", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.as_timm:
        run_timm(arguments.backbones[0], arguments.folder, arguments.as_timm)
    else:
        sys.exit(main(arguments))
