"""Checks of JPEG files that Pillow's decoder does not make."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

import simplejpeg

from featx.errors import UnreadableImageError
from featx.images.layouts import check_layout, check_size

# Every scan of a progressive file is one pass over all pixels; this many take a few seconds.
_MOST_WORK = 2_000_000_000
_USUAL_SCANS = 20

# Markers without a length: TEM and RST0 to RST7.
_BARE = {0x01, *range(0xD0, 0xD8)}
_SCAN, _FIRST_APPLICATION, _COMMENT = 0xDA, 0xE0, 0xFE
# Least size of segments that decide the picture: JFIF and Adobe colors, EXIF or XMP orientation.
_NEEDED = {0xE0: 16, 0xE1: 2, 0xEE: 14}
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

_LOSSY = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}

# Some cameras leave this much before the end marker; the picture is whole.
_HARMLESS_EXTRA_BYTES = 16


@dataclass(frozen=True)
class _Frame:
    """A frame header (ITU-T T.81, B.2.2)."""

    lossless: bool
    bits: int
    height: int
    width: int
    components: int


def check_jpeg(content: bytes) -> bytes:
    """Refuse JPEG files that are damaged, of another layout, or endless; drop their metadata.

    What is left decides the picture and its orientation: Pillow refuses sound pixels for ill-formed
    headers of other kinds.
    """
    kept, frame = _strip(content)
    components = frame.components
    kind = {1: "gray", 3: "color", 4: "CMYK"}.get(components, f"{components} colors")
    check_layout("JPEG", kind, frame.bits)
    check_jpeg_data(content)
    return kept


def check_jpeg_data(content: bytes) -> None:
    """Refuse JPEG data, of a file or inside another container, that is damaged or endless.

    libjpeg repairs damaged data and only warns, which Pillow hides. simplejpeg reports the first
    warning; it decodes at an eighth of the size, which takes half the time of a whole one.
    """
    kept, frame = _strip(content)
    pixels = frame.width * frame.height
    scans = kept.count(b"\xff\xda")
    if scans > _USUAL_SCANS and scans * pixels > _MOST_WORK:
        raise UnreadableImageError(
            f"unreasonably slow to decode: {scans:,} scans of {frame.width} x {frame.height} pixels"
        )
    if frame.bits != 8:
        return
    check_size(frame.width, frame.height)
    # libjpeg-turbo does not scale lossless data: simplejpeg's buffer would be too small for it.
    least = 0 if frame.lossless else 1
    colors = {1: "GRAY", 4: "CMYK"}.get(frame.components, "RGB")
    try:
        simplejpeg.decode_jpeg(kept, colors, min_height=least, min_width=least, strict=True)
    except ValueError as error:
        warning = str(error)
        if _is_damage(warning):
            raise UnreadableImageError(f"damaged or cut short ({warning})") from error


def _is_damage(warning: str) -> bool:
    """Return whether libjpeg's warning is about pixels; others are about metadata."""
    extra = re.search(r"(\d+) extraneous bytes before marker 0xd9", warning)
    if extra and int(extra[1]) <= _HARMLESS_EXTRA_BYTES:
        return False
    return "Corrupt JPEG data" in warning or "Premature end" in warning


def _strip(content: bytes) -> tuple[bytes, _Frame]:
    """Return the data without metadata, and its frame header."""
    parts, place, frame = [content[:2]], 2, None
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        if marker == _SCAN:
            break
        size = 0 if marker in _BARE else int.from_bytes(content[place + 2 : place + 4])
        segment = content[place : place + 2 + size]
        if marker in _FRAMES and len(segment) >= 10:
            if frame is not None:
                break
            frame = _Frame(marker not in _LOSSY, *struct.unpack(">BHHB", segment[4:10]))
        if not _FIRST_APPLICATION <= marker <= _COMMENT or size >= _NEEDED.get(marker, 1 << 16):
            parts.append(segment)
        place += len(segment)
    if frame is None:
        raise UnreadableImageError("damaged or cut short (JPEG without a frame header)")
    return b"".join([*parts, content[place:]]), frame
