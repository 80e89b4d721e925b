"""Reading an image file into intensities from 0 to 255."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from featx.errors import UnreadableImageError
from featx.images.depth import find_bits, to_intensities, to_luminance
from featx.images.dicom.reader import is_dicom, read_dicom
from featx.images.file_limits import read_bytes
from featx.images.jpeg import check_jpeg
from featx.images.layouts import (
    check_frames,
    check_layout,
    check_size,
    is_other_image,
    name_content,
)
from featx.images.png import SIGNATURE, Png, check_png, decode_deep_colors, find_declared_bits
from featx.images.tiff import Tiff, check_tiff, decode_values, open_tiff
from featx.images.tiff_tags import is_tiff
from featx.runtime.process_state import image_state, warnings_ignored

Color = Literal["gray", "rgb"]

SUFFIXES = frozenset(
    {".jpeg", ".jpg", ".png", ".tif", ".tiff", ".bmp", ".dcm", ".dicom", ".dic", ".ima"}
)

# Sizes of BMP headers: two letters alone also begin many texts.
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP")
_JPEG = b"\xff\xd8\xff"
_ORIENTATION = 0x0112


def read_image(source: Path | bytes, color: Color = "gray") -> npt.NDArray:
    """Decode a JPEG, PNG, TIFF, BMP or DICOM image, upright, into intensities from 0 to 255.

    They are uint8 where the file has 8 bits, and float32 where it has more, shape (height, width)
    or (height, width, 3); transparent pixels are black. See `featx.images.layouts` for the accepted
    layouts, and `featx.images.depth.to_intensities` for how deeper pixels are scaled.

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
        return read_dicom(content, color)
    with _naming_damage(content):
        return _read(content, color)


def begins_as_image(beginning: bytes) -> bool:
    r"""Return whether bytes begin as a format that is read.

    Examples
    --------
    >>> begins_as_image(b"\xff\xd8\xff\xe0"), begins_as_image(b"BMI,age")
    (True, False)
    """
    if is_other_image(beginning):
        return False
    if beginning.startswith(b"BM"):
        return int.from_bytes(beginning[14:18], "little") in _BMP_HEADERS
    return beginning.startswith((_JPEG, SIGNATURE)) or is_tiff(beginning) or is_dicom(beginning)


@contextlib.contextmanager
def _naming_damage(content: bytes) -> Iterator[None]:
    """Turn exceptions of decoders into `UnreadableImageError`."""
    try:
        # Pillow warns of unusual metadata that does not affect pixels.
        with image_state(), warnings_ignored():
            yield
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        damaged = "damaged or cut short (header)"
        reason = damaged if begins_as_image(content[:132]) else name_content(content)
        raise UnreadableImageError(reason) from error
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"unreasonably large: {error}") from error
    # Pillow raises exceptions of many types on damaged files.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise UnreadableImageError(f"damaged or cut short ({reason})") from error


def count_channels(content: bytes) -> int:
    """Return the number of channels as stored, such as 3 of a gray picture saved in color."""
    with _naming_damage(content):
        if is_tiff(content):
            tiff = check_tiff(content)
            if tiff.deep:
                return tiff.samples
            content = tiff.for_pillow()
        elif content.startswith(SIGNATURE):
            content = check_png(content).content
        elif content.startswith(_JPEG):
            content = check_jpeg(content)
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            return len(image.getbands())


def undeclared_bits(content: bytes) -> int:
    """Return the depth at which integers of no declared depth are read; 0 of other images."""
    stored, declared = None, None
    with _naming_damage(content):
        if is_tiff(content):
            tiff = check_tiff(content)
            if tiff.deep and tiff.numbers != "floating-point":
                stored, declared = decode_values(tiff), tiff.declared_bits
                stored = stored[..., :-1] if tiff.alpha else stored
        elif content.startswith(SIGNATURE) and (png := check_png(content)).bits == 16:
            with Image.open(io.BytesIO(png.content), formats=("PNG",)) as image:
                stored, _, declared = _decode_deep_png(png, image)
    # Black has no depth.
    return 0 if stored is None or declared or stored.max() < 256 else find_bits(stored)


