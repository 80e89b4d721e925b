"""PNG files: checked chunk by chunk, stripped of metadata, and 16-bit colors in full depth."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from featx.errors import UnreadableImageError
from featx.images.layouts import check_layout, check_size

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_SAMPLES = {0: "gray", 2: "RGB", 3: "palette", 4: "gray and alpha", 6: "RGB and alpha"}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_BLOCK = 1 << 20
_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
# Chunks that change the picture: transparency, orientation, and frames, which are refused.
_PICTURE = {b"tRNS", b"eXIf", b"acTL"}
_XMP = b"XML:com.adobe.xmp"


@dataclass(frozen=True)
class Png:
    """A sound PNG file without metadata, and what it says of its pixels."""

    content: bytes
    samples: str
    bits: int
    significant_bits: int | None

    @property
    def deep_colors(self) -> bool:
        """Whether Pillow would drop the low byte of each value."""
        return self.bits == 16 and self.samples != "gray"


def check_png(content: bytes) -> Png:
    """Check all chunks that decide pixels, and drop the others.

    Pillow ignores checksums of pixel data and a missing end, and refuses sound pixels for odd text.
    """
    kept, header, significant, packed = [SIGNATURE], b"", b"", []
    kind = b""
    for kind, data, chunk in _chunks(content):
        if kind == b"IHDR":
            header = data
        elif kind == b"IDAT":
            packed.append(data)
        elif kind == b"sBIT":
            significant = data
        elif kind[:1].isupper() and kind not in _CRITICAL:
            raise UnreadableImageError(
                f"a PNG with a part ({kind.decode('ascii', 'replace')}) that changes its pixels in "
                "a way that featx does not read; save it again"
            )
        if kind in _CRITICAL | _PICTURE or (kind == b"iTXt" and data.startswith(_XMP)):
            kept.append(chunk)
    if kind != b"IEND" or len(header) != 13:
        raise UnreadableImageError("damaged or cut short (PNG without its last part)")
    bits, color = header[8:10]
    samples = _SAMPLES.get(color, f"color type {color}")
    check_layout("PNG", samples, bits)
    check_size(*struct.unpack(">II", header[:8]))
    _check_length(packed, header)
    declared = set(significant[: 1 if color in (0, 4) else 3]) if bits == 16 else set()
    # Other depths than these are no detector's, or the container's own.
    depth = declared.pop() if len(declared) == 1 else 16
    return Png(b"".join(kept), samples, bits, depth if 8 < depth < 16 else None)


def _check_length(packed: list[bytes], header: bytes) -> None:
    """Refuse pixel data of fewer rows than declared, which Pillow pads with black."""
    width, height, bits, color, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    pixel_bits = bits * _CHANNELS[color]
    expected = sum(
        rows * (1 + (columns * pixel_bits + 7) // 8)
        for columns, rows in (_passes(width, height) if interlaced else [(width, height)])
        if columns and rows
    )
    found, inflater = 0, zlib.decompressobj()
    for data in packed:
        while data and found < expected and not inflater.eof:
            found += len(inflater.decompress(data, _BLOCK))
            data = inflater.unconsumed_tail
    if found < expected:
        raise UnreadableImageError(
            f"damaged or cut short ({found:,} bytes of pixels in place of {expected:,})"
        )


def _passes(width: int, height: int) -> list[tuple[int, int]]:
    """Return columns and rows of Adam7's passes, by first column and row, and their steps."""
    grid = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    grid.append((0, 1, 1, 2))
    return [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in grid]


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield type, data and bytes of each chunk to IEND; checksums that matter are verified."""
    place = len(SIGNATURE)
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        kind = content[place + 4 : place + 8]
        end = place + 12 + length
        if end > len(content) or not kind.isalpha():
            break
        data = content[place + 8 : end - 4]
        sound = zlib.crc32(data, zlib.crc32(kind)) == int.from_bytes(content[end - 4 : end])
        if not sound and (kind[:1].isupper() or kind == b"tRNS"):
            raise UnreadableImageError(
                f"damaged or cut short (wrong checksum of PNG's {kind.decode()})"
            )
        # Metadata with a wrong checksum is left out.
        if sound:
            yield kind, data, content[place:end]
        if kind == b"IEND":
            return
        place = end


def find_declared_bits(png: Png, values: npt.NDArray) -> int | None:
    """Return the depth by sBIT if values begin at bit 0, not scaled up as PNG's rule has it."""
    if png.significant_bits is None:
        return None
    unused = 16 - png.significant_bits
    kept = values >> unused
    shifted = kept << unused
    repeated = shifted | kept >> (png.significant_bits - unused)
    scaled_up = ((values == shifted) | (values == repeated)).all()
    return None if scaled_up else png.significant_bits


def decode_deep_colors(png: Png) -> npt.NDArray[np.uint16]:
    """Decode 16-bit colors or alpha, as red, green, blue and, where stored, alpha."""
    pixels = cv2.imdecode(np.frombuffer(png.content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise UnreadableImageError("damaged or cut short (PNG)")
    order = [2, 1, 0, 3][: pixels.shape[2]]
    return pixels[..., order].astype(np.uint16, copy=False)
