"""Which images are trained on and which are tested on, once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from featx.datasets.dataset import ImageDataset
from featx.datasets.splitting import hold_out
from featx.errors import UsageError

__all__ = ["Protocol", "split_images"]


@dataclass(frozen=True)
class Protocol:
    """Training and test images of a benchmark, and how they were parted.

    Parameters
    ----------
    in_test, in_train : ndarray of bool, shape (n_images,)
        Which of all images are in either.
    """

    train: ImageDataset
    test: ImageDataset
    in_test: npt.NDArray[np.bool_]
    in_train: npt.NDArray[np.bool_]
    how: str

    @property
    def description(self) -> str:
        """One sentence for the foot of the table."""
        return f"Trained on {_side(self.train)}, tested on {_side(self.test)}: {self.how}."

    def without(self, images: ImageDataset, dropped: npt.NDArray[np.bool_]) -> Protocol:
        """Leave images out of training.

        Parameters
        ----------
        dropped : ndarray of bool, shape (n_images,)
            Which to leave out; none of the test images.
        """
        kept = self.in_train & ~dropped
        if not kept.any():
            raise UsageError("every training image is a copy or of a patient of the test images")
        return replace(self, train=images.select(kept), in_train=kept)


def split_images(
    images: ImageDataset, *, test_size: float = 0.2, random_state: int = 0
) -> Protocol:
    """Part images into training and test by the protocol.

    Where the images have a test split, it is the test set and all others are pooled for training;
    elsewhere a share of the patients of each class is held out.

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
        _, aside = hold_out(
            images.labels, images.patients, test_size=test_size, random_state=random_state
        )
        in_test[aside] = True
        unit = "patients" if images.patients_known else "images (patients are not known)"
        share = f"{100 * test_size:.0f} %"
        how = f"{share} of the {unit} of each class held out (seed {random_state}), looked at once"
    return Protocol(images.select(~in_test), images.select(in_test), in_test, ~in_test, how)


def _side(images: ImageDataset) -> str:
    if not images.patients_known:
        return f"{len(images):,} images"
    return f"{len(images):,} images of {len(np.unique(images.patients)):,} patients"
