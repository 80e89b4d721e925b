"""Which images are trained on and which are tested on, once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from featx.errors import UsageError
from featx.images.dataset import ImageDataset
from featx.images.splitting import hold_out

__all__ = ["Protocol", "split_images"]


@dataclass(frozen=True)
class Protocol:
    """Training and test images of a benchmark, and how they were parted.

    Parameters
    ----------
    train, test : ImageDataset
        Everything is chosen on `train`; `test` is looked at once.
    description : str
        One sentence for the foot of the table.
    in_test : ndarray of bool, shape (n_images,)
        Which of all images are in `test`.
    """

    train: ImageDataset
    test: ImageDataset
    description: str
    in_test: npt.NDArray[np.bool_]


def split_images(images: ImageDataset, *, test_size: float = 0.2, seed: int = 0) -> Protocol:
    """Part images into training and test by the protocol.

    Where the images have a test split, it is the test set and all others are pooled for training;
    elsewhere a share of the patients of each class is held out.

    Parameters
    ----------
    images : ImageDataset
        With labels.
    test_size : float, default=0.2
        Share of each class to hold out where there is no test split.
    seed : int, default=0
        Which patients are held out.

    Returns
    -------
    Protocol

    Raises
    ------
    UsageError
        If the images have no labels, or the only split is the test split.

    Examples
    --------
    >>> images = ImageDataset.from_arrays(np.zeros((8, 4, 4), np.uint8), list("nnnnpppp"),
    ...                                   patients=list("abcdefgh"))
    >>> protocol = split_images(images, test_size=0.25)
    >>> len(protocol.train), len(protocol.test)
    (6, 2)
    """
    if (images.labels < 0).any():
        raise UsageError(
            f"{int((images.labels < 0).sum()):,} of {len(images):,} images have no label; a "
            "benchmark needs one for each"
        )
    in_test = images.splits == "test"
    if in_test.all():
        raise UsageError("all images are in the split 'test'; add a split 'train' to train on")
    if in_test.any():
        how = "the data set's own test split, looked at once; all other images are for training"
    else:
        _, aside = hold_out(images.labels, images.patients, test_size=test_size, seed=seed)
        in_test[aside] = True
        unit = "patients" if images.patients_known else "images (patients are not known)"
        how = f"{test_size:.0%} of the {unit} of each class held out (seed {seed}), looked at once"
    train, test = images.select(~in_test), images.select(in_test)
    return Protocol(train, test, _describe(train, test, how), in_test)


def _describe(train: ImageDataset, test: ImageDataset, how: str) -> str:
    def side(images: ImageDataset) -> str:
        if not images.patients_known:
            return f"{len(images):,} images"
        return f"{len(images):,} images of {len(np.unique(images.patients)):,} patients"

    return f"Trained on {side(train)}, tested on {side(test)}: {how}."
