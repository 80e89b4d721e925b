"""Heat maps over images: orange is evidence for a class, blue against it."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

# Vermillion and blue of Okabe and Ito, distinct for every kind of color vision.
TOWARD, AWAY = (213, 94, 0), (0, 114, 178)
_STRONGEST = 0.7
_LONGEST_SIDE = 480
_TILE = 220
_TEXT, _PAPER = (32, 32, 32), (255, 255, 255)
_MARGIN = 10

Map = npt.NDArray[np.float64]


def shared_scale(maps: Sequence[Map]) -> float:
    """Return the value drawn in full color: the upper quartile of the maps' peaks.

    One scale makes maps comparable, and a quartile keeps one odd image from fading the others.

    Examples
    --------
    >>> shared_scale([np.array([[-4.0, 1.0]]), np.array([[4.0, 0.0]])])
    4.0
    """
    peaks = [np.abs(each).max() for each in maps]
    # Maps of zeros only have no scale.
    return float(np.quantile(peaks, 0.75)) or 1.0


def overlay(
    pixels: npt.NDArray, values: Map, scale: float, longest: int = _LONGEST_SIDE
) -> Image.Image:
    """Draw a map that covers a whole image over it, keeping the image's aspect ratio."""
    gray = np.asarray(gray_image(pixels, longest), dtype=np.float64)
    size = gray.shape[::-1]
    level = np.clip(cv2.resize(values, size, interpolation=cv2.INTER_CUBIC) / scale, -1, 1)
    strength = (_STRONGEST * np.abs(level))[..., None]
    color = np.where(level[..., None] > 0, np.array(TOWARD, float), np.array(AWAY, float))
    mixed = (1 - strength) * gray[..., None] + strength * color
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def picture(
    pixels: npt.NDArray, values: Map, scale: float, toward: str, lines: Sequence[str]
) -> Image.Image:
    """Draw an image and its overlay side by side, with a caption and a legend."""
    images = [gray_image(pixels, _LONGEST_SIDE), overlay(pixels, values, scale)]
    return _sheet(lines, images, [(), ()], 2, toward, scale)


def contact_sheet(
    overlays: Sequence[Image.Image],
    captions: Sequence[Sequence[str]],
    toward: str | None,
    scale: float,
    title: str,
) -> Image.Image:
    """Draw overlays with captions on one sheet."""
    tiles = [image.copy() for image in overlays]
    for tile in tiles:
        tile.thumbnail((_TILE, _TILE), Image.Resampling.LANCZOS)
    columns = max(3, min(6, math.ceil(math.sqrt(1.5 * len(tiles)))))
    return _sheet([title], tiles, captions, columns, toward or "the predicted class", scale)


def _sheet(
    heading: Sequence[str],
    images: Sequence[Image.Image],
    captions: Sequence[Sequence[str]],
    columns: int,
    toward: str,
    scale: float,
) -> Image.Image:
    """Draw a heading, images in rows with captions below, and a legend."""
    cell = max(_TILE, *(image.width for image in images))
    below = 15 * (1 + max(len(lines) for lines in captions))
    firsts = range(0, len(images), columns)
    heights = [max(image.height for image in images[first : first + columns]) for first in firsts]
    head = 20 + 22 * len(heading)
    width = columns * (cell + _MARGIN) + _MARGIN
    canvas = Image.new("RGB", (width, head + sum(heights) + below * len(heights) + 50), _PAPER)
    for number, line in enumerate(heading):
        _write(canvas, (_MARGIN, _MARGIN + 22 * number), line, width - 2 * _MARGIN, 15)
    foot = head
    for first, height in zip(firsts, heights, strict=True):
        foot += height
        for column, image in enumerate(images[first : first + columns]):
            left = _MARGIN + column * (cell + _MARGIN)
            canvas.paste(image, (left + (cell - image.width) // 2, foot - image.height))
            for number, line in enumerate(captions[first + column]):
                _write(canvas, (left, foot + 3 + 15 * number), line, cell, 12)
        foot += below
    _draw_legend(canvas, (_MARGIN, foot), toward, scale)
    return canvas


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    """Return an image as the bytes of a file, without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 75} if kind == "JPEG" else {}))
    return buffer.getvalue()


def gray_image(pixels: npt.NDArray, longest: int) -> Image.Image:
    """Return an image in gray whose longer side has the given number of pixels."""
    gray = pixels.mean(axis=2) if pixels.ndim == 3 else pixels
    image = Image.fromarray(np.rint(gray).clip(0, 255).astype(np.uint8))
    ratio = longest / max(image.size)
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _write(canvas: Image.Image, place: tuple[int, int], text: str, width: int, size: int) -> None:
    """Write a line, shortened from its left to a width, since the ends of paths differ most."""
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size)
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    shown = text
    while text and draw.textlength(shown, font) > width:
        text = text[1:]
        shown = "..." + text
    draw.text(place, shown, _TEXT, font)


def _draw_legend(canvas: Image.Image, place: tuple[int, int], toward: str, scale: float) -> None:
    """Draw the color scale on a middle gray, as over an image."""
    width, height = min(200, canvas.width - 2 * _MARGIN), 14
    values = np.linspace(-scale, scale, width)[None]
    gray = np.full((height, width), 128, np.uint8)
    left, top = place
    canvas.paste(overlay(gray, np.repeat(values, height, axis=0), scale, width), place)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for position, text, anchor in (
        (left, f"{-scale:.2g}", "la"),
        (left + width // 2, "0", "ma"),
        (left + width, f"{scale:+.2g}", "ra"),
    ):
        draw.text((position, top + height + 2), text, _TEXT, font, anchor=anchor)
    beside = left + width + 2 * _MARGIN
    room = canvas.width - beside - _MARGIN
    _write(canvas, (beside, top - 3), f"orange: towards {toward}", room, 13)
    _write(canvas, (beside, top + 15), f"blue: away from {toward}", room, 13)
