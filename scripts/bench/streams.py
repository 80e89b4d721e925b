#!/usr/bin/env python
"""Whether other streams of OpenVINO, or other batches of Keras, would be faster than featx's.

    python scripts/bench/streams.py [BACKBONE ...] [--rounds N]

Prints one JSON line a backbone: images a second of each, alternating, medians; as ratios to what
featx does (OpenVINO's own choice for throughput; 8 images a batch on a CPU); and whether each gives
the same bits. Weights are random.
"""

import argparse
import json
import os
import statistics
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from featx.backbones._openvino import OneByOne, convert, import_openvino
from featx.backbones.engines import KerasEngine, pooled_model
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights, load_base

PIXELS = 32


class Streams(OneByOne):
    """The same with a given number of streams."""

    def __init__(self, network, streams):
        openvino = import_openvino()
        settings = {"NUM_STREAMS": str(streams), "INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.Core().compile_model(network, "CPU", settings)
        self._shapes = [tuple(output.shape[1:]) for output in compiled.outputs]
        self._make_requests = partial(openvino.AsyncInferQueue, compiled)
        self._idle = []


def main(names, rounds):
    """Time each backbone's ways in turn."""
    cores = len(os.sched_getaffinity(0))
    for name in names:
        backbone = get_backbone(name)
        base = load_base(backbone, find_weights(backbone, "random"))
        network = convert(pooled_model(base, backbone, 1, "average"))
        streams = sorted({1, max(1, cores // 2), cores, 2 * cores})
        ways = {"openvino": OneByOne(network).outputs}
        ways |= {f"openvino, {count} streams": Streams(network, count).outputs for count in streams}
        keras = {size: KerasEngine(base, backbone, batch_size=size) for size in (8, 2, 16, 32)}
        ways |= {f"keras, batches of {size}": engine.embed for size, engine in keras.items()}
        shape = (PIXELS, *backbone.size, 1)
        pixels = np.random.default_rng(0).random(shape, dtype=np.float32) * 255
        features = {way: embed(pixels) for way, embed in ways.items()}
        seconds = {way: [] for way in ways}
        for _ in range(rounds):
            for way, embed in ways.items():
                started = time.perf_counter()
                embed(pixels)
                seconds[way].append(time.perf_counter() - started)
        rates = {way: PIXELS / statistics.median(times) for way, times in seconds.items()}
        usual = {way: "openvino" if "openvino" in way else "keras, batches of 8" for way in ways}
        line = {
            way: {
                "images_a_second": round(rate, 1),
                "ratio": round(rate / rates[usual[way]], 2),
                "same_bits": bool(np.array_equal(features[way], features[usual[way]])),
            }
            for way, rate in rates.items()
        }
        print(json.dumps({"backbone": name, "cores": cores, **line}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("backbones", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    main(arguments.backbones or ["efficientnet_lite0", "resnet50"], arguments.rounds)
