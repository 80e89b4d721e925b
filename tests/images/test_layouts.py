"""Accepted layouts of PNG, JPEG, BMP and arrays against drawn pixels; refusals by name."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from featx.errors import UnreadableImageError
from featx.images.layouts import LAYOUTS, check_layout
from featx.images.reading import count_channels, read_image, undeclared_bits
from featx.images.sources import pixels_of, undeclared_depth
from tests.images.writers import chunk, encode, expect, png, tiff

CASES = Path(__file__).parent / "cases"


@pytest.mark.parametrize("scale", [257, 16], ids=["16 bits", "12 bits"])
def test_deep_png_reads_as_the_same_picture_whatever_its_colors(gray, scale):
    gray[:3] = 255
    shown = gray * (scale * 255 / (65535 if scale == 257 else 4095))
    deep = gray.astype(np.uint16)[..., np.newaxis] * np.uint16(scale)
    alpha = np.full_like(deep, 65535 if scale == 257 else 4095)
    expect(png(deep, 0), shown)
    expect(png(np.repeat(deep, 3, 2), 2), shown)
    expect(png(np.concatenate([deep, alpha], 2), 4), shown)
    expect(png(np.concatenate([deep, deep, deep, alpha], 2), 6), shown)
    alpha[:, :24] = 0
    expect(png(np.concatenate([deep, alpha], 2), 4)[:], shown * (np.arange(48) >= 24))


def test_deep_png_colors_keep_their_order(colors):
    colors[:3] = 255
    expect(png(colors.astype(np.uint16) * 257, 2), colors, "rgb")


def test_significant_bits_of_png(gray):
    stored = gray.astype(np.uint16) * 4
    expect(png(stored, 0, (b"sBIT", b"\x0a")), stored * (255 / 1023))
    # PNG's own rule: values of 10 bits are scaled up to 16.
    scaled = (stored << 6) | (stored >> 4)
    expect(png(scaled, 0, (b"sBIT", b"\x0a")), scaled / 257)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (tiff(np.ones((4, 4), np.int8)), "8-bit signed gray"),
        (tiff(np.ones((4, 4, 3), np.float32), photometric="rgb"), "32-bit floating-point RGB"),
        (tiff(np.ones((4, 4), np.complex64)), "complex"),
        (tiff(np.ones((4, 4), np.uint64)), "64-bit gray"),
        (tiff(np.ones((4, 4, 3), np.uint8), photometric="cielab"), r"CIE L\*a\*b\*"),
        (tiff(np.ones((4, 4, 4), np.uint16), photometric="separated"), "16-bit CMYK"),
        (b"GIF89a" + bytes(300), "a GIF image"),
        (b"RIFF\0\0\0\0WEBPVP8 " + bytes(300), "a WebP image"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(300), "a JPEG 2000 image"),
        (b"<!DOCTYPE html><html>Sign in</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"\0\0\0\x18ftypheic" + bytes(300), "HEIF"),
    ],
)
def test_other_layouts_and_containers_are_refused_by_name(content, name):
    with pytest.raises(UnreadableImageError, match=name):
        read_image(content)


def test_the_main_picture_of_a_phone_jpeg(gray):
    image = Image.fromarray(gray)
    settings = {"save_all": True, "append_images": [image.resize((8, 8))], "quality": 95}
    content = encode(image, "MPO", **settings)
    assert Image.open(io.BytesIO(content)).n_frames == 2
    expect(content, gray, atol=8)


@pytest.mark.parametrize("name", ["exif_o6_typeerr", "exif_o6_srational_wrongtype"])
def test_ill_typed_tags_of_exif_do_not_refuse_pixels(name):
    """An image width in letters, and an infinite resolution; the orientation is 6."""
    content = (CASES / f"{name}.jpg").read_bytes()
    stored = cv2.imdecode(
        np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
    )
    expect(content, np.rot90(stored, -1), atol=1)


def test_ill_typed_tags_of_tiff_do_not_refuse_pixels(gray):
    odd = [(34675, 7, 4, b"abcd", True), (700, 1, 6, b"<x:xm\0", True), (65000, 12, 1, 1.5, True)]
    content = tiff(gray, extratags=[*odd, (274, 3, 1, 9, True), (34853, 2, 4, "GPS\0", True)])
    np.testing.assert_array_equal(read_image(content), gray)


@pytest.mark.parametrize(
    ("marker", "data"),
    [
        (0xE0, b"JFIF\0\x09"),
        (0xE1, b"Exif\0\0" + b"\xff" * 40),
        (0xE1, b"Exif\0\0II*\0\x08\0\0\0\x05\0"),
        (0xE1, b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta tiff:Orientation="sideways"'),
        (0xE2, b"ICC_PROFILE\0\x05\x01xx"),
        (0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff" + b"z" * 30),
        (0xED, b"Photoshop 3.0\x008BIM\xff\xff\xff" + b"q" * 20),
        (0xEE, b"Adobe\0"),
        (0xFE, b"\xff\xda" * 9000),
    ],
    ids=["JFIF", "EXIF", "EXIF cut", "XMP", "ICC", "MPF", "Photoshop", "Adobe", "comment"],
)
def test_ill_formed_segments_of_jpeg_do_not_refuse_pixels(colors, marker, data):
    content = encode(Image.fromarray(colors), "JPEG")
    segment = bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data
    found = read_image(content[:2] + segment + content[2:], "rgb")
    np.testing.assert_array_equal(found, read_image(content, "rgb"))
    np.testing.assert_array_equal(found, np.asarray(Image.open(io.BytesIO(content))))
    assert count_channels(content[:2] + segment + content[2:]) == 3


def test_text_of_png_does_not_refuse_pixels(gray):
    large = (b"zTXt", b"note\0\0" + zlib.compress(bytes(5_000_000)))
    color = (b"iCCP", b"odd\0\0" + b"no profile")
    content = png(gray, 0, large, color, (b"tIME", b"?"))
    np.testing.assert_array_equal(read_image(content), gray)
    wrong = content.replace(chunk(b"tIME", b"?"), chunk(b"tIME", b"?")[:-1] + b"\0")
    np.testing.assert_array_equal(read_image(wrong), gray)


def test_jpeg_of_twelve_bits_is_refused_by_name(gray):
    content = bytearray(encode(Image.fromarray(gray), "JPEG"))
    content[content.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(UnreadableImageError, match="a JPEG of 12-bit gray"):
        read_image(bytes(content))


def test_a_jpeg_without_a_height_is_damaged_and_not_called_another_format(gray):
    content = bytearray(encode(Image.fromarray(gray), "JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 2] = bytes(2)
    with pytest.raises(UnreadableImageError, match=r"damaged or cut short .header"):
        read_image(bytes(content))


def test_channels_of_files_that_pillow_does_not_know(gray):
    assert count_channels(tiff(gray.astype(np.float64) / 255)) == 1
    assert count_channels(tiff(np.stack([gray] * 3, 2).astype(np.uint16), photometric="rgb")) == 3
    assert count_channels(png(np.stack([gray] * 3, 2).astype(np.uint16), 2)) == 3


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_bmp(gray, mode):
    content = bytearray(encode(Image.fromarray(gray).convert(mode), "BMP"))
    # OpenCV reads alpha as a fourth channel.
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., 0]
    expect(bytes(content), found, atol=1)
    content[28] = 64
    with pytest.raises(UnreadableImageError, match="a BMP of 64-bit gray, palette or RGB"):
        read_image(bytes(content))


def test_bmp_with_an_unused_fourth_byte(gray):
    data = np.dstack([gray, gray, gray, np.zeros_like(gray)])[::-1].tobytes()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, 48, 40, 1, 32, 3, len(data), 1, 1, 0, 0)
    header += masks + b"BGRs" + bytes(48)
    start = struct.pack("<IHHI", 14 + len(header) + len(data), 0, 0, 14 + len(header))
    np.testing.assert_array_equal(read_image(b"BM" + start + header + data), gray)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((4, 4), np.complex64), "an array of 64-bit complex64"),
        (np.zeros((4, 4), object), "an array of 64-bit object"),
        (np.zeros((4, 4), "datetime64[s]"), "an array of 64-bit datetime64"),
        (np.zeros((4, 4, 4), np.uint8), r"shape \(4, 4, 4\) is no image"),
        (np.zeros(16, np.uint8), r"shape \(16,\) is no image"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"shape \(2, 4, 4, 3\) is no image"),
    ],
)
def test_arrays_of_other_kinds_are_refused_by_name(pixels, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        pixels_of(pixels, "gray")


def test_arrays_read_as_the_files_that_hold_them(colors, gray):
    deep = colors.astype(np.uint16) * 16
    for pixels in (gray, gray[..., np.newaxis], colors, deep, gray / 255):
        for color in ("gray", "rgb"):
            kind = "rgb" if pixels.shape[2:] == (3,) else "minisblack"
            content = tiff(np.squeeze(pixels), photometric=kind)
            np.testing.assert_allclose(pixels_of(pixels, color), read_image(content, color), atol=1)


def test_undeclared_depths(gray):
    gray[0, 0] = 255
    twelve = gray.astype(np.uint16) * 16
    for scale, depth in ((16, 12), (64, 14), (257, 16)):
        stored = gray.astype(np.uint16) * np.uint16(scale)
        stored[:3] = 255 * scale
        color = np.repeat(stored[..., np.newaxis], 3, 2)
        assert undeclared_depth(stored) == depth
        for content in (
            png(stored, 0),
            png(color, 2),
            tiff(stored),
            tiff(color, photometric="rgb"),
        ):
            assert undeclared_bits(content) == depth
    for content in (
        png(gray, 0),
        tiff(gray),
        tiff(gray / 255),
        tiff(twelve // 4, extratags=[(281, 3, 1, 1023, True)]),
        png(twelve // 4, 0, (b"sBIT", b"\x0a")),
    ):
        assert undeclared_bits(content) == 0
    assert undeclared_depth(gray) == undeclared_depth(gray / 255) == 0


def test_the_table_in_the_documentation_is_the_table():
    page = Path(__file__).parents[2] / "docs" / "howto" / "pixel_layouts.md"
    text = page.read_text()
    for layout in LAYOUTS:
        bits = ", ".join(map(str, layout.bits))
        if len(layout.bits) > 3 and layout.bits == tuple(
            range(layout.bits[0], layout.bits[-1] + 1)
        ):
            bits = f"{layout.bits[0]} to {layout.bits[-1]}"
        assert f"| {layout.container} | {layout.samples} | {bits} | {layout.numbers} |" in text
    table = text.split("## Depth")[0].count("\n| ") - 1
    assert table == len(LAYOUTS)


def test_the_table_refuses_what_it_does_not_list():
    for layout in LAYOUTS:
        for bits in layout.bits:
            check_layout(layout.container, layout.samples, bits, layout.numbers)
    with pytest.raises(UnreadableImageError, match="a PNG of 32-bit gray, which featx does not"):
        check_layout("PNG", "gray", 32)
