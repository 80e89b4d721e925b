"""Largest change of probabilities of trees: image alone or in its folder, one engine or the other.

    python scripts/bench/trees.py OPENVINO.h5 KERAS.h5

Both matrices hold the same images, by `featx extract --engine openvino` and `--engine keras`.
Half of the patients train, all images are compared.
"""

from __future__ import annotations

import sys

import numpy as np
from sklearn.metrics import roc_auc_score

import featx
from featx.datasets.splitting import hold_out

# Images that are also classified alone.
ALONE = 500


def main(openvino: str, keras: str) -> None:
    """Print a line per classifier, split and side."""
    one, other = (featx.FeatureMatrix.load(path) for path in (openvino, keras))
    print(f"features differ by up to {np.abs(one.X[:] - other.X[:]).max():.1e}")
    for name in ("xgboost", "random_forest"):
        for seed in range(3):
            sides = hold_out(one.labels, one.patients, test_size=0.5, random_state=seed)
            model = featx.fit(one.select_images(sides[0]), name, cv=3)
            for side, images in zip(("train", "test"), sides, strict=True):
                own, same = one.select_images(images), other.select_images(images)
                together = model.predict_images(own)[:, 1]
                alone = [
                    model.predict_images(own.select_images([place]))[0, 1]
                    for place in range(min(ALONE, len(images)))
                ]
                engines = np.abs(model.predict_images(same)[:, 1] - together).max()
                print(
                    f"{name} {seed} {side}: {len(images)} images, alone "
                    f"{np.abs(alone - together[: len(alone)]).max():.1e}, engines {engines:.1e}, "
                    f"AUC {roc_auc_score(own.labels, together):.4f}",
                    flush=True,
                )


if __name__ == "__main__":
    main(*sys.argv[1:])
