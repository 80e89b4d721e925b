import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from featx.errors import UnreadableImageError
from featx.images.reading import read_image
from tests.conftest import smooth_image
from tests.images.writers import chunk, encode


def test_a_gray_image_saved_in_color_reads_the_same(generator):
    pixels = smooth_image(generator)
    color = Image.fromarray(np.repeat(pixels[..., np.newaxis], 3, axis=2))
    np.testing.assert_array_equal(read_image(encode(color, "PNG")), pixels)


def test_color_on_request(generator):
    pixels = generator.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read_image(encode(Image.fromarray(pixels), "PNG"), "rgb"), pixels)
    gray = read_image(encode(Image.fromarray(pixels[..., 0]), "PNG"), "rgb")
    np.testing.assert_array_equal(gray, np.repeat(pixels[..., :1], 3, axis=2))


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


def two_pages():
    pages = [Image.new("L", (4, 4), value) for value in (1, 2)]
    return encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])


def bomb():
    """A few bytes that claim 50,000 x 50,000 pixels."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"not an image at all", "not a JPEG"),
        (two_pages(), "several frames"),
        (bomb(), "unreasonably large"),
    ],
    ids=["empty", "text", "pages", "bomb"],
)
def test_unreadable_files_give_a_reason(content, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        read_image(content)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(UnreadableImageError, match="No such file"):
        read_image(tmp_path / "absent.png")
