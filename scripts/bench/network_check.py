#!/usr/bin/env python
"""Measure the network check, or write the features that it expects of known weights.

    python scripts/bench/network_check.py [--weights-dir DIR] [--weights random] [NAME ...]
    python scripts/bench/network_check.py --write

Prints for each network, engine and color how long the check takes and what each rule finds;
``--write`` replaces featx/backbones/expected_features.json by features of the networks' makers:
their own code (``pip install torch efficientnet_lite_pytorch``), weights and range of values.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from featx.backbones import network_check
from featx.backbones.engines import make_engine
from featx.backbones.network_check import CheckedNetwork, examine_network, summarize
from featx.backbones.reference_images import reference_images
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights

KNOWN = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
# Native input sizes, and those of presets and examples.
SIZES = ("", "@160", "@96")
COLORS = ("gray", "rgb")


def write():
    """Write the makers' features of the weights that packages carry."""
    lines = []
    for name in KNOWN:
        weights = find_weights(get_backbone(name), allow_download=False)
        for size in SIZES:
            height, width = get_backbone(name + size).size
            for color in COLORS:
                values = summarize(makers_features(name, weights.path, (height, width), color))
                rows = [[round(float(value), 5) for value in row] for row in values]
                key = f"{weights.digest} {height}x{width} {color}"
                lines.append(f"{json.dumps(key)}: {json.dumps(rows, separators=(',', ':'))}")
    path = Path(network_check.__file__).with_name("expected_features.json")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def makers_features(name, path, size, color):
    """Return mean features of the reference images by code that featx does not use."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(name.replace("_", "-"), image_size=size[0])
    network.load_state_dict(torch.load(path, weights_only=True))
    images = reference_images(size, color)
    images = images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=-1)
    batch = torch.tensor(np.ascontiguousarray((images - 127) / 128).transpose(0, 3, 1, 2))
    with torch.no_grad():
        return network.eval().extract_features(batch).mean((2, 3)).numpy()


def measure(name, weights_dir, source):
    """Print duration and results of the check of one network."""
    backbone = get_backbone(name)
    weights = find_weights(backbone, source, weights_dir, allow_download=False)
    names = getattr(backbone, "engines", ("keras", "openvino"))
    for engine_name in names:
        engine = make_engine(backbone, weights, engine_name)
        for color in COLORS:
            checked = CheckedNetwork(backbone, weights.digest, color)
            # Builds the network.
            engine.embed(reference_images(backbone.size, color)[:1])
            since = time.perf_counter()
            results = list(examine_network(engine, checked))
            seconds = time.perf_counter() - since
            failed = [result.rule for result in results if not result.passed]
            print(f"{name} {engine_name} {color}: {seconds:.2f} s, fails: {failed or 'none'}")
            for result in results:
                print(f"    {result.rule}: {result.found}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=KNOWN)
    parser.add_argument("--weights-dir")
    parser.add_argument("--weights", choices=["imagenet", "random"], default="imagenet")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if arguments.write:
        write()
    else:
        for each in arguments.names:
            measure(each, arguments.weights_dir, arguments.weights)
