#!/usr/bin/env python
"""Seconds and memory of whole processes: imports, a prediction of one image, an extraction.

    python scripts/bench/startup.py [FOLDER] [--rounds 9] [--images 240] [--against CHECKOUT]

Without FOLDER `import featx` and `featx --help`, beside Python alone. FOLDER holds two classes of
JPEGs, full-size ones for figures that mean something. Then also, by processes that alternate:

predict  `featx predict` on one new image with EfficientNet-Lite0, its network kept from an earlier
         run; against the same where nothing is kept, and against the checkout of another version
extract  `featx extract` of `--images` new ones with DenseNet-121 (random weights), from its second
         run on; against a script of `keras.utils.image_dataset_from_directory`, `map`, `prefetch`,
         `model.predict` and `np.save`, and against the checkout

Files are in the page cache. Prints one JSON line a case: medians of seconds, of CPU seconds and of
resident memory, and the ratio of the other way's seconds to these. Exits with 1 if one is under its
bar, or an import takes half a second or imports TensorFlow or Keras.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BAR_SECONDS = 0.5
BARS = {"predict without a kept network": 2.0, "extract the usual way": 1.7}

IMPORTS = {
    "python -c pass": ["-c", "pass"],
    "import featx": ["-c", "import featx"],
    "featx --help": ["-m", "featx.cli", "--help"],
}

USUAL = """
import sys
import keras
import numpy as np
folder, out = sys.argv[1:]
base = keras.applications.DenseNet121(include_top=False, weights=None, pooling="avg")
images = keras.utils.image_dataset_from_directory(
    folder, labels=None, image_size=(224, 224), shuffle=False, verbose=False
)
images = images.map(keras.applications.densenet.preprocess_input, num_parallel_calls=-1)
np.save(out, base.predict(images.prefetch(-1), verbose=0))
"""

EXTRACT = ["--backbones", "densenet121", "--weights", "random", "--views", "1"]
EXTRACT += ["--augmentation", "none"]


def run(arguments, source=ROOT):
    """Run a fresh Python; return its seconds, CPU seconds and resident megabytes."""
    since = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(source), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=source,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        errors = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{arguments}: {errors}")
    spent = time.perf_counter() - since
    return spent, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def featx(*arguments):
    """Return the arguments that run featx's command line."""
    return ["-m", "featx.cli", *arguments]


def imports_networks(arguments):
    """Tell whether TensorFlow or Keras is imported on the way."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    return bool({"tensorflow", "keras"} & names)


def alternate(rounds, ways):
    """Run ways in turn, each given the number of the round; return medians of each."""
    found = {way: [] for way in ways}
    # The first round fills the file system's cache and writes byte code.
    for number in range(rounds + 1):
        for way, work in ways.items():
            measured = work(number)
            if number:
                found[way].append(measured)
    return {
        way: [statistics.median(each) for each in zip(*rows, strict=True)]
        for way, rows in found.items()
    }


def report(case, medians, first):
    """Print a line for each other way; return whether the ratios reach their bars."""
    names = ("seconds", "cpu_seconds", "megabytes")
    mine, passed = medians[first], True
    for way, others in medians.items():
        if way != first:
            row = {"case": case, "against": way}
            row |= {name: round(value, 2) for name, value in zip(names, mine, strict=True)}
            row |= {
                f"{name}_there": round(value, 2) for name, value in zip(names, others, strict=True)
            }
            row["ratio"] = round(others[0] / mine[0], 2)
            row["cpu_ratio"] = round(others[1] / mine[1], 2)
            print(json.dumps(row), flush=True)
            passed &= row["ratio"] >= BARS.get(f"{case} {way}", 0)
    return passed


def measure_imports(rounds):
    """Time the imports and judge them."""
    ways = {case: lambda _, words=words: run(words) for case, words in IMPORTS.items()}
    medians = alternate(rounds, ways)
    alone, passed = medians.pop("python -c pass")[0], True
    for case, (median, _, memory) in medians.items():
        networks = imports_networks(IMPORTS[case])
        row = {
            "case": case,
            "seconds": round(median, 3),
            "megabytes": round(memory),
            "python_alone_seconds": round(alone, 3),
            "ratio": round(median / alone, 1),
            "imports_networks": networks,
        }
        print(json.dumps(row), flush=True)
        passed &= median < BAR_SECONDS and not networks
    return passed


def measure_prediction(folder, scratch, sources, rounds):
    """Time predictions of one new image."""
    for source, name in sources:
        template = scratch / f"{name} predict"
        matrix, models = scratch / f"{name}.h5", scratch / f"{name} models"
        run(featx("extract", folder, "--cache", template, "--out", matrix), source)
        run(featx("fit", matrix, "--classifiers", "svm", "--out", models), source)
    files = sorted((scratch / "images").iterdir())

    def predict(source, name, forget, number):
        cache, image = scratch / f"{name} predict", scratch / "new"
        shutil.rmtree(image, ignore_errors=True)
        image.mkdir()
        shutil.copy(files[2 * number + forget], image)
        if forget:
            shutil.rmtree(cache / "networks", ignore_errors=True)
        model = scratch / f"{name} models" / "svm.skops"
        words = ["--cache", cache, "--out", scratch / "predictions.csv"]
        return run(featx("predict", model, image, *words), source)

    ways = {name: lambda n, s=s, name=name: predict(s, name, 0, n) for s, name in sources}
    # It keeps the network again, for the next round of the first way.
    ways["without a kept network"] = lambda n: predict(*sources[0], 1, n)
    return report("predict", alternate(rounds, ways), sources[0][1])


def measure_extraction(scratch, sources, rounds):
    """Time extractions of new images, with the network kept."""
    files = scratch / "images"
    one = scratch / "one"
    one.mkdir()
    shutil.copy(sorted(files.iterdir())[-1], one)
    (files / sorted(path.name for path in files.iterdir())[-1]).unlink()
    for source, name in sources:
        words = ["--cache", scratch / f"{name} extract", "--out", scratch / "one.h5"]
        run(featx("extract", one, *EXTRACT, *words), source)

    def extract(source, name, _):
        cache = scratch / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(scratch / f"{name} extract", cache)
        words = ["--cache", cache, "--out", scratch / "all.h5"]
        return run(featx("extract", files, *EXTRACT, *words), source)

    ways = {name: lambda n, s=s, name=name: extract(s, name, n) for s, name in sources}
    ways["the usual way"] = lambda _: run(["-c", USUAL, files, scratch / "usual.npy"])
    return report("extract", alternate(rounds, ways), sources[0][1])


def main(arguments):
    """Measure what was asked for and judge."""
    passed = measure_imports(arguments.rounds)
    if arguments.folder is None:
        return 0 if passed else 1
    from end_to_end import copy_images

    sources = [(ROOT, "this version")]
    if arguments.against is not None:
        sources.append((arguments.against.absolute(), "the other version"))
    with tempfile.TemporaryDirectory(prefix="featx-startup-") as folder:
        scratch = Path(folder)
        copy_images(arguments.folder, scratch / "images", arguments.images + 1)
        passed &= measure_prediction(
            arguments.folder.absolute(), scratch, sources, arguments.rounds
        )
        passed &= measure_extraction(scratch, sources, max(1, arguments.rounds // 3))
    return 0 if passed else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--against", type=Path)
    sys.exit(main(parser.parse_args()))
