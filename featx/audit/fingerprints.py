"""Fingerprints of images: digests of bytes and pixels, and a thumbnail."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from featx.datasets.dataset import ImageDataset
from featx.errors import UnreadableImageError
from featx.runtime.parallel import map_with_progress

__all__ = ["Fingerprints", "take_fingerprints", "thumbnail"]

THUMBNAIL = 24

Thumbnails = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Fingerprints of all images of a set, from one decoding of each.

    Parameters
    ----------
    contents : ndarray of str, shape (n_images,)
        SHA-256 of shape and gray intensities; empty for unreadable images.
    digests : ndarray of str, shape (n_images,)
        SHA-256 of the file's bytes; empty if the file cannot be read.
    thumbnails : ndarray of uint8, shape (n_images, 24, 24)
        Gray intensities; black for unreadable images.
    constant : ndarray of bool, shape (n_images,)
        Whether all pixels are the same.
    """

    contents: npt.NDArray[np.str_]
    digests: npt.NDArray[np.str_]
    thumbnails: Thumbnails
    constant: npt.NDArray[np.bool_]
    unreadable: dict[int, str]

    def __len__(self) -> int:
        return len(self.contents)

    @classmethod
    def join(cls, parts: Sequence[Fingerprints]) -> Fingerprints:
        """Concatenate the fingerprints of several sets."""
        starts = np.cumsum([0, *(len(part) for part in parts)]).tolist()
        return cls(
            contents=np.concatenate([part.contents for part in parts]),
            digests=np.concatenate([part.digests for part in parts]),
            thumbnails=np.concatenate([part.thumbnails for part in parts]),
            constant=np.concatenate([part.constant for part in parts]),
            unreadable={
                start + index: reason
                for start, part in zip(starts, parts, strict=False)
                for index, reason in part.unreadable.items()
            },
        )


def take_fingerprints(images: ImageDataset, label: str = "Auditing images") -> Fingerprints:
    """Decode every image once, in parallel.

    Examples
    --------
    >>> images = ImageDataset.from_arrays(np.zeros((2, 8, 8), np.uint8))
    >>> found = take_fingerprints(images)
    >>> bool(found.contents[0] == found.contents[1]), found.constant.tolist()
    (True, [True, True])
    """
    taken = map_with_progress(partial(_take, images), range(len(images)), label)
    return Fingerprints(
        contents=np.array([each.content for each in taken], dtype=np.str_),
        digests=np.array([each.digest for each in taken], dtype=np.str_),
        thumbnails=_stack(each.thumbnail for each in taken),
        constant=np.array([each.constant for each in taken], dtype=bool),
        unreadable={i: each.reason for i, each in enumerate(taken) if each.reason},
    )


def thumbnail(pixels: npt.NDArray, side: int = THUMBNAIL) -> Thumbnails:
    """Resize gray intensities (0 to 255) to a small square of uint8."""
    small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    return np.rint(small).astype(np.uint8)


@dataclass(frozen=True)
class _Fingerprint:
    content: str = ""
    digest: str = ""
    thumbnail: Thumbnails | None = None
    constant: bool = False
    reason: str = ""


def _take(images: ImageDataset, index: int) -> _Fingerprint:
    digest = ""
    try:
        digest = images.digest(index)
        pixels = images.read(index)
    except UnreadableImageError as error:
        return _Fingerprint(digest=digest, reason=str(error))
    header = f"{pixels.dtype.str}{pixels.shape}".encode()
    return _Fingerprint(
        content=hashlib.sha256(header + pixels.tobytes()).hexdigest(),
        digest=digest,
        thumbnail=thumbnail(pixels),
        constant=bool((pixels == pixels.flat[0]).all()),
    )


def _stack(thumbnails: Iterable[Thumbnails | None]) -> Thumbnails:
    black = np.zeros((THUMBNAIL, THUMBNAIL), np.uint8)
    return np.array([black if small is None else small for small in thumbnails], dtype=np.uint8)
