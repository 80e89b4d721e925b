#!/usr/bin/env python
"""Images a second in int8 against float32, both by OpenVINO, and what int8 costs in AUC.

    python scripts/bench/int8.py IMAGES [BACKBONE ...] [--weights-dir DIR] [--images N] [--rounds N]

IMAGES is a folder with one sub-folder a class, patients named as in Kermany et al. 2018. Prints one
JSON line a backbone. Where a backbone's ImageNet weights are installed, a quarter of the patients
is held out, the network is quantized on the others (`featx.quantize`), and logistic regression is
fitted to the features of each; elsewhere weights are random, and only speed is measured.
"""

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import featx
from featx.backbones.engines import make_engine
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_local_weights, find_weights
from featx.datasets.splitting import hold_out
from scripts.bench.engines import time_in_turn

BACKBONES = ["resnet50", "densenet121", "inceptionv3", "mobilenetv2", "efficientnet_lite0"]
PIXELS = 48


def time_both(backbone, weights, quantized, rounds):
    """Return images a second of either network, alternating, and the ratio of their medians."""
    shape = (PIXELS, *backbone.size)
    pixels = np.random.default_rng(0).random(shape, dtype=np.float32) * 255
    ways = {
        "float32": make_engine(backbone, weights, "openvino").embed,
        "int8": make_engine(quantized, find_weights(quantized)).embed,
    }
    time_in_turn(ways, pixels, 1)
    rates = time_in_turn(ways, pixels, rounds)
    return {
        "images_a_second": {name: round(rate, 1) for name, rate in rates.items()},
        "ratio": round(rates["int8"] / rates["float32"], 2),
    }


def auc_of_both(networks, training, others, **settings):
    """Return the AUC on held-out patients from features of either network."""
    areas = {}
    with tempfile.TemporaryDirectory() as cache:
        for precision, network in networks.items():
            settings |= {"cache": cache, "engine": "openvino"}
            fit, test = (
                featx.extract(part, network, "none", 1, **settings) for part in (training, others)
            )
            model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=2000))
            model.fit(fit.X, fit.row_labels)
            scores = model.decision_function(test.X)
            areas[precision] = float(roc_auc_score(test.row_labels, scores))
    return {
        "auc": {precision: round(area, 4) for precision, area in areas.items()},
        "auc_lost": round(areas["float32"] - areas["int8"], 4),
        "n_train": len(training),
        "n_test": len(others),
    }


def main(arguments):
    """Measure each backbone."""
    logging.getLogger("featx").setLevel(logging.WARNING)
    images = featx.ImageDataset.open(arguments.images_folder, "kermany")
    chosen = np.random.default_rng(0).permutation(len(images))[: arguments.images]
    images = images.select(np.sort(chosen))
    _, chosen = hold_out(images.labels, images.patients, test_size=0.25, random_state=0)
    held_out = np.isin(np.arange(len(images)), chosen)
    training, others = images.select(~held_out), images.select(held_out)
    for name in arguments.backbones or BACKBONES:
        backbone = get_backbone(name)
        real = find_local_weights(backbone, arguments.weights_dir) is not None
        weights = find_weights(
            backbone, "imagenet" if real else "random", arguments.weights_dir, random_state=0
        )
        line = {"backbone": name, "weights": "imagenet" if real else "random"}
        with tempfile.TemporaryDirectory() as folder:
            settings = {"weights_dir": arguments.weights_dir}
            quantized = featx.quantize(
                name,
                training,
                out=Path(folder, "net.xml"),
                weights=line["weights"],
                cache=folder,
                **settings,
            )
            line |= time_both(backbone, weights, quantized, arguments.rounds)
            if real:
                networks = {"float32": name, "int8": quantized}
                line |= auc_of_both(networks, training, others, **settings)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("images_folder", type=Path)
    parser.add_argument("backbones", nargs="*")
    parser.add_argument("--weights-dir", type=Path)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=5)
    main(parser.parse_args())
