"""Every accepted layout against drawn pixels, written by an independent library."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from featx.errors import UnreadableImageError
from featx.images.layouts import LAYOUTS, check_layout
from featx.images.reading import count_channels, read_image
from tests.conftest import smooth_image

# Independent writers: tifffile, OpenCV and a hand-written PNG.


def tiff(pixels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def png(pixels, color_type, *extra):
    """A PNG of big-endian rows without filters; `extra` are further chunks before the pixels."""
    height, width = pixels.shape[:2]
    bits = 8 * pixels.dtype.itemsize
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    parts = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.fixture
def gray(generator):
    return smooth_image(generator).copy()


@pytest.fixture
def colors(generator):
    return np.stack([smooth_image(generator) for _ in range(3)], axis=2)


def expect(content, pixels, color="gray", **tolerance):
    np.testing.assert_allclose(read_image(content, color), pixels, **({"atol": 0.01} | tolerance))


STORAGE = [
    {},
    {"byteorder": ">"},
    {"bigtiff": True},
    {"rowsperstrip": 7},
    {"tile": (16, 32)},
    {"compression": "zlib", "byteorder": ">"},
    {"compression": "zlib", "tile": (16, 32), "byteorder": ">"},
]


@pytest.mark.parametrize("storage", STORAGE, ids=str)
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize(
    ("dtype", "white"),
    [
        ("uint8", 255),
        ("uint16", 65535),
        ("uint32", 2**32 - 1),
        ("float16", 1),
        ("float32", 1),
        ("float64", 1),
    ],
)
def test_gray_tiff_of_every_depth(gray, storage, photometric, dtype, white):
    gray = np.where(np.arange(gray.shape[1]) < 3, 255, gray).astype(np.uint8)
    stored = (gray * (white / 255)).round(0 if white > 1 else 9).astype(dtype)
    shown = gray if photometric == "minisblack" else 255 - gray.astype(float)
    expect(tiff(stored, photometric=photometric, **storage), shown, atol=0.1)


@pytest.mark.parametrize("storage", STORAGE, ids=str)
@pytest.mark.parametrize("dtype", ["int16", "int32"])
def test_signed_tiff_without_negative_values(gray, storage, dtype):
    expect(tiff(gray.astype(dtype) * 16, **storage), gray * (16 * 255 / 4095))


@pytest.mark.parametrize("storage", STORAGE, ids=str)
@pytest.mark.parametrize("scale", [257, 16], ids=["16 bits", "12 bits"])
def test_deep_colors_of_tiff(colors, storage, scale):
    colors = colors.copy()
    colors[:3] = 255
    content = tiff(colors.astype(np.uint16) * scale, photometric="rgb", **storage)
    expect(content, colors * (scale * 255 / (65535 if scale == 257 else 4095)), "rgb")
    weights = [0.299, 0.587, 0.114]
    expect(content, read_image(content, "rgb") @ weights)


def test_deep_colors_in_planes(colors):
    colors = colors.copy()
    colors[:3] = 255
    planes = np.ascontiguousarray(np.moveaxis(colors, 2, 0)).astype(np.uint16) * 257
    for options in ({}, {"compression": "zlib"}, {"rowsperstrip": 8}):
        content = tiff(planes, photometric="rgb", planarconfig="separate", **options)
        expect(content, colors, "rgb")
    content = tiff(planes, photometric="rgb", planarconfig="separate", rowsperstrip=7)
    with pytest.raises(UnreadableImageError, match="separate planes of several strips"):
        read_image(content)


@pytest.mark.parametrize("predictor", [1, 2, 3])
@pytest.mark.parametrize("compression", [5, 8], ids=["lzw", "deflate"])
def test_predictors_of_compressed_tiff(colors, compression, predictor):
    deep = colors.astype(np.uint16) * 257
    deep[:2] = 65535
    deep = deep if predictor < 3 else (deep[..., 0] / 65535).astype(np.float32)
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
    done, content = cv2.imencode(".tif", deep, options)
    assert done
    tags = tifffile.TiffFile(io.BytesIO(content.tobytes())).pages[0].tags
    assert tags[259].value == compression
    assert predictor == 1 or tags[317].value == predictor
    if predictor == 3:
        expect(content.tobytes(), deep * 255)
    else:
        # OpenCV takes blue first.
        expect(content.tobytes(), deep[..., ::-1] / 257, "rgb")


def test_tiff_with_alpha(gray):
    gray = np.maximum(gray, 1)
    gray[:3] = 255
    opaque, clear = np.full_like(gray, 255), np.full_like(gray, 255)
    clear[:, :24] = 0
    for alpha, shown in ((opaque, gray), (clear, gray * (clear > 0))):
        for scale, dtype in ((1, np.uint8), (257, np.uint16)):
            stored = np.stack([gray, alpha], axis=2).astype(dtype) * dtype(scale)
            two = tiff(stored, photometric="minisblack", extrasamples=[2], planarconfig="contig")
            expect(two, shown)
            four = stored[..., [0, 0, 0, 1]]
            expect(tiff(four, photometric="rgb", extrasamples=[2]), shown)
    # Of associated alpha colors are multiplied already; a sample of no meaning hides nothing.
    half = np.stack([gray, clear], axis=2).astype(np.uint16) * 257
    for meaning in (0, 1):
        content = tiff(
            half, photometric="minisblack", extrasamples=[meaning], planarconfig="contig"
        )
        expect(content, gray)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("1", {"compression": "group4"}),
        ("1", {}),
        ("L", {"compression": "packbits"}),
        ("P", {"compression": "tiff_lzw"}),
        ("RGB", {"compression": "jpeg", "quality": 95}),
        ("CMYK", {}),
        ("YCbCr", {}),
        ("I;16", {"compression": "tiff_lzw"}),
        ("F", {"compression": "lzma"}),
    ],
)
def test_layouts_that_pillow_writes(gray, mode, options):
    image = Image.fromarray(gray)
    if mode == "1":
        image = image.point(lambda value: 255 * (value > 127)).convert("1")
    elif mode == "I;16":
        image = Image.fromarray(
            np.maximum(gray, 20 * np.eye(40, 48, dtype=np.uint8)) * np.uint16(257)
        )
    elif mode == "F":
        image = Image.fromarray(gray.astype(np.float32))
    else:
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", **options)
    shown = np.asarray(image) / 257 if mode == "I;16" else np.asarray(image.convert("L"))
    expect(buffer.getvalue(), shown, atol=6 if "quality" in options else 1)


def test_packed_twelve_bits(gray):
    even = gray[:, :48].astype(np.uint16) * 16
    packed = np.stack(
        [even[:, ::2] >> 4, (even[:, ::2] & 15) << 4 | even[:, 1::2] >> 8, even[:, 1::2] & 255], 2
    )
    # The byte rows of a 12-bit picture, under a header that says so.
    content = tiff(packed.reshape(40, -1).astype(np.uint8), metadata=None)
    page = tifffile.TiffFile(io.BytesIO(content)).pages[0]
    changed = bytearray(content)
    for tag, value in ((256, 48), (258, 12)):
        struct.pack_into(
            "<I" if page.tags[tag].dtype == 4 else "<H", changed, page.tags[tag].valueoffset, value
        )
    expect(bytes(changed), even * (255 / 4095))


def test_declared_maximum_of_tiff(gray):
    stored = np.minimum(gray.astype(np.uint16), 200) * 2
    declared = tiff(stored, extratags=[(281, 3, 1, 1023, True)])
    expect(declared, stored * (255 / 1023))
    # Other maxima are the brightest pixel of one picture.
    np.testing.assert_array_equal(
        read_image(tiff(stored, extratags=[(281, 3, 1, 400, True)])), read_image(tiff(stored))
    )


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


def test_compressions_are_refused_by_name(gray):
    content = bytearray(tiff(gray, metadata=None))
    entry = tifffile.TiffFile(io.BytesIO(bytes(content))).pages[0].tags[259]
    for number, name in ((34887, "LERC"), (34712, "JPEG 2000"), (999, "number 999")):
        struct.pack_into("<H", content, entry.valueoffset, number)
        with pytest.raises(UnreadableImageError, match=f"a TIFF with {name} compression"):
            read_image(bytes(content))


def test_pages_beside_the_picture(gray):
    """Thumbnails and masks are no pictures of their own."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(gray, metadata=None)
        writer.write(gray[::4, ::4], subfiletype=1, metadata=None)
    expect(buffer.getvalue(), gray)
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(gray, metadata=None)
        writer.write(gray, metadata=None)
    with pytest.raises(UnreadableImageError, match="several frames or pages"):
        read_image(buffer.getvalue())


