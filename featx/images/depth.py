"""From stored pixel values to intensities from 0 to 255, by rules that fit a whole collection."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from featx.errors import UnreadableImageError

# Depths of detectors whose values are stored in wider integers without saying so. Shallower ones
# are read as the first, so that exposure does not change the scale within a collection.
_DETECTOR_BITS = (12, 14)
# Proportion of pixels that may exceed a depth, such as dead pixels; they are clipped.
_EXCESS = 0.005
# How far floats may exceed their range, as resizing by cubic or Lanczos filters does.
_OVERSHOOT = 0.25
# A picture from 0 to 255 is at least this bright somewhere.
_LEAST_BYTE = 16.0


def to_intensities(pixels: npt.NDArray, declared_bits: int | None = None) -> npt.NDArray:
    """Scale pixels of any depth to intensities from 0 to 255.

    8-bit values stay as they are. Wider integers are scaled by `declared_bits`, otherwise as 12,
    14, 16 or 32 bits, the first that 99.5 % of the pixels fit. Floats range from 0 to 1 or from 0
    to 255. Everything else is refused.

    Examples
    --------
    >>> to_intensities(np.array([[0, 4095]], dtype=np.uint16))
    array([[  0., 255.]], dtype=float32)
    """
    if pixels.size == 0:
        raise UnreadableImageError("it has no pixels")
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == bool:
        return np.where(pixels, np.uint8(255), np.uint8(0))
    if pixels.dtype.kind == "f":
        return _scale_floats(pixels)
    return _scale_integers(pixels, declared_bits)


def to_luminance(colors: npt.NDArray) -> npt.NDArray[np.float32]:
    """Return gray values of RGB, by the weights of ITU-R BT.601, as in Pillow's conversion."""
    return colors.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)


def _scale_integers(pixels: npt.NDArray, declared_bits: int | None) -> npt.NDArray[np.float32]:
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0:
        raise UnreadableImageError(
            f"signed pixel values from {low:,} to {high:,}, whose black and white are unknown; "
            "window the whole collection to 0 to 255, or use DICOM"
        )
    if declared_bits is None and pixels.dtype.itemsize == 2 and 0 < high < 256:
        raise UnreadableImageError(
            f"16-bit pixels of which none exceeds {high}: either an 8-bit picture or almost black; "
            "save it with 8 bits, or with its values scaled to 16 bits"
        )
    # A header that most pixels contradict is not believed.
    if declared_bits and _exceeds(pixels, declared_bits):
        declared_bits = None
    top = 2 ** (declared_bits or find_bits(pixels)) - 1
    values = np.minimum(pixels, top) if high > top else pixels
    return (values.astype(np.float64) * (255 / top)).astype(np.float32)


def find_bits(pixels: npt.NDArray) -> int:
    """Return the depth that almost all pixels fit, where none is declared."""
    # Integers of Python are 64 bits wide whatever they hold.
    wide = pixels.dtype.itemsize > 2
    for bits in (8, *_DETECTOR_BITS, 16) if wide else _DETECTOR_BITS:
        if not _exceeds(pixels, bits):
            return bits
    if not wide:
        return 16
    if pixels.max() >= 2**32 or not _exceeds(pixels, 28):
        raise UnreadableImageError(
            f"{8 * pixels.dtype.itemsize}-bit integers up to {int(pixels.max()):,}, whose depth is "
            "unknown; save it with 16 bits"
        )
    return 32


def _exceeds(pixels: npt.NDArray, bits: int) -> bool:
    return int(np.count_nonzero(pixels >= 2**bits)) > _EXCESS * pixels.size


def _scale_floats(pixels: npt.NDArray) -> npt.NDArray[np.float32]:
    if not np.isfinite(pixels).all():
        raise UnreadableImageError("some pixels are not finite")
    low, high = float(pixels.min()), float(pixels.max())
    for top in (1.0, 255.0):
        margin = _OVERSHOOT * top
        if -margin <= low and high <= top + margin and (top == 1 or high >= _LEAST_BYTE):
            values = pixels.astype(np.float64) * (255 / top)
            return np.clip(values, 0, 255).astype(np.float32)
    raise UnreadableImageError(
        f"floating-point pixels from {low:g} to {high:g}, whose black and white are unknown; "
        "scale the whole collection to 0 to 1"
    )
