"""Checks of JPEG files that Pillow's decoder does not make."""

from __future__ import annotations

import re

import simplejpeg

from featx.errors import UnreadableImageError
from featx.images.layouts import check_layout

__all__ = ["check_jpeg", "check_jpeg_data"]

# Every scan of a progressive file is one pass over all pixels; this many take some ten seconds.
_MOST_WORK = 2_000_000_000
_USUAL_SCANS = 20

# Markers without a length: TEM and RST0 to RST7.
_BARE = {0x01, *range(0xD0, 0xD8)}
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

# Some cameras leave this much before the end marker; the picture is whole.
_HARMLESS_EXTRA_BYTES = 16


def check_jpeg(content: bytes) -> None:
    """Refuse JPEG files that are damaged inside, of another layout, or endless to decode."""
    bits, _, _, components = _frame(content)
    kind = {1: "gray", 3: "color", 4: "CMYK"}.get(components, f"{components} colors")
    check_layout("JPEG", kind, bits)
    check_jpeg_data(content)


def check_jpeg_data(content: bytes) -> None:
    """Refuse JPEG data, of a file or inside another container, that is damaged or endless.

    libjpeg repairs damaged data and only warns, which Pillow hides. simplejpeg reports it; it
    decodes at an eighth of the size, so that little more than the damaged part is done twice.
    """
    _, height, width, components = _frame(content)
    scans = content.count(b"\xff\xda")
    if scans > _USUAL_SCANS and scans * height * width > _MOST_WORK:
        raise UnreadableImageError(
            f"unreasonably slow to decode: {scans:,} scans of {width} x {height} pixels"
        )
    try:
        simplejpeg.decode_jpeg(
            content,
            "CMYK" if components == 4 else "GRAY" if components == 1 else "RGB",
            min_height=1,
            min_width=1,
            strict=True,
        )
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


def _frame(content: bytes) -> tuple[int, int, int, int]:
    """Return bits, height, width and number of components, from the frame header (ITU-T T.81)."""
    place = 2
    while place + 4 <= len(content):
        if content[place] != 0xFF:
            break
        marker = content[place + 1]
        if marker == 0xFF:
            place += 1
        elif marker in _BARE:
            place += 2
        elif marker in _FRAMES:
            head = content[place + 4 : place + 10]
            if len(head) < 6:
                break
            return head[0], int.from_bytes(head[1:3]), int.from_bytes(head[3:5]), head[5]
        else:
            place += 2 + int.from_bytes(content[place + 2 : place + 4])
    raise UnreadableImageError("damaged or cut short (JPEG without a frame header)")
