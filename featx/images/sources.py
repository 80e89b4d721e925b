"""Sources of an image's pixels: a file, a member of an archive, a URL, or an array."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featx.errors import UnreadableImageError
from featx.images.archives import Member
from featx.images.degradation import Degraded, derived_pair, original_of
from featx.images.depth import find_bits, to_intensities
from featx.images.dicom.reader import is_dicom
from featx.images.file_limits import read_bytes
from featx.images.layouts import check_layout
from featx.images.reading import Color, count_channels, in_color, read_image, undeclared_bits
from featx.images.remote import RemoteFile
from featx.images.revisions import row_key
from featx.images.tiff_tags import is_tiff

_NUMBERS = {"b": "unsigned", "u": "unsigned", "i": "signed", "f": "floating-point"}

# A `Degraded` source stands for any of them, with its original read in its place.
Source = Path | Member | RemoteFile | npt.NDArray
Loaded = bytes | npt.NDArray
"""What `load` returns: the functions of this module take it as they take a source."""


def anchored(source: Source) -> Source:
    """Return a source with its absolute path, since the working directory may change."""
    return source.absolute() if isinstance(source, Path | Member) else source


def load(source: Source) -> Loaded:
    """Return the bytes of a file, or an array as it is, so that a file is read once."""
    if isinstance(source, Degraded):
        return source.loaded(load(source.source))
    return source if isinstance(source, np.ndarray) else content_of(source)


def pixels_of(source: Source | Loaded, color: Color) -> npt.NDArray:
    """Decode an image; see `read_image`."""
    if isinstance(source, np.ndarray):
        return _array_in_color(source, color)
    if isinstance(source, Degraded):
        original = load(source.source)
        return source.apply(pixels_of(original, color), digest_of(original))
    return read_image(content_of(source), color)


def digest_of(source: Source | Loaded) -> str:
    """Return the SHA-256 of an image's bytes, in hexadecimal.

    Examples
    --------
    >>> digest_of(np.zeros((2, 2), np.uint8))[:8]
    '0f4c6241'
    """
    if isinstance(source, np.ndarray):
        header = f"{source.dtype.str}{source.shape}".encode()
        return hashlib.sha256(header + source.tobytes()).hexdigest()
    if isinstance(source, Degraded):
        return source.derived(digest_of(source.source))
    return hashlib.sha256(content_of(source)).hexdigest()


def identify(source: Source) -> tuple[str, str]:
    """Return the SHA-256 of an image's bytes, and the key of its rows in the cache."""
    loaded: Loaded = load(original_of(source))
    digest = digest_of(loaded)
    return derived_pair(source, (digest, row_key(digest, loaded)))


def read_beginning(source: Path | Member | RemoteFile | bytes, length: int = 132) -> bytes:
    """Return the first bytes of a file, or none if it cannot be read."""
    if isinstance(source, bytes):
        return source[:length]
    try:
        if isinstance(source, Member | RemoteFile):
            return source.read(length)
        return read_bytes(source, length)
    except UnreadableImageError:
        return b""


def content_of(source: Path | Member | RemoteFile | bytes) -> bytes:
    """Return a file's bytes."""
    if isinstance(source, bytes):
        return source
    return source.read() if isinstance(source, Member | RemoteFile) else read_bytes(source)


def describe(source: Source) -> tuple[int, int]:
    """Return the number of bytes and of channels of an image as it is stored."""
    if isinstance(source, np.ndarray):
        return source.nbytes, source.ndim
    content = content_of(source)
    if is_dicom(content):
        colors = read_image(content, "rgb")
        return len(content), 3 if (colors != colors[..., :1]).any() else 1
    return len(content), count_channels(content)


def undeclared_depth(source: Source | Loaded) -> int:
    """Return the depth at which integers of no declared depth are read; 0 of other images.

    Examples
    --------
    >>> undeclared_depth(np.array([[0, 4000]], np.uint16)), undeclared_depth(np.ones((2, 2)))
    (12, 0)
    """
    if isinstance(source, np.ndarray):
        deep = source.dtype.kind in "iu" and source.dtype.itemsize > 1 and source.max() > 255
        return find_bits(source) if deep else 0
    # Most images have 8 bits, which their first bytes show.
    beginning = read_beginning(source)
    deep_png = beginning.startswith(b"\x89PNG") and beginning[24:25] == b"\x10"
    return undeclared_bits(content_of(source)) if deep_png or is_tiff(beginning) else 0


def _array_in_color(source: npt.NDArray, color: Color) -> npt.NDArray:
    pixels = source[..., 0] if source.ndim == 3 and source.shape[2] == 1 else source
    if pixels.ndim != 2 and (pixels.ndim != 3 or pixels.shape[2] != 3):
        raise UnreadableImageError(
            f"an array of shape {source.shape} is no image; give (height, width) or "
            "(height, width, 3)"
        )
    kind = _NUMBERS.get(pixels.dtype.kind, f"{pixels.dtype.name} (no number)")
    bits = 1 if pixels.dtype == bool else 8 * pixels.dtype.itemsize
    check_layout("array", "gray" if pixels.ndim == 2 else "RGB", bits, kind)
    pixels = to_intensities(pixels)
    found = in_color(pixels, color)
    # Luminance is of floats.
    return found.round().astype(np.uint8) if pixels.dtype == np.uint8 else found