def test_the_main_picture_of_a_phone_jpeg(gray):
    buffer = io.BytesIO()
    image = Image.fromarray(gray)
    image.save(buffer, "MPO", save_all=True, append_images=[image.resize((8, 8))], quality=95)
    assert Image.open(buffer).n_frames == 2
    expect(buffer.getvalue(), gray, atol=8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_ill_formed_metadata_does_not_refuse_pixels(gray, kind):
    exif = Image.Exif()
    exif[274] = 6
    exif[256] = "wide"
    exif[282] = TiffImagePlugin.IFDRational(-1, 1)
    buffer = io.BytesIO()
    options = {"quality": 95} if kind == "JPEG" else {}
    try:
        Image.fromarray(np.rot90(gray)).save(buffer, kind, exif=exif, **options)
    except Exception:
        del exif[256], exif[282]
        buffer = io.BytesIO()
        Image.fromarray(np.rot90(gray)).save(buffer, kind, exif=exif, **options)
    expect(buffer.getvalue(), gray, atol=8)


def test_text_of_png_does_not_refuse_pixels(gray):
    large = (b"zTXt", b"note\0\0" + zlib.compress(bytes(5_000_000)))
    color = (b"iCCP", b"odd\0\0" + b"no profile")
    content = png(gray, 0, large, color, (b"tIME", b"?"))
    np.testing.assert_array_equal(read_image(content), gray)
    wrong = content.replace(chunk(b"tIME", b"?"), chunk(b"tIME", b"?")[:-1] + b"\0")
    np.testing.assert_array_equal(read_image(wrong), gray)


def test_jpeg_of_twelve_bits_is_refused_by_name(gray):
    buffer = io.BytesIO()
    Image.fromarray(gray).save(buffer, "JPEG")
    content = bytearray(buffer.getvalue())
    content[content.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(UnreadableImageError, match="a JPEG of 12-bit gray"):
        read_image(bytes(content))


def test_channels_of_files_that_pillow_does_not_know(gray):
    assert count_channels(tiff(gray.astype(np.float64) / 255)) == 1
    assert count_channels(tiff(np.stack([gray] * 3, 2).astype(np.uint16), photometric="rgb")) == 3
    assert count_channels(png(np.stack([gray] * 3, 2).astype(np.uint16), 2)) == 3


def test_the_table_refuses_what_it_does_not_list():
    for layout in LAYOUTS:
        for bits in layout.bits:
            check_layout(layout.container, layout.samples, bits, layout.numbers)
    with pytest.raises(UnreadableImageError, match="a PNG of 32-bit gray, which featx does not"):
        check_layout("PNG", "gray", 32)
