#!/usr/bin/env python
"""Seconds of `import featx` and of `featx --help`, beside those of Python alone.

    python scripts/bench/startup.py [--rounds 9]

Prints one JSON line a case, with medians of fresh processes that alternate, and the ratio to
`python -c pass`; exits with 1 if one takes half a second, or imports TensorFlow or Keras.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BAR_SECONDS = 0.5

CASES = {
    "python -c pass": ["-c", "pass"],
    "import featx": ["-c", "import featx"],
    "featx --help": ["-m", "featx.cli", "--help"],
}


def seconds_of(arguments):
    """Run a fresh Python, and return how long it took."""
    since = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return time.perf_counter() - since


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


def main(rounds):
    """Time the cases in turn and judge them."""
    seconds = {case: [] for case in CASES}
    # The first round fills the file system's cache and writes byte code.
    for number in range(rounds + 1):
        for case, arguments in CASES.items():
            spent = seconds_of(arguments)
            if number:
                seconds[case].append(spent)
    medians = {case: statistics.median(values) for case, values in seconds.items()}
    alone, passed = medians.pop("python -c pass"), True
    for case, median in medians.items():
        networks = imports_networks(CASES[case])
        row = {
            "case": case,
            "seconds": round(median, 3),
            "python_alone_seconds": round(alone, 3),
            "ratio": round(median / alone, 1),
            "imports_networks": networks,
        }
        print(json.dumps(row), flush=True)
        passed &= median < BAR_SECONDS and not networks
    return 0 if passed else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    sys.exit(main(parser.parse_args().rounds))
