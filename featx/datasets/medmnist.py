"""Images of a MedMNIST file: arrays in one .npz file."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featx.datasets.listing import Listing
from featx.datasets.words import SPLITS
from featx.errors import UsageError
from featx.runtime.memory import available_memory

# Yang et al. 2023, doi 10.1038/s41597-022-01721-8.
CLASS_NAMES = {
    "pneumoniamnist": ("normal", "pneumonia"),
    "breastmnist": ("malignant", "normal or benign"),
    "octmnist": (
        "choroidal neovascularization",
        "diabetic macular edema",
        "drusen",
        "normal",
    ),
}


def list_medmnist(path: Path, labeled: bool | None) -> Listing:
    """List the images of a MedMNIST file, such as ``pneumoniamnist_224.npz``.

    The published list of their source files, ``pneumoniamnist.csv`` beside it, adds their names.
    """
    listing = Listing([], [], [], [], None, str(path))
    try:
        _check_size(path)
        # Pickled objects in a file could run code.
        with np.load(path, allow_pickle=False) as arrays:
            for split in filter(None, SPLITS):
                if f"{split}_images" in arrays:
                    labels = arrays.get(f"{split}_labels")
                    if labels is None and labeled:
                        raise UsageError(f"{path} has {split}_images but no {split}_labels")
                    _add(
                        listing,
                        split,
                        arrays[f"{split}_images"],
                        None if labeled is False else labels,
                    )
    except UsageError:
        raise
    # NumPy raises exceptions of many types on damaged files.
    except Exception as error:
        raise UsageError(f"{path} is not a MedMNIST file, or is damaged ({error})") from error
    listing.labels_from = "the file's arrays" if any(listing.labels) else ""
    listing.splits_from = "the file's arrays"
    sources = path.with_name(f"{path.stem.partition('_')[0]}.csv")
    if sources.is_file():
        listing.names = _source_names(sources, listing.names)
    if not listing.names:
        raise UsageError(
            f"{path} is not a MedMNIST file: it has no array train_images, val_images, test_images"
        )
    return listing


def _source_names(path: Path, names: list[str]) -> list[str]:
    """Append the names of source files, by the columns split, index and image_id of a list."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            known = {
                f"{row['split'].lower()}/{int(row['index']):06d}": Path(row["image_id"]).name
                for row in csv.DictReader(file)
            }
    except (OSError, ValueError, KeyError, AttributeError, TypeError, csv.Error) as error:
        raise UsageError(
            f"{path} is no list of MedMNIST's source files ({type(error).__name__}: {error}); it "
            "needs the columns split, index and image_id. Rename it if it is another file"
        ) from error
    missing = [name for name in names if not known.get(name)]
    if missing or len(known) != len(names):
        example = f", such as {missing[0]}" if missing else ""
        raise UsageError(
            f"{path} lists {len(known):,} images and the data file has {len(names):,}; "
            f"{len(missing):,} of these are not listed{example}. Give the list of this data set, "
            "or rename it"
        )
    return [f"{name}/{known[name]}" for name in names]


def _check_size(path: Path) -> None:
    """Refuse arrays larger than memory before any is unpacked."""
    with zipfile.ZipFile(path) as archive:
        needed = sum(info.file_size for info in archive.infolist())
    available = available_memory()
    if needed > available:
        raise UsageError(
            f"{path} unpacks to {needed:,} bytes, more than the {available:,} bytes of memory "
            "available"
        )


def _add(listing: Listing, split: str, images: npt.NDArray, labels: npt.NDArray | None) -> None:
    if images.ndim not in (3, 4):
        raise UsageError(
            f"{listing.where}: {split}_images has the shape {images.shape}; it must be (images, "
            "height, width) or (images, height, width, 3)"
        )
    if labels is None:
        names = [""] * len(images)
    else:
        numbers = labels.reshape(len(labels), -1)
        if numbers.shape != (len(images), 1):
            raise UsageError(
                f"{listing.where}: {split}_labels has the shape {labels.shape} for {len(images):,} "
                "images; each image must have one label"
            )
        if numbers.dtype.kind not in "iufb":
            raise UsageError(
                f"{listing.where}: {split}_labels holds values of the type {numbers.dtype}; labels "
                "must be integers"
            )
        broken = numbers[numbers % 1 != 0]
        if len(broken):
            raise UsageError(
                f"{listing.where}: {split}_labels holds {broken[0]}; labels must be integers"
            )
        codes = numbers[:, 0].astype(np.int64)
        known = CLASS_NAMES.get(Path(listing.where).stem.lower().partition("_")[0], ())
        named = dict(enumerate(known))
        names = [named.get(code, f"class_{code}") for code in codes.tolist()]
    listing.names.extend(f"{split}/{number:06d}" for number in range(len(images)))
    listing.sources.extend(images)
    listing.labels.extend(names)
    listing.splits.extend([split] * len(images))
