"""Sources of an image's pixels: a file, a member of an archive, a URL, or an array."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featx.errors import UnreadableImageError
from featx.images.archives import Member
from featx.images.depth import to_intensities, to_luminance
from featx.images.dicom.reader import is_dicom
from featx.images.files import read_bytes
from featx.images.reading import Color, count_channels, read_image
from featx.images.remote import RemoteFile

__all__ = ["Source", "content_of", "describe", "digest_of", "pixels_of", "read_beginning"]

Source = Path | Member | RemoteFile | npt.NDArray


def pixels_of(source: Source, color: Color) -> npt.NDArray:
    """Decode an image; see `read_image`.

    Returns
    -------
    ndarray of uint8 or float32, shape (height, width) or (height, width, 3)
    """
    if isinstance(source, np.ndarray):
        return _array_in_color(source, color)
    return read_image(content_of(source), color)


def digest_of(source: Source) -> str:
    """Return the SHA-256 of an image's bytes, in hexadecimal.

    Examples
    --------
    >>> digest_of(np.zeros((2, 2), np.uint8))[:8]
    '0f4c6241'
    """
    if isinstance(source, np.ndarray):
        header = f"{source.dtype.str}{source.shape}".encode()
        return hashlib.sha256(header + source.tobytes()).hexdigest()
    return hashlib.sha256(content_of(source)).hexdigest()


def read_beginning(source: Path | Member | RemoteFile, length: int = 132) -> bytes:
    """Return the first bytes of a file, or none if it cannot be read."""
    try:
        if isinstance(source, Member | RemoteFile):
            return source.read(length)
        return read_bytes(source, length)
    except UnreadableImageError:
        return b""


def content_of(source: Path | Member | RemoteFile) -> bytes:
    """Return a file's bytes."""
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


def _array_in_color(source: npt.NDArray, color: Color) -> npt.NDArray:
    pixels = to_intensities(source[..., 0] if source.ndim == 3 and source.shape[2] == 1 else source)
    if pixels.ndim == 2:
        return pixels if color == "gray" else np.repeat(pixels[..., np.newaxis], 3, axis=2)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise UnreadableImageError(
            f"an array of shape {source.shape} is no image; give (height, width) or "
            "(height, width, 3)"
        )
    if color == "rgb":
        return pixels
    luminance = to_luminance(pixels)
    return luminance.round().astype(np.uint8) if pixels.dtype == np.uint8 else luminance
