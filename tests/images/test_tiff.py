"""Every accepted layout of TIFF against drawn pixels."""

import io
import struct

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from featx.errors import UnreadableImageError
from featx.images.reading import read_image
from tests.images.writers import encode, expect, tiff

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
            white = np.stack([255 - gray, alpha], axis=2).astype(dtype) * dtype(scale)
            if scale == 257:
                options = {"photometric": "miniswhite", "planarconfig": "contig"}
                expect(tiff(white, extrasamples=[2], **options), shown)
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
    shown = np.asarray(image) / 257 if mode == "I;16" else np.asarray(image.convert("L"))
    expect(encode(image, "TIFF", **options), shown, atol=6 if "quality" in options else 1)


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


def test_compressions_are_refused_by_name(gray):
    content = bytearray(tiff(gray, metadata=None))
    entry = tifffile.TiffFile(io.BytesIO(bytes(content))).pages[0].tags[259]
    for number, name in ((34887, "LERC"), (34712, "JPEG 2000"), (999, "number 999")):
        struct.pack_into("<H", content, entry.valueoffset, number)
        with pytest.raises(UnreadableImageError, match=f"a TIFF with {name} compression"):
            read_image(bytes(content))


def test_pages_beside_the_picture(gray):
    """Thumbnails and masks are no pictures of their own."""

    def pages(second, **options):
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer) as writer:
            writer.write(gray, metadata=None)
            writer.write(second, metadata=None, **options)
        return buffer.getvalue()

    expect(pages(gray[::4, ::4], subfiletype=1), gray)
    with pytest.raises(UnreadableImageError, match="several frames or pages"):
        read_image(pages(gray))
