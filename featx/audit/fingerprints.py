"""Fingerprints of images: digests of bytes and pixels, and a thumbnail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from featx.datasets.dataset import ImageDataset
from featx.errors import UnreadableImageError
from featx.images.pixel_facts import pixel_facts
from featx.images.sources import digest_of, load, pixels_of, undeclared_depth
from featx.runtime.parallel import map_with_progress

THUMBNAIL = 24

Thumbnails = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Fingerprints of all images of a set, from one decoding of each."""

    # SHA-256 of shape and gray intensities, and of the file's bytes; empty for unreadable images.
    contents: npt.NDArray[np.str_]
    digests: npt.NDArray[np.str_]
    # Shape (n_images, 24, 24); black for unreadable images.
    thumbnails: Thumbnails
    # Flags of `featx.images.pixel_facts`.
    facts: npt.NDArray[np.uint8]
    # Bits at which pixels of no declared depth are read; 0 for other images.
    depths: npt.NDArray[np.int64]
    unreadable: dict[int, str]

    def __len__(self) -> int:
        return len(self.contents)

    def select(self, kept: npt.NDArray[np.bool_]) -> Fingerprints:
        """Return those of the images in a mask."""
        places = np.cumsum(kept) - 1
        return Fingerprints(
            contents=self.contents[kept],
            digests=self.digests[kept],
            thumbnails=self.thumbnails[kept],
            facts=self.facts[kept],
            depths=self.depths[kept],
            unreadable={int(places[i]): why for i, why in self.unreadable.items() if kept[i]},
        )


def take_fingerprints(sets: Sequence[ImageDataset], label: str = "Auditing images") -> Fingerprints:
    """Decode every image of some sets once, in parallel.

    Examples
    --------
    >>> images = ImageDataset.from_arrays(np.zeros((2, 8, 8), np.uint8))
    >>> found = take_fingerprints([images])
    >>> bool(found.contents[0] == found.contents[1]), found.facts.tolist()
    (True, [3, 3])
    """
    places = [(images, index) for images in sets for index in range(len(images))]
    taken = map_with_progress(_take, places, label)
    return Fingerprints(
        contents=np.array([each.content for each in taken], dtype=np.str_),
        digests=np.array([each.digest for each in taken], dtype=np.str_),
        thumbnails=np.array([each.thumbnail for each in taken], dtype=np.uint8),
        facts=np.array([each.facts for each in taken], dtype=np.uint8),
        depths=np.array([each.depth for each in taken], dtype=np.int64),
        unreadable={i: each.reason for i, each in enumerate(taken) if each.reason},
    )


def thumbnail(pixels: npt.NDArray, side: int = THUMBNAIL) -> Thumbnails:
    """Resize gray intensities (0 to 255) to a small square of uint8."""
    small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    return np.rint(small).astype(np.uint8)


class _Fingerprint(NamedTuple):
    content: str
    digest: str
    thumbnail: Thumbnails
    facts: int = 0
    depth: int = 0
    reason: str = ""


def _take(place: tuple[ImageDataset, int]) -> _Fingerprint:
    images, index = place
    digest = ""
    try:
        loaded = load(images.sources[index])
        digest = digest_of(loaded)
        pixels = pixels_of(loaded, "gray")
        depth = undeclared_depth(loaded)
    except UnreadableImageError as error:
        black = np.zeros((THUMBNAIL, THUMBNAIL), np.uint8)
        return _Fingerprint("", digest, black, reason=str(error))
    return _Fingerprint(
        content=digest_of(pixels),
        digest=digest,
        thumbnail=thumbnail(pixels),
        facts=pixel_facts(pixels),
        depth=depth,
    )
