#!/usr/bin/env python
"""How time and memory grow with the number of images: 1x, 2x, 4x, 8x, from files to HDF5.

    python scripts/bench/growth.py [--images 2000] [--rounds 3] [--engine quick|keras|openvino]

Each extraction is a process of its own with an empty cache; loading the network is not counted, and
sizes alternate. Prints one JSON line a size, of medians, and one with the exponent of time over
images, fitted to the logarithms; exits with 1 if it is not between 0.95 and 1.05, or if eight times
the images take over a tenth more memory. See memory.py for what ``--engine quick`` is.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from memory import BAR, make_images, run_apart

EXPONENT = (0.95, 1.05)
TIMES = (1, 2, 4, 8)


def main(arguments):
    """Run the sizes in turn and judge them."""
    rows = {times: [] for times in TIMES}
    with tempfile.TemporaryDirectory(prefix="featx-growth-") as scratch:
        for times in TIMES:
            make_images(Path(scratch, str(times), "images"), times * arguments.images)
        for _ in range(arguments.rounds):
            for times in TIMES:
                rows[times].append(run_apart(Path(scratch, str(times)), arguments))
    seconds, peaks = [], []
    for times in TIMES:
        spent = [row["seconds"] - row["loading_seconds"] for row in rows[times]]
        seconds.append(statistics.median(spent))
        peaks.append(statistics.median(row["peak_bytes"] for row in rows[times]))
        line = {
            "images": times * arguments.images,
            "engine": arguments.engine,
            "seconds": round(seconds[-1], 2),
            "time_ratio": round(seconds[-1] / seconds[0], 2),
            "peak_bytes": int(peaks[-1]),
            "memory_ratio": round(peaks[-1] / peaks[0], 3),
        }
        print(json.dumps(line), flush=True)
    exponent, _ = np.polyfit(np.log(TIMES), np.log(seconds), 1)
    print(json.dumps({"time_exponent": round(float(exponent), 3)}))
    low, high = EXPONENT
    return 0 if low <= exponent <= high and peaks[-1] / peaks[0] <= BAR else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", choices=["quick", "auto", "keras", "openvino"], default="quick")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--views", type=int, default=2)
    sys.exit(main(parser.parse_args()))
