"""TIFF files: layout by their tags, and pixels that Pillow reads wrongly or not at all.

Pillow gets one page without metadata. Where it would misread the pixels, it only decompresses: the
tags it gets declare rows of bytes, which are put together here. Tags are those of the TIFF 6.0
specification and Adobe's technical notes.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from featx.errors import UnreadableImageError
from featx.images.jpeg import check_jpeg_data
from featx.images.layouts import check_layout, check_size
from featx.images.tiff_tags import Directory, read_directories, with_directory

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_SIZES, _MOST = 274, 277, 278, 279, 281
_PLANES, _PREDICTOR, _TILE_WIDTH, _TILE_SIZES, _EXTRA, _FORMAT = 284, 317, 322, 325, 338, 339
_STRIP_PLACES, _TILE_PLACES, _TABLES, _XMP = 273, 324, 347, 700
_JPEG, _UNDEFINED = 7, 7
# Places of pixels, bits' order, fax options, and what decompression or bytes' meaning needs.
_STORAGE = {_COMPRESSION, 266, _STRIP_PLACES, _STRIP_SIZES, 292, 293, 323, _TILE_PLACES}
_STORAGE |= {_TILE_SIZES, _TABLES}
# Color map, YCbCr, old JPEG; XMP, for its orientation.
_COLOR = {320, *range(512, 522), 529, 530, 531, 532, _ORIENTATION, _XMP}
_LAYOUT = {_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _ROWS_PER_STRIP, _PLANES, _PREDICTOR}
_LAYOUT |= {_TILE_WIDTH, _EXTRA, _FORMAT}

# Number of channels and name by photometric interpretation.
_COLORS = {
    0: (1, "gray, white is zero"),
    1: (1, "gray, black is zero"),
    2: (3, "RGB"),
    3: (1, "palette"),
    5: (4, "CMYK"),
    6: (3, "YCbCr"),
}
_OTHER_COLORS = {
    4: "transparency mask",
    8: "CIE L*a*b*",
    9: "ICC L*a*b*",
    32803: "raw sensor mosaic",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw",
}
_NUMBERS = {1: "unsigned", 2: "signed", 3: "floating-point", 4: "unsigned"}
_OTHER_COMPRESSIONS = {
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    34887: "LERC",
    50002: "JPEG XL",
}
# Samples besides the colors: one of alpha, others are ignored.
_MOST_EXTRA = 3
# Of further pages: thumbnails and masks of the first one.
_MINOR_PAGE = 1 | 4
_MOST_PAGES = 64


@dataclass(frozen=True)
class Tiff:
    """The first page of a TIFF file, with a layout that is read."""

    page: Directory
    photometric: int
    samples: int
    bits: int
    numbers: str
    alpha: bool

    @property
    def orientation(self) -> int:
        """EXIF's orientation, from 1 to 8."""
        found = self.page.number(_ORIENTATION, 1)
        return found if 1 <= found <= 8 else 1

    @property
    def declared_bits(self) -> int | None:
        """Depth by MaxSampleValue where it is a power of 2; others are one picture's maximum."""
        depths = {2**bits - 1: bits for bits in range(9, 16)}
        return 12 if self.bits == 12 else depths.get(self.page.number(_MOST))

    @property
    def deep(self) -> bool:
        """Whether Pillow reads these pixels wrongly, with fewer bits, or not at all."""
        return self.bits >= 16

    def for_pillow(self) -> bytes:
        """Return the file with the tags of the first page that decide its pixels."""
        kept = _STORAGE | _COLOR | _LAYOUT
        changed = {}
        if _ORIENTATION in self.page.fields:
            changed[_ORIENTATION] = self.orientation
        return with_directory(self.page, kept, changed)


def check_tiff(content: bytes) -> Tiff:
    """Read the first page's tags and refuse what is not in the table of layouts."""
    try:
        tiff = _describe(_main_page(content))
        _check_length(tiff)
        _check_jpegs(tiff)
    except struct.error as error:
        raise UnreadableImageError("damaged or cut short (TIFF tags)") from error
    return tiff


def _main_page(content: bytes) -> Directory:
    main = None
    for number, page in enumerate(read_directories(content)):
        if main is None:
            main = page
        elif number == _MOST_PAGES or not page.number(_SUBFILE) & _MINOR_PAGE:
            raise UnreadableImageError("it has several frames or pages; save the one to use")
    if main is None or not main.number(_WIDTH) or not main.number(_HEIGHT):
        raise UnreadableImageError("damaged or cut short (TIFF without a size)")
    return main


def _describe(page: Directory) -> Tiff:
    photometric, samples = page.number(_PHOTOMETRIC, 1), page.number(_SAMPLES, 1)
    bits = page.numbers(_BITS) or [1]
    formats = page.numbers(_FORMAT) or [1]
    compression = page.number(_COMPRESSION, 1)
    if compression not in TiffImagePlugin.COMPRESSION_INFO:
        name = _OTHER_COMPRESSIONS.get(compression, f"number {compression}")
        raise UnreadableImageError(
            f"a TIFF with {name} compression, which featx does not read; save it with LZW, deflate "
            "or no compression"
        )
    unknown = _OTHER_COLORS.get(photometric, f"photometric interpretation {photometric}")
    base, name = _COLORS.get(photometric, (samples, unknown))
    if photometric == 6 and samples == 1:
        base = 1
    extra = samples - base
    # The fourth channel of RGB is alpha where it is not said what it is.
    meaning = page.number(_EXTRA, 2 if photometric == 2 else 0) if extra > 0 else 0
    if meaning and photometric in (0, 1, 2, 3):
        name = f"{name.partition(',')[0]} and alpha"
    if not 0 <= extra <= _MOST_EXTRA or len({*bits}) > 1 or len({*formats}) > 1:
        depths = ", ".join(map(str, bits[:4]))
        raise UnreadableImageError(
            f"a TIFF of {samples} samples of {depths} bits, which featx does not read; save it as "
            "8 or 16-bit PNG"
        )
    numbers = _NUMBERS.get(formats[0], f"complex (type {formats[0]})")
    check_layout("TIFF", name, bits[0], numbers)
    # With associated alpha (1) colors are black already where they are transparent.
    return Tiff(page, photometric, samples, bits[0], numbers, alpha=meaning > 1)


