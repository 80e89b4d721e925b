"""Reading an image file into intensities from 0 to 255."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from featx.errors import UnreadableImageError
from featx.images.dicom.reader import is_dicom, read_dicom

__all__ = ["LARGEST_PIXELS", "SUFFIXES", "Color", "read_image", "to_intensities"]

Color = Literal["gray", "rgb"]

SUFFIXES = frozenset(
    {".jpeg", ".jpg", ".png", ".tif", ".tiff", ".bmp", ".dcm", ".dicom", ".dic", ".ima"}
)

# The largest digital radiographs have some 20 million pixels. Larger files are refused before
# memory is allocated.
LARGEST_PIXELS = 150_000_000

_FORMATS = ("JPEG", "PNG", "TIFF", "BMP")
_DEPTHS = (8, 10, 12, 14, 16)


def read_image(source: Path | bytes, color: Color = "gray") -> npt.NDArray:
    """Decode a JPEG, PNG, TIFF, BMP or DICOM image, upright.

    Returns
    -------
    ndarray of uint8 or float32, shape (height, width) or (height, width, 3)
        Intensities from 0 to 255: uint8 where the file has 8 bits, float32 where it has more. See
        `to_intensities` for how deeper pixels are scaled, and
        `featx.images.dicom.reader.read_dicom` for those of DICOM. Transparent pixels are black.

    Examples
    --------
    >>> buffer = io.BytesIO()
    >>> Image.new("RGB", (3, 2), (255, 0, 0)).save(buffer, "PNG")
    >>> read_image(buffer.getvalue())
    array([[76, 76, 76],
           [76, 76, 76]], dtype=uint8)
    """
    content = source if isinstance(source, bytes) else read_bytes(source)
    if not content:
        raise UnreadableImageError("the file is empty")
    if is_dicom(content):
        return read_dicom(content, color, LARGEST_PIXELS)
    try:
        with warnings.catch_warnings():
            # Pillow warns of unusual metadata that does not affect pixels.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                return _decode(image, color)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not a JPEG, PNG, TIFF, BMP or DICOM image") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"unreasonably large: {error}") from error
    # Pillow raises exceptions of many types on damaged files.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise UnreadableImageError(f"damaged or cut short ({reason})") from error


def read_bytes(path: Path) -> bytes:
    """Read a whole file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"the file cannot be read ({error.strerror})") from error


def _decode(image: Image.Image, color: Color) -> npt.NDArray:
    width, height = image.size
    if width * height > LARGEST_PIXELS:
        raise UnreadableImageError(
            f"unreasonably large: {width} x {height} pixels (at most {LARGEST_PIXELS:,})"
        )
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise UnreadableImageError(f"it has {frames} frames or pages; save the one to use")
    if image.format == "TIFF":
        _check_tiff_length(image)
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _in_color(to_intensities(np.asarray(image)), color)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    mode = "L" if color == "gray" else "RGB"
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _check_tiff_length(image: Image.Image) -> None:
    """Refuse an uncompressed TIFF with fewer bytes than pixels, which Pillow pads with black.

    Tag numbers are those of the TIFF 6.0 specification.
    """
    tags = image.tag_v2  # type: ignore[attr-defined]
    compression, counts = tags.get(259, 1), tags.get(279) or tags.get(325)
    if compression != 1 or counts is None:
        return
    width, height = image.size
    row_bytes = (width * sum(tags.get(258, (1,))) + 7) // 8
    if sum(counts) < row_bytes * height:
        raise UnreadableImageError(
            f"damaged or cut short ({sum(counts):,} bytes for {width} x {height} pixels)"
        )


def _in_color(pixels: npt.NDArray, color: Color) -> npt.NDArray:
    if color == "gray" or pixels.ndim == 3:
        return pixels
    return np.repeat(pixels[..., np.newaxis], 3, axis=2)


def to_intensities(pixels: npt.NDArray) -> npt.NDArray:
    """Scale pixels of any depth to intensities from 0 to 255.

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
    if not np.isfinite(pixels).all():
        raise UnreadableImageError("some pixels are not finite")
    low, high = float(pixels.min()), float(pixels.max())
    values = pixels.astype(np.float64)
    if np.issubdtype(pixels.dtype, np.integer) and low >= 0 and high < 2 ** _DEPTHS[-1]:
        bits = next(depth for depth in _DEPTHS if high < 2**depth)
        values *= 255 / (2**bits - 1)
    elif low >= 0 and high <= 1:
        values *= 255
    elif low < 0 or high > 255:
        # Halved so that the extremes of float64 do not overflow.
        half = high / 2 - low / 2
        values = (values / 2 - low / 2) / half * 255 if half > 0 else np.zeros_like(values)
    return values.astype(np.float32)
