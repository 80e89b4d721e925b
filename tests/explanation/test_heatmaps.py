import io

import numpy as np
import pytest
from PIL import Image

from featx.explanation.heatmaps import AWAY, TOWARD, contact_sheet, encode, overlay, picture

GRAY = np.full((60, 90), 128, np.uint8)


def test_the_overlay_spans_the_image_at_its_own_aspect_ratio():
    values = np.array([[2.0, 0.0], [0.0, -2.0]])
    laid = overlay(GRAY, values, 2.0, longest=180)
    assert laid.size == (180, 120)
    corners = np.asarray(laid, float)
    for place, color in (((0, 0), TOWARD), ((-1, -1), AWAY)):
        expected = 0.3 * 128 + 0.7 * np.array(color)
        assert corners[place] == pytest.approx(expected, abs=6)
    assert corners[60, 90] == pytest.approx([128] * 3, abs=2)


def test_beyond_full_color_nothing_changes():
    one, many = (np.asarray(overlay(GRAY, np.full((2, 2), v), 1.0)) for v in (1.0, 50.0))
    assert np.array_equal(one, many)


def test_a_map_of_nothing_leaves_the_image_as_it_is(generator):
    pixels = generator.integers(0, 256, (40, 30, 3)).astype(np.float32)
    laid = np.asarray(overlay(pixels, np.zeros((3, 3)), 1.0, longest=40))
    assert np.array_equal(laid, np.rint(pixels.mean(axis=2, keepdims=True)).repeat(3, axis=2))


def test_pictures_and_sheets_hold_every_overlay_and_no_metadata():
    name = "a very long folder/" * 9 + "Röntgen\udce9.png"
    shown = picture(GRAY, np.ones((2, 2)), 1.0, "PNEUMONIA", [name, "called so"])
    with Image.open(io.BytesIO(encode(shown))) as image:
        assert image.format == "PNG" and not image.info and image.size == shown.size
    tiles = [overlay(GRAY, np.full((2, 2), value), 1.0) for value in (-1.0, 0.0, 1.0, 1.0, 1.0)]
    sheet = contact_sheet(tiles, [[name, "b"]] * 5, None, 1.0, "title")
    ink = np.asarray(sheet)[80:120].reshape(-1, 3)
    colors = {tuple(pixel) for pixel in ink.tolist()}
    for tile in tiles[:3]:
        assert tile.getpixel((100, 100)) in colors
    assert sheet.height < 600