def _read(content: bytes, color: Color) -> npt.NDArray:
    if is_tiff(content):
        return _read_tiff(check_tiff(content), color)
    if content.startswith(SIGNATURE):
        return _read_png(check_png(content), color)
    if content.startswith(_JPEG):
        content = check_jpeg(content)
    elif content.startswith(b"BM") and len(content) > 30:
        # The old header of 12 bytes has its depth earlier.
        check_layout("BMP", "gray, palette or RGB", content[24 if content[14] == 12 else 28])
    with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
        _load(image)
        # Many writers leave the fourth byte of BMP zero: it is no alpha then.
        if image.format == "BMP" and image.mode == "RGBA" and not np.asarray(image)[..., 3].any():
            return _convert(image.convert("RGB"), color)
        return _upright(_convert(image, color), _orientation(image))


def _read_tiff(tiff: Tiff, color: Color) -> npt.NDArray:
    if not tiff.deep:
        # Pillow turns TIFF upright itself.
        with open_tiff(tiff.for_pillow()) as image:
            _load(image)
            if not image.mode.startswith("I;16"):
                return _convert(image, color)
            return in_color(to_intensities(np.asarray(image), tiff.declared_bits), color)
    stored = decode_values(tiff)
    white_is_zero = tiff.photometric == 0
    pixels = _scale_deep(stored, tiff.alpha, tiff.declared_bits, white_is_zero=white_is_zero)
    return _upright(in_color(pixels, color), tiff.orientation)


def _read_png(png: Png, color: Color) -> npt.NDArray:
    with Image.open(io.BytesIO(png.content), formats=("PNG",)) as image:
        _load(image)
        orientation = _orientation(image)
        if png.bits < 16:
            return _upright(_convert(image, color), orientation)
        pixels = _scale_deep(*_decode_deep_png(png, image))
    return _upright(in_color(pixels, color), orientation)


def _decode_deep_png(png: Png, image: Image.Image) -> tuple[npt.NDArray, bool, int | None]:
    """Return 16-bit values, whether the last channel is alpha, and the declared depth."""
    stored = decode_deep_colors(png) if png.deep_colors else np.asarray(image)
    alpha = stored.ndim == 3 and stored.shape[2] == 4
    return stored, alpha, find_declared_bits(png, stored[..., :3] if alpha else stored)


def _load(image: Image.Image) -> None:
    """Decode the only picture."""
    check_size(*image.size)
    check_frames(getattr(image, "n_frames", 1))
    image.load()


def _convert(image: Image.Image, color: Color) -> npt.NDArray[np.uint8]:
    """Return 8-bit pixels; transparent ones are black."""
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    mode = "L" if color == "gray" else "RGB"
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _scale_deep(
    stored: npt.NDArray, alpha: bool, declared_bits: int | None, *, white_is_zero: bool = False
) -> npt.NDArray:
    """Scale pixels of more than 8 bits, shape (height, width) or (height, width, samples)."""
    stored = stored[..., np.newaxis] if stored.ndim == 2 else stored
    # One channel with alpha, or three; further ones hold no color.
    count = 1 if stored.shape[2] < 3 else 3
    pixels = to_intensities(stored[..., :count], declared_bits)
    pixels = 255 - pixels if white_is_zero else pixels
    if alpha:
        opacity = stored[..., count]
        # Alpha is as deep as the colors, or as its container.
        top = 65535 if opacity.max() > 4095 else 4095
        pixels = pixels * (opacity[..., np.newaxis] / top).astype(np.float32)
    return pixels[..., 0] if count == 1 else pixels


def in_color(pixels: npt.NDArray, color: Color) -> npt.NDArray:
    """Return intensities in gray or in three colors, whichever they have."""
    if pixels.ndim == 3:
        return to_luminance(pixels) if color == "gray" else pixels
    return pixels if color == "gray" else np.repeat(pixels[..., np.newaxis], 3, axis=2)


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation; other metadata, which may be ill-formed, is not read."""
    try:
        found = image.getexif().get(_ORIENTATION)
    # Pillow raises exceptions of many types on ill-formed metadata.
    except Exception:
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _upright(pixels: npt.NDArray, orientation: int) -> npt.NDArray:
    """Undo EXIF's orientation from 1 to 8."""
    if orientation >= 5:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
