import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from featx.errors import UnreadableImageError
from featx.images.reading import read_image
from tests.conftest import smooth_image
from tests.images.writers import encode, tiff


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_lossless_kinds_are_read_exactly(generator, kind):
    pixels = smooth_image(generator)
    np.testing.assert_array_equal(read_image(encode(Image.fromarray(pixels), kind)), pixels)


def test_jpeg_is_read_approximately(generator):
    pixels = smooth_image(generator)
    found = read_image(encode(Image.fromarray(pixels), "JPEG", quality=95)).astype(int)
    assert np.abs(found - pixels).mean() < 2


def test_a_gray_image_saved_in_color_reads_the_same(generator):
    pixels = smooth_image(generator)
    color = Image.fromarray(np.repeat(pixels[..., np.newaxis], 3, axis=2))
    np.testing.assert_array_equal(read_image(encode(color, "PNG")), pixels)


def test_color_on_request(generator):
    pixels = generator.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read_image(encode(Image.fromarray(pixels), "PNG"), "rgb"), pixels)
    gray = read_image(encode(Image.fromarray(pixels[..., 0]), "PNG"), "rgb")
    np.testing.assert_array_equal(gray, np.repeat(pixels[..., :1], 3, axis=2))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_read_as_the_same_picture(generator, kind):
    pixels = smooth_image(generator)
    deep = Image.fromarray(pixels.astype(np.uint16) * 257)
    np.testing.assert_allclose(read_image(encode(deep, kind)), pixels, atol=1e-3)


def test_twelve_bits_in_a_sixteen_bit_file_fill_the_range():
    deep = np.linspace(0, 4095, 12, dtype=np.uint16).reshape(3, 4)
    found = read_image(encode(Image.fromarray(deep), "PNG"))
    np.testing.assert_allclose(found, deep * (255 / 4095), rtol=1e-6)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff_of_either_byte_order(generator, byteorder):
    deep = generator.integers(0, 2**16, (6, 7), dtype=np.uint16)
    deep[0, 0] = 2**16 - 1
    found = read_image(tiff(deep, byteorder=byteorder))
    np.testing.assert_allclose(found, deep / 257, rtol=1e-6)


def test_float_tiff_between_zero_and_one(generator):
    values = generator.random((5, 6)).astype(np.float32)
    np.testing.assert_allclose(read_image(tiff(values)), values * 255, rtol=1e-5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation):
    upright = np.zeros((16, 32), dtype=np.uint8)
    upright[:8, :8] = 255
    undo = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a.T, 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](upright)))
    found = read_image(encode(stored, "PNG", exif=exif))
    np.testing.assert_array_equal(found, upright)


def test_palette_and_transparency():
    gray = Image.new("L", (4, 4), 200)
    palette = gray.convert("P")
    assert set(read_image(encode(palette, "PNG")).ravel()) == {200}
    half = Image.new("LA", (4, 4), (200, 0))
    assert set(read_image(encode(half, "PNG")).ravel()) == {0}


def test_cmyk_jpeg_is_read():
    assert read_image(encode(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG")).min() > 250


def two_pages():
    pages = [Image.new("L", (4, 4), value) for value in (1, 2)]
    return encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])


def bomb():
    """A few bytes that claim 50,000 x 50,000 pixels."""

    def chunk(kind, data):
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


GOOD = encode(Image.effect_noise((64, 64), 50), "PNG")
GOOD_JPEG = encode(Image.effect_noise((64, 64), 50), "JPEG")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"not an image at all", "not a JPEG"),
        (GOOD[: len(GOOD) // 2], "damaged or cut short"),
        (GOOD_JPEG[: len(GOOD_JPEG) // 2], "damaged or cut short"),
        (two_pages(), "several frames"),
        (bomb(), "unreasonably large"),
    ],
    ids=["empty", "text", "half a png", "half a jpeg", "pages", "bomb"],
)
def test_unreadable_files_give_a_reason(content, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        read_image(content)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(UnreadableImageError, match="No such file"):
        read_image(tmp_path / "absent.png")
