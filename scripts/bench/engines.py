#!/usr/bin/env python
"""Images a second of featx's engines against Keras' own `predict`, alternating, in one run.

    python scripts/bench/engines.py [BACKBONE ...] [--images N] [--rounds N]

Prints one JSON line a backbone: medians, and the ratios to `predict`. Of networks that featx does
not have, such as timm:FOLDER, OpenVINO is compared with their own library. `timm-random:NAME` is
an architecture of timm. Weights are random, since speed does not depend on their values.
"""

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from featx.backbones._keras import import_keras
from featx.backbones.brought import Backbone
from featx.backbones.engines import make_engine
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights, load_base


def random_timm(architecture, folder):
    """Save an architecture of timm with random weights; return its name as a backbone."""
    import timm

    timm.models.save_for_hf(timm.create_model(architecture), folder, safe_serialization=True)
    return f"timm:{folder}"


def usual_way(backbone, weights):
    """Return what most people write: preprocess, then `model.predict`."""
    keras = import_keras()
    base = load_base(backbone, weights)
    model = keras.Model(base.input, keras.layers.GlobalAveragePooling2D()(base.output))

    def embed(pixels):
        inputs = backbone.preprocessing(np.repeat(pixels[..., np.newaxis], 3, axis=3))
        return model.predict(inputs, batch_size=32, verbose=0)

    return embed


def ways_of(name):
    """Return the record of a backbone, and the ways to run it, the usual one first."""
    backbone = get_backbone(name)
    weights = find_weights(backbone, "random")
    if isinstance(backbone, Backbone):
        engines = sorted(backbone.engines, key="openvino".__eq__)
        return backbone, {
            engine: make_engine(backbone, weights, engine).embed for engine in engines
        }
    engines = ["keras", *(["openvino"] if importlib.util.find_spec("openvino") else [])]
    ways = {engine: make_engine(backbone, weights, engine).embed for engine in engines}
    return backbone, {"predict": usual_way(backbone, weights), **ways}


def main(names, images, rounds):
    """Time each backbone's ways in turn."""
    for name in names:
        kind, _, architecture = name.partition(":")
        with tempfile.TemporaryDirectory() as folder:
            name = random_timm(architecture, folder) if kind == "timm-random" else name
            backbone, ways = ways_of(name)
        pixels = np.random.default_rng(0).random((images, *backbone.size), dtype=np.float32) * 255
        features = {way: embed(pixels) for way, embed in ways.items()}
        seconds = {way: [] for way in ways}
        for _ in range(rounds):
            for way, embed in ways.items():
                started = time.perf_counter()
                embed(pixels)
                seconds[way].append(time.perf_counter() - started)
        rates = {way: images / statistics.median(times) for way, times in seconds.items()}
        usual, *others = ways
        largest = np.abs(features[usual]).max()
        print(
            json.dumps(
                {
                    "backbone": f"{kind}:{architecture}" if architecture else name,
                    "images_a_second": {way: round(rate, 1) for way, rate in rates.items()},
                    f"ratio_to_{usual}": {
                        way: round(rates[way] / rates[usual], 2) for way in others
                    },
                    "largest_difference": {
                        way: float(np.abs(features[way] - features[usual]).max() / largest)
                        for way in others
                    },
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    usual = ["efficientnet_lite0", "mobilenetv2", "resnet50", "densenet121"]
    parser.add_argument("names", nargs="*", default=usual)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    main(**vars(parser.parse_args()))
