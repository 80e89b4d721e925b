"""Images of a MedMNIST file: arrays in one .npz file."""

from __future__ import annotations

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
    """List the images of a MedMNIST file, such as ``pneumoniamnist_224.npz``."""
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
    if not listing.names:
        raise UsageError(
            f"{path} is not a MedMNIST file: it has no array train_images, val_images, test_images"
        )
    return listing


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
