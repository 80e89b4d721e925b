#!/usr/bin/env python
"""Images a second of featx's engines against Keras' own `predict`, alternating, in one run.

    python scripts/bench/engines.py [BACKBONE ...] [--images N] [--rounds N] [--int8]

Prints one JSON line a backbone: medians, and the ratios to `predict`. Of networks that featx does
not have, such as timm:FOLDER, OpenVINO is compared with their own library. `timm-random:NAME` is
an architecture of timm. Weights are random, since speed does not depend on their values.
Differences are relative to the largest feature; `correlation` is that of the features of synthetic
radiographs less their mean.
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
from PIL import Image

import featx
from featx.backbones._keras import import_keras
from featx.backbones.brought import Backbone
from featx.backbones.engines import make_engine
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights, load_base
from featx.datasets.synthetic import make_phantoms


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


def radiographs(count, size):
    """Return synthetic radiographs as pixels of a network's input."""
    with tempfile.TemporaryDirectory() as folder:
        paths = make_phantoms(folder, patients=max(count, 2), images_per_patient=(1, 1))
        images = [Image.open(path).resize(size[::-1]) for path in paths[:count]]
        return np.stack(images).astype(np.float32)


def ways_of(backbone, name, pixels, int8, folder):
    """Return the ways to run a backbone, the usual one first."""
    weights = find_weights(backbone, "random")
    if isinstance(backbone, Backbone):
        ways, engines = {}, sorted(backbone.engines, key="openvino".__eq__)
    else:
        ways = {"predict": usual_way(backbone, weights)}
        engines = ["keras", *(["openvino"] if importlib.util.find_spec("openvino") else [])]
    ways |= {engine: make_engine(backbone, weights, engine).embed for engine in engines}
    if int8:
        settings = {} if isinstance(backbone, Backbone) else {"weights": "random"}
        images = list(np.rint(pixels).astype(np.uint8))
        file = Path(folder, "int8.xml")
        network = featx.quantize(name, images, out=file, cache=folder, **settings)
        ways["int8"] = make_engine(network, find_weights(network)).embed
    return ways


def time_in_turn(ways, pixels, rounds):
    """Return the images per second of each way, medians of alternating rounds."""
    seconds = {way: [] for way in ways}
    for _ in range(rounds):
        for way, embed in ways.items():
            started = time.perf_counter()
            embed(pixels)
            seconds[way].append(time.perf_counter() - started)
    return {way: len(pixels) / statistics.median(times) for way, times in seconds.items()}


def correlation(found, wanted):
    """Return the correlation of features less the mean of each."""
    return np.corrcoef(*((each - each.mean(axis=0)).ravel() for each in (found, wanted)))[0, 1]


def main(names, images, rounds, int8):
    """Time each backbone's ways in turn."""
    for name in names:
        kind, _, architecture = name.partition(":")
        with tempfile.TemporaryDirectory() as folder:
            opened = random_timm(architecture, folder) if kind == "timm-random" else name
            backbone = get_backbone(opened)
            pixels = radiographs(images, backbone.size)
            ways = ways_of(backbone, opened, pixels, int8, folder)
            features = {way: embed(pixels) for way, embed in ways.items()}
        rates = time_in_turn(ways, pixels, rounds)
        usual, *others = ways
        theirs = features[usual]
        row = {
            "backbone": name,
            "images_a_second": {way: round(rate, 1) for way, rate in rates.items()},
            f"ratio_to_{usual}": {way: round(rates[way] / rates[usual], 2) for way in others},
            "largest_difference": {
                way: float(np.abs(features[way] - theirs).max() / np.abs(theirs).max())
                for way in others
            },
            "correlation": {way: round(correlation(features[way], theirs), 5) for way in others},
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    usual = ["efficientnet_lite0", "mobilenetv2", "resnet50", "densenet121"]
    parser.add_argument("names", nargs="*", default=usual)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--int8", action="store_true")
    main(**vars(parser.parse_args()))
