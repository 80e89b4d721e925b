#!/usr/bin/env python
"""Images unlike the training images: false alarms on other patients, and what is detected.

    python scripts/bench/typicality.py chest_xray --patients kermany \
        [--backbone efficientnet_lite0] [--weights-dir DIR] [--images 1000] [--repeats 8]

In each repeat 40 % of the patients are held out, and images are compared with the others by their
typicality, and by the cosine similarity to the fifth nearest training image, whose cutoff is 1 % of
out-of-fold training images, too, but which needs the features of all of them.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
from sklearn.datasets import load_sample_images

import featx
from featx.audit.typicality import cutoff, typicality, typicality_record
from featx.datasets.splitting import hold_out, patient_folds

WORDS = ["chest", "radiograph", "no", "acute", "finding", "heart", "size", "normal", "effusion"]


def odd_images(images, generator):
    """Return sets of images by kind; some are made of 50 of the given ones."""
    some = [images.read(index) for index in range(0, len(images), max(1, len(images) // 50))][:50]
    noise = [generator.integers(0, 256, (320, 400)) for _ in range(30)]
    smooth = [cv2.resize(generator.normal(128, 60, (8, 10)), (400, 320)) for _ in range(30)]
    photos = []
    for photo in load_sample_images().images:
        for top, left in generator.integers(
            0, (photo.shape[0] - 224, photo.shape[1] - 224), (20, 2)
        ):
            photos.append(photo[top : top + 224, left : left + 224].mean(axis=2))
    texts = [np.full((500, 400), 255, np.uint8) for _ in range(30)]
    for page in texts:
        for line in range(24):
            words = " ".join(generator.choice(WORDS, 5))
            cv2.putText(page, words, (10, 20 + 20 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 0, 1)
    return {
        "one intensity": [np.full((320, 400), value) for value in (0, 1, 64, 128, 200, 255)],
        "one pixel": [np.full((1, 1), value) for value in (0, 50, 100, 150, 200, 250)],
        "16 x 16": [cv2.resize(each, (16, 16), interpolation=cv2.INTER_AREA) for each in some],
        "noise": noise,
        "smooth noise": smooth,
        "photographs": photos,
        "text documents": texts,
        "turned by 90 degrees": [np.rot90(each) for each in some],
        "turned by 180 degrees": [np.rot90(each, 2) for each in some],
        "left half black": [
            each * (np.arange(each.shape[1]) > each.shape[1] // 2) for each in some
        ],
        "inverted": [255 - each for each in some],
        "contrast a quarter": [each * 0.25 + 20 for each in some],
        "mirrored": [each[:, ::-1] for each in some],
        "20 gray levels brighter": [each + 20.0 for each in some],
    }


def similarity(X, Y):
    """Return the cosine similarity of rows of Y to the fifth nearest row of X."""
    X, Y = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (X, Y))
    return np.partition(Y @ X.T, -5, axis=1)[:, -5]


def neighbor_cutoff(matrix):
    """Return the similarity that 1 % of out-of-fold training images have at most."""
    found = np.empty(matrix.n_images)
    for training, held_out in patient_folds(matrix.labels, matrix.patients):
        found[held_out] = similarity(matrix.X[training], matrix.X[held_out])
    return np.quantile(found, 0.01)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--patients")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--weights-dir")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=8)
    given = parser.parse_args()
    generator = np.random.default_rng(0)
    images = featx.ImageDataset.open(given.folder, given.patients)
    images = images.select(np.sort(generator.permutation(len(images))[: given.images]))
    settings = {"backbones": given.backbone, "weights_dir": given.weights_dir, "views": 1}
    matrix = featx.extract(images, **settings)
    sets = odd_images(images, generator)
    pixels = [np.clip(each, 0, 255).astype(np.uint8) for kind in sets.values() for each in kind]
    odd = featx.extract(featx.ImageDataset.from_arrays(pixels), **settings)
    kinds = np.repeat(list(sets), [len(each) for each in sets.values()])
    found = []
    for random_state in range(given.repeats):
        training, held_out = hold_out(
            matrix.labels, matrix.patients, test_size=0.4, random_state=random_state
        )
        train, held = matrix.select_images(training), matrix.select_images(held_out)
        record, least = typicality_record(train), neighbor_cutoff(train)
        limit = cutoff(len(record["distances"]))
        far = [typicality(record, each) <= limit for each in (held, odd)]
        unlike = [similarity(train.X, each.X) <= least for each in (held, odd)]
        found.append(
            [[a.mean(), *(b[kinds == kind].mean() for kind in sets)] for a, b in (far, unlike)]
        )
    print("| images | typicality | neighbors |\n|---|---:|---:|")
    for name, *rates in zip(("held-out patients", *sets), *np.mean(found, axis=0), strict=True):
        print(f"| {name} | {100 * rates[0]:.1f} % | {100 * rates[1]:.1f} % |")


if __name__ == "__main__":
    main()
