"""Heat maps over images: orange is evidence for a class, blue against it."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

__all__ = ["contact_sheet", "encode", "overlay", "picture", "shared_scale"]

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
    """Draw a map over an image, keeping the image's aspect ratio.

    Parameters
    ----------
    pixels : ndarray, shape (height, width) or (height, width, 3)
        Intensities from 0 to 255.
    values : ndarray of float64, shape (rows, columns)
        The map, covering the whole image.
    """
    gray = np.asarray(_gray(pixels, longest), dtype=np.float64)
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
    laid = overlay(pixels, values, scale)
    plain = _gray(pixels, _LONGEST_SIDE).convert("RGB")
    width = max(2 * laid.width + 3 * _MARGIN, 460)
    head = _MARGIN + 22 * len(lines) + 6
    canvas = Image.new("RGB", (width, head + laid.height + 62), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        text = _fitted(draw, line, width - 2 * _MARGIN, 15)
        draw.text((_MARGIN, _MARGIN + 22 * number), text, _TEXT, _font(15))
    canvas.paste(plain, (_MARGIN, head))
    canvas.paste(laid, (2 * _MARGIN + laid.width, head))
    _draw_legend(canvas, (_MARGIN, head + laid.height + 12), toward, scale)
    return canvas


def contact_sheet(
    overlays: Sequence[Image.Image],
    captions: Sequence[Sequence[str]],
    toward: str | None,
    scale: float,
    title: str,
) -> Image.Image:
    """Draw overlays with captions on one sheet."""
    columns = max(3, min(6, math.ceil(math.sqrt(1.5 * len(overlays)))))
    tiles = [_shrunk(image) for image in overlays]
    rows = [
        range(first, min(first + columns, len(tiles))) for first in range(0, len(tiles), columns)
    ]
    heights = [max(tiles[number].height for number in row) for row in rows]
    width = columns * (_TILE + _MARGIN) + _MARGIN
    canvas = Image.new("RGB", (width, 44 + sum(heights) + len(rows) * 64 + 54), _PAPER)
    draw = ImageDraw.Draw(canvas)
    heading = _fitted(draw, title, canvas.width - 2 * _MARGIN, 17)
    draw.text((_MARGIN, _MARGIN), heading, _TEXT, _font(17))
    foot = 44
    for row, height in zip(rows, heights, strict=True):
        foot += height
        for column, number in enumerate(row):
            left, tile = _MARGIN + column * (_TILE + _MARGIN), tiles[number]
            canvas.paste(tile, (left + (_TILE - tile.width) // 2, foot - tile.height))
            for place, line in enumerate(captions[number]):
                text = _fitted(draw, line, _TILE, 12)
                draw.text((left, foot + 3 + 15 * place), text, _TEXT, _font(12))
        foot += 64
    _draw_legend(canvas, (_MARGIN, canvas.height - 50), toward or "the predicted class", scale)
    return canvas


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    """Return an image as the bytes of a file, without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 75} if kind == "JPEG" else {}))
    return buffer.getvalue()


def _gray(pixels: npt.NDArray, longest: int) -> Image.Image:
    gray = pixels.mean(axis=2) if pixels.ndim == 3 else pixels
    image = Image.fromarray(np.rint(gray).clip(0, 255).astype(np.uint8))
    ratio = longest / max(image.size)
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _shrunk(image: Image.Image) -> Image.Image:
    tile = image.copy()
    tile.thumbnail((_TILE, _TILE), Image.Resampling.LANCZOS)
    return tile


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fitted(draw: ImageDraw.ImageDraw, text: str, width: int, size: int) -> str:
    """Shorten a line from its left, since the ends of paths differ most."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if draw.textlength(text, _font(size)) <= width:
        return text
    while text and draw.textlength("..." + text, _font(size)) > width:
        text = text[1:]
    return "..." + text


def _draw_legend(canvas: Image.Image, place: tuple[int, int], toward: str, scale: float) -> None:
    """Draw the color scale on a middle gray, as over an image."""
    width, height = min(200, canvas.width - 2 * _MARGIN), 14
    values = np.linspace(-scale, scale, width)[None]
    gray = np.full((height, width), 128, np.uint8)
    left, top = place
    canvas.paste(overlay(gray, np.repeat(values, height, axis=0), scale, width), place)
    draw = ImageDraw.Draw(canvas)
    for position, text, anchor in (
        (left, f"{-scale:.2g}", "la"),
        (left + width // 2, "0", "ma"),
        (left + width, f"{scale:+.2g}", "ra"),
    ):
        draw.text((position, top + height + 2), text, _TEXT, _font(12), anchor=anchor)
    beside = left + width + 2 * _MARGIN
    room = canvas.width - beside - _MARGIN
    for line, text in enumerate((f"orange: towards {toward}", f"blue: away from {toward}")):
        words = _fitted(draw, text, room, 13)
        draw.text((beside, top - 3 + 18 * line), words, _TEXT, _font(13))
