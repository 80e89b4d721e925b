#!/usr/bin/env python
"""Images a second of featx's engines against Keras' own `predict`, alternating, in one run.

    python scripts/bench/engines.py [BACKBONE ...]

Prints one JSON line a backbone: medians, and the ratios to `predict`. Weights are random, since
speed does not depend on their values.
"""

import importlib.util
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from featx.backbones._keras import import_keras
from featx.backbones.engines import make_engine
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights, load_base

IMAGES, ROUNDS = 64, 5


def usual_way(backbone, weights):
    """Return what most people write: preprocess, then `model.predict`."""
    keras = import_keras()
    base = load_base(backbone, weights)
    model = keras.Model(base.input, keras.layers.GlobalAveragePooling2D()(base.output))

    def embed(pixels):
        inputs = backbone.preprocessing(np.repeat(pixels[..., np.newaxis], 3, axis=3))
        return model.predict(inputs, batch_size=32, verbose=0)

    return embed


def main(names):
    """Time each backbone's ways in turn."""
    engines = ["keras", *(["openvino"] if importlib.util.find_spec("openvino") else [])]
    for name in names:
        backbone = get_backbone(name)
        weights = find_weights(backbone, "random")
        ways = {"predict": usual_way(backbone, weights)}
        ways |= {engine: make_engine(backbone, weights, engine).embed for engine in engines}
        shape = (IMAGES, *backbone.size)
        pixels = np.random.default_rng(0).random(shape, dtype=np.float32) * 255
        features = {way: embed(pixels) for way, embed in ways.items()}
        seconds = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, embed in ways.items():
                started = time.perf_counter()
                embed(pixels)
                seconds[way].append(time.perf_counter() - started)
        rates = {way: IMAGES / statistics.median(times) for way, times in seconds.items()}
        largest = np.abs(features["predict"]).max()
        print(
            json.dumps(
                {
                    "backbone": name,
                    "images_a_second": {way: round(rate, 1) for way, rate in rates.items()},
                    "ratio_to_predict": {
                        way: round(rates[way] / rates["predict"], 2) for way in engines
                    },
                    "largest_difference": {
                        way: float(np.abs(features[way] - features["predict"]).max() / largest)
                        for way in engines
                    },
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:] or ["efficientnet_lite0", "mobilenetv2", "resnet50", "densenet121"])