def _check_length(tiff: Tiff) -> None:
    """Refuse an uncompressed page with fewer bytes than pixels, which Pillow pads with black."""
    page = tiff.page
    sizes = page.numbers(_STRIP_SIZES) or page.numbers(_TILE_SIZES)
    # Colors of YCbCr may be stored for every other pixel only.
    if page.number(_COMPRESSION, 1) != 1 or not sizes or tiff.photometric == 6:
        return
    width, height = page.number(_WIDTH), page.number(_HEIGHT)
    row_bytes = (width * tiff.samples * tiff.bits + 7) // 8
    if sum(sizes) < row_bytes * height:
        raise UnreadableImageError(
            f"damaged or cut short ({sum(sizes):,} bytes for {width} x {height} pixels)"
        )


def _check_jpegs(tiff: Tiff) -> None:
    """Check the JPEG data of each strip or tile, of whose damage libtiff only warns."""
    page = tiff.page
    if page.number(_COMPRESSION) != _JPEG:
        return
    kind, count, _ = page.fields.get(_TABLES, (0, 0, b""))
    tables = bytes(page.numbers(_TABLES)) if kind == _UNDEFINED and count > 4 else b""
    places = page.numbers(_STRIP_PLACES) or page.numbers(_TILE_PLACES)
    sizes = page.numbers(_STRIP_SIZES) or page.numbers(_TILE_SIZES)
    for place, size in zip(places, sizes, strict=False):
        data = page.content[place : place + size]
        # The tables' end marker and the data's start marker fall away between them.
        check_jpeg_data(tables[:-2] + data[2:] if tables else data)


def open_tiff(content: bytes) -> Image.Image:
    """Open a file whose layout was checked with Pillow, which does not know every storage."""
    try:
        return Image.open(io.BytesIO(content), formats=("TIFF",))
    except UnidentifiedImageError as error:
        raise UnreadableImageError(
            "a TIFF stored in a way that Pillow does not read (such as big-endian BigTIFF); save "
            "it again as plain TIFF or PNG"
        ) from error


def decode_values(tiff: Tiff) -> npt.NDArray:
    """Decode stored values, shape (height, width) or (height, width, samples)."""
    page, samples = tiff.page, tiff.samples
    width, height = page.number(_WIDTH), page.number(_HEIGHT)
    check_size(width, height)
    planes = samples if page.number(_PLANES, 1) == 2 else 1
    strip = min(height, page.number(_ROWS_PER_STRIP, height) or height)
    tile = page.number(_TILE_WIDTH)
    if planes > 1 and (tile or height % strip):
        raise UnreadableImageError(
            "a TIFF of deep colors in separate planes of several strips, which featx does not "
            "read; save it with interleaved colors"
        )
    letter = {"floating-point": "f", "signed": "i", "unsigned": "u"}[tiff.numbers]
    kind = np.dtype(f"{page.order}{letter}{tiff.bits // 8}")
    pixel_bytes = samples // planes * kind.itemsize
    # Whole tiles, since a predictor covers the pixels beyond the edge, too.
    stored_width = -(-width // tile) * tile if tile else width
    changed = {_WIDTH: stored_width * pixel_bytes, _HEIGHT: height * planes, _BITS: 8}
    changed |= {_PHOTOMETRIC: 1}
    changed |= {_TILE_WIDTH: tile * pixel_bytes} if tile else {_ROWS_PER_STRIP: strip}
    packed = with_directory(page, _STORAGE, changed)
    with open_tiff(packed) as image:
        rows = np.asarray(image)
    # A predictor starts again in every tile.
    blocks = np.split(rows, stored_width // tile if tile else 1, axis=1)
    predictor = page.number(_PREDICTOR, 1)
    values = np.concatenate(
        [_undo_predictor(block, kind, samples // planes, predictor) for block in blocks], axis=1
    )[:, :width]
    if planes > 1:
        return np.moveaxis(values.reshape(planes, height, width), 0, 2)
    return values if samples > 1 else values[..., 0]


def _undo_predictor(
    rows: npt.NDArray[np.uint8], kind: np.dtype, samples: int, predictor: int
) -> npt.NDArray:
    """Return values of rows of bytes, shape (rows, width, samples)."""
    height = len(rows)
    if predictor == 3:
        # Adobe's technical note 3: bytes of one significance together, the highest first.
        summed = np.cumsum(rows.reshape(height, -1, samples), axis=1, dtype=np.uint8)
        ordered = summed.reshape(height, kind.itemsize, -1).transpose(0, 2, 1)
        return (
            np.ascontiguousarray(ordered).view(kind.newbyteorder(">")).reshape(height, -1, samples)
        )
    values = np.ascontiguousarray(rows).view(kind).reshape(height, -1, samples)
    if predictor == 2:
        whole = values.view(f"{kind.str[0]}u{kind.itemsize}")
        return np.cumsum(whole, axis=1, dtype=f"u{kind.itemsize}").view(kind.newbyteorder("="))
    return values
