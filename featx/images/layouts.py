"""Accepted pixel layouts; every other layout is refused by its name."""

from __future__ import annotations

from dataclasses import dataclass

from featx.errors import UnreadableImageError

# The largest digital radiographs have some 20 million pixels.
LARGEST_PIXELS = 150_000_000


@dataclass(frozen=True)
class Layout:
    """Pixels of a container that are read; one picture a file."""

    container: str
    samples: str
    bits: tuple[int, ...]
    numbers: str = "unsigned"


# docs/howto/pixel_layouts.md shows this table, and a test compares the two.
LAYOUTS = (
    Layout("JPEG", "gray", (8,)),
    Layout("JPEG", "color", (8,)),
    Layout("JPEG", "CMYK", (8,)),
    Layout("PNG", "gray", (1, 2, 4, 8, 16)),
    Layout("PNG", "gray and alpha", (8, 16)),
    Layout("PNG", "RGB", (8, 16)),
    Layout("PNG", "RGB and alpha", (8, 16)),
    Layout("PNG", "palette", (1, 2, 4, 8)),
    Layout("TIFF", "gray, black is zero", (1, 2, 4, 8, 12, 16, 32)),
    Layout("TIFF", "gray, white is zero", (1, 2, 4, 8, 16, 32)),
    Layout("TIFF", "gray, black is zero", (16, 32), "signed"),
    Layout("TIFF", "gray, black is zero", (16, 32, 64), "floating-point"),
    Layout("TIFF", "gray, white is zero", (16, 32, 64), "floating-point"),
    Layout("TIFF", "gray and alpha", (8, 16)),
    Layout("TIFF", "RGB", (8, 16)),
    Layout("TIFF", "RGB and alpha", (8, 16)),
    Layout("TIFF", "palette", (1, 2, 4, 8)),
    Layout("TIFF", "palette and alpha", (8,)),
    Layout("TIFF", "CMYK", (8,)),
    Layout("TIFF", "YCbCr", (8,)),
    Layout("BMP", "gray, palette or RGB", (1, 4, 8, 16, 24, 32)),
    Layout("DICOM", "MONOCHROME1", tuple(range(1, 33)), "integer"),
    Layout("DICOM", "MONOCHROME2", tuple(range(1, 33)), "integer"),
    Layout("DICOM", "PALETTE COLOR", tuple(range(1, 17)), "integer"),
    Layout("DICOM", "RGB", tuple(range(1, 17)), "integer"),
    Layout("DICOM", "YBR_FULL", (8,), "integer"),
    Layout("DICOM", "YBR_FULL_422", (8,), "integer"),
    Layout("DICOM", "YBR_ICT", tuple(range(8, 17)), "integer"),
    Layout("DICOM", "YBR_RCT", tuple(range(8, 17)), "integer"),
    Layout("array", "gray", (1, 8, 16, 32, 64)),
    Layout("array", "RGB", (1, 8, 16, 32, 64)),
    Layout("array", "gray", (8, 16, 32, 64), "signed"),
    Layout("array", "RGB", (8, 16, 32, 64), "signed"),
    Layout("array", "gray", (16, 32, 64), "floating-point"),
    Layout("array", "RGB", (16, 32, 64), "floating-point"),
)

# First bytes of files that are no accepted image, so that the message says what they are.
_IMAGES = (
    (0, b"GIF8", "a GIF image"),
    (8, b"WEBP", "a WebP image"),
    (4, b"jP  \r\n\x87\n", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (4, b"JXL \r\n\x87\n", "a JPEG XL image"),
    (0, b"\xff\xd8\xff\xf7", "a JPEG-LS image"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftyp", "an HEIF (HEIC) image or a video"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"P5", "a PGM image"),
    (0, b"P6", "a PPM image"),
    (0, b"<svg", "an SVG drawing"),
)
_OTHERS = (
    (0, b"%PDF", "a PDF document"),
    (0, b"\x93NUMPY", "a NumPy array file"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "a gzip file"),
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer (git lfs pull fetches its image)",
    ),
    (0, b"<!doctype html", "a web page, as a failed download leaves"),
    (0, b"<html", "a web page, as a failed download leaves"),
)
_Signatures = tuple[tuple[int, bytes, str], ...]


def check_layout(container: str, samples: str, bits: int, numbers: str = "unsigned") -> None:
    """Refuse a layout that is not in the table, by its name.

    Examples
    --------
    >>> check_layout("PNG", "gray", 16)
    >>> check_layout("TIFF", "RGB", 32, "floating-point")
    Traceback (most recent call last):
    featx.errors.UnreadableImageError: a TIFF of 32-bit floating-point RGB, which featx does not
    read; convert it to 8 or 16-bit gray
    """
    for layout in LAYOUTS:
        kind = (layout.container, layout.samples, layout.numbers)
        if kind == (container, samples, numbers) and bits in layout.bits:
            return
    usual = numbers in ("unsigned", "integer")
    described = f"{bits}-bit {'' if usual else numbers + ' '}{samples}"
    raise UnreadableImageError(
        f"{'an' if container == 'array' else 'a'} {container} of {described}, which featx does not "
        "read; convert it to 8 or 16-bit gray"
    )


def check_size(width: int, height: int) -> None:
    """Refuse sizes for which no memory should be allocated."""
    if width * height > LARGEST_PIXELS:
        raise UnreadableImageError(
            f"unreasonably large: {width} x {height} pixels (at most {LARGEST_PIXELS:,})"
        )


def check_frames(number: int) -> None:
    """Refuse files that hold another number of pictures than one."""
    if number != 1:
        raise UnreadableImageError(f"it has {number} frames or pages; save the one to use")


def name_content(content: bytes) -> str:
    """Return why bytes of no accepted container are refused.

    Examples
    --------
    >>> name_content(b"GIF89a")
    'a GIF image, not a JPEG, PNG, TIFF, BMP or DICOM image; convert it to PNG'
    """
    name = _find_name(content, _IMAGES + _OTHERS)
    refused = "not a JPEG, PNG, TIFF, BMP or DICOM image"
    return f"{name}, {refused}; convert it to PNG" if name else refused


def is_other_image(beginning: bytes) -> bool:
    """Return whether bytes begin as an image of a format that featx does not read.

    Examples
    --------
    >>> is_other_image(b"GIF89a"), is_other_image(b"%PDF-1.7")
    (True, False)
    """
    return _find_name(beginning, _IMAGES) is not None


def _find_name(content: bytes, signatures: _Signatures) -> str | None:
    beginning = content[:64].lower()
    for place, signature, name in signatures:
        if beginning[place:].startswith(signature.lower()):
            return name
    return None
