#!/usr/bin/env python
"""Files laid out as PneumoniaMNIST, from training images of Kermany et al. 2018.

    python scripts/bench/medmnist_like.py chest_xray OUT [--sizes kermany_manifest.csv]

Patients of 12 % of the images are the test set, those of a tenth of the others the validation set:
the real test set is not touched. Images are cropped to their central square and resized, as
MedMNIST's are. Where they were squashed before, --sizes names a table with the columns path,
orig_w, orig_h. Writes pneumoniamnist.npz (28 px), pneumoniamnist_224.npz and pneumoniamnist.csv,
the list of source files. Then: featx benchmark OUT/pneumoniamnist.npz --patients kermany
"""

import argparse
import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from PIL import Image

from featx.datasets.dataset import ImageDataset
from featx.datasets.splitting import hold_out


def central_square(image, size):
    """Crop to the central square of the image as it was taken, `size` if it was squashed since."""
    wide, high = size or image.size
    x, y = (1 - min(1, high / wide)) / 2, (1 - min(1, wide / high)) / 2
    return image.width * x, image.height * y, image.width * (1 - x), image.height * (1 - y)


def main():
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sizes", type=Path)
    parser.add_argument("--random-state", type=int, default=0)
    given = parser.parse_args()
    images = ImageDataset.open(given.images, "kermany")
    images = images.select(images.splits != "test")
    sizes = {}
    if given.sizes is not None:
        with given.sizes.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["orig_w"]]
        sizes = {Path(r["path"]).name: (int(r["orig_w"]), int(r["orig_h"])) for r in rows}
    seed = {"random_state": given.random_state}
    rest, test = hold_out(images.labels, images.patients, test_size=0.12, **seed)
    train, val = hold_out(images.labels[rest], images.patients[rest], test_size=0.1, **seed)
    splits = {"train": rest[train], "val": rest[val], "test": test}
    given.out.mkdir(parents=True, exist_ok=True)
    for side, name in ((28, "pneumoniamnist"), (224, "pneumoniamnist_224")):
        arrays = {}
        for split, places in splits.items():
            pixels = np.zeros((len(places), side, side), np.uint8)
            for row, place in enumerate(places):
                image = Image.fromarray(images.read(place))
                box = central_square(image, sizes.get(Path(images.names[place]).name))
                pixels[row] = image.resize((side, side), Image.Resampling.BICUBIC, box=box)
            arrays |= {f"{split}_images": pixels, f"{split}_labels": images.labels[places][:, None]}
        np.savez_compressed(given.out / f"{name}.npz", **arrays)
    with (given.out / "pneumoniamnist.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["split", "index", "image_id"])
        for split, places in splits.items():
            writer.writerows([split, n, Path(images.names[p]).name] for n, p in enumerate(places))
    for split, places in splits.items():
        n_patients = len(np.unique(images.patients[places]))
        print(f"{split}: {len(places):,} images of {n_patients:,} patients")


if __name__ == "__main__":
    main()
