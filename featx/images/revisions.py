"""Images that an earlier state of featx read differently: features of theirs are not reused.

The cache finds rows by a key, which is the image's digest as long as its pixels are read as they
always were. Where in doubt an image counts as changed: that costs computing its rows once more.
"""

from __future__ import annotations

import hashlib
import re
import struct

import numpy as np
import numpy.typing as npt

from featx.errors import UnreadableImageError
from featx.images.dicom.reader import is_dicom
from featx.images.png import SIGNATURE
from featx.images.tiff_tags import is_tiff, read_directories

# To be raised whenever some images are read differently; `_is_changed` has to find these.
READING_FORMAT = 2

_BITS_PER_SAMPLE = 258
# Elements of DICOM's group 0028.
_SLOPE, _INTERCEPT, _FUNCTION = b"\x53\x10", b"\x52\x10", b"\x56\x10"
_SAMPLES, _STORED, _HIGH = b"\x02\x00", b"\x01\x01", b"\x02\x01"
# Functional groups, and PresentationLUTShape's value.
_CHANGING_TEXTS = (b"\x00\x52\x29\x92", b"\x00\x52\x30\x92", b"INVERSE")


def row_key(digest: str, pixels: bytes | npt.NDArray) -> str:
    """Return the key of an image's rows in the cache, in hexadecimal.

    Examples
    --------
    >>> row_key("ab12", np.zeros((2, 2), np.uint8))
    'ab12'
    >>> row_key("ab12", np.zeros((2, 2), np.uint16))[:8]
    '3568a4c0'
    """
    if not _is_changed(pixels):
        return digest
    return hashlib.sha256(f"{digest} reading {READING_FORMAT}".encode()).hexdigest()


def _is_changed(pixels: bytes | npt.NDArray) -> bool:
    """Whether pixels may be read differently than by format 1."""
    if isinstance(pixels, np.ndarray):
        return pixels.dtype not in (np.uint8, np.bool_)
    if is_dicom(pixels):
        return _is_changed_dicom(pixels)
    if is_tiff(pixels):
        try:
            page = next(read_directories(pixels))
            return max(page.numbers(_BITS_PER_SAMPLE), default=1) > 8
        except (UnreadableImageError, StopIteration, struct.error):
            return False
    if pixels.startswith(b"BM"):
        return pixels[28:29] == b"\x20"
    return pixels.startswith(SIGNATURE) and pixels[24:25] == b"\x10"


def _is_changed_dicom(content: bytes) -> bool:
    header = content.partition(b"\xe0\x7f\x10\x00")[0]
    stored, high = _number(header, _STORED), _number(header, _HIGH)
    if stored is None or high != stored - 1 or any(text in header for text in _CHANGING_TEXTS):
        return True
    if _number(header, _SAMPLES) == 3 and stored not in (8, 16):
        return True
    slope, intercept = _value(header, _SLOPE), _value(header, _INTERCEPT)
    if (slope is None) != (intercept is None) or _value(header, _FUNCTION) == b"":
        return True
    return slope is not None and re.fullmatch(rb"[-+0.eE \0]*", slope) is not None


def _number(header: bytes, element: bytes) -> int | None:
    value = _value(header, element)
    return int.from_bytes(value, "little") if value is not None and len(value) == 2 else None


def _value(header: bytes, element: bytes) -> bytes | None:
    """Return the bytes of an element of group 0028, in little-endian files."""
    place = header.find(b"\x28\x00" + element) + 4
    if place < 4:
        return None
    explicit = header[place : place + 2].isalpha()
    size = header[place + 2 : place + 4] if explicit else header[place : place + 4]
    return header[place + 4 : place + 4 + int.from_bytes(size, "little")]
