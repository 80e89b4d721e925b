"""Damage of which decoders only warn, and files that would take for ever."""

import io
import os
import socket
import struct
import subprocess
import sys
import zlib

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGBaseline8Bit

from featx.errors import UnreadableImageError
from featx.images import file_limits as files
from featx.images.archives import is_archive
from featx.images.file_limits import read_bytes
from featx.images.reading import read_image
from featx.images.sources import read_beginning
from tests.conftest import smooth_image
from tests.images.dicom_files import make_dicom
from tests.images.writers import chunk, encode

DAMAGED = "damaged or cut short"


def picture(generator, size=(160, 200)):
    noise = generator.normal(0, 12, size)
    return Image.fromarray(np.clip(smooth_image(generator, size) + noise, 0, 255).astype(np.uint8))


JPEGS = {
    "gray": ("L", {}),
    "color": ("RGB", {}),
    "progressive": ("RGB", {"progressive": True}),
    "restarts": ("L", {"restart_marker_blocks": 10}),
    "CMYK": ("CMYK", {}),
    "smallest": ("L", {"optimize": True, "quality": 20}),
}


@pytest.fixture(params=JPEGS)
def jpeg(request, generator):
    mode, options = JPEGS[request.param]
    return encode(picture(generator).convert(mode), "JPEG", **options)


def test_sound_jpegs_are_read(jpeg):
    expected = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"))
    np.testing.assert_array_equal(read_image(jpeg), expected)
    # Bytes after the end, and a few before it, as some cameras leave.
    np.testing.assert_array_equal(read_image(jpeg + bytes(500)), expected)
    np.testing.assert_array_equal(read_image(jpeg[:-2] + b"\0\0" + jpeg[-2:]), expected)


DAMAGES = {
    "cut, but with an end marker": lambda j, m, _: j[: len(j) * 3 // 5] + b"\xff\xd9",
    "a hole of zeros": lambda j, m, _: j[:m] + bytes(512) + j[m + 512 :],
    "a second half of zeros": lambda j, m, _: j[:m] + bytes(len(j) - m - 2) + b"\xff\xd9",
    "a block of another file": lambda j, m, g: j[:m] + g.bytes(700) + j[m + 700 :],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_jpegs_are_refused(jpeg, generator, damage):
    with pytest.raises(UnreadableImageError, match=DAMAGED):
        read_image(DAMAGES[damage](jpeg, len(jpeg) // 2, generator))


def test_a_damaged_jpeg_inside_dicom_and_tiff_is_damaged(generator):
    image = picture(generator)
    content = encode(image, "JPEG")
    middle = len(content) // 2
    hole = content[:middle] + bytes(512) + content[middle + 512 :]
    found = []
    for frame in (content, hole):
        settings = {"syntax": JPEGBaseline8Bit, "PixelData": encapsulate([frame])}
        found.append(make_dicom(np.asarray(image), **settings))
    np.testing.assert_allclose(read_image(found[0]), read_image(content), atol=2)
    with pytest.raises(UnreadableImageError, match=DAMAGED):
        read_image(found[1])
    tiff = encode(image, "TIFF", compression="jpeg")
    middle = len(tiff) // 2
    read_image(tiff)
    with pytest.raises(UnreadableImageError, match=DAMAGED):
        read_image(tiff[:middle] + bytes(512) + tiff[middle + 512 :])


def sample(name, damage):
    """One of pydicom's files, its frame damaged by a function."""
    dataset = pydicom.dcmread(get_testdata_file(name, download=False))
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([damage(frame)])
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "name",
    # JPEG 2000 has no redundancy by which a decoder could notice.
    ["MR_small_RLE.dcm", "SC_rgb_jpeg_gdcm.dcm", "MR_small_jpeg_ls_lossless.dcm"],
)
def test_compressed_dicom_with_a_block_of_another_file_is_damaged(name, generator):
    block = generator.bytes(700)
    assert read_image(sample(name, bytes)).any()
    with pytest.raises(UnreadableImageError, match=DAMAGED):
        read_image(sample(name, lambda frame: frame[:900] + block + frame[1600:]))


def test_a_lossless_jpeg_file(generator):
    """libjpeg-turbo does not scale these; a buffer for the scaled size would overflow."""
    frames = []
    content = sample("SC_rgb_jpeg_gdcm.dcm", lambda frame: frames.append(frame) or frame)
    np.testing.assert_array_equal(read_image(frames[0], "rgb"), read_image(content, "rgb"))
    with pytest.raises(UnreadableImageError, match=DAMAGED):
        read_image(frames[0][:2000] + generator.bytes(300) + frames[0][2300:])


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "I;16"])
def test_a_png_with_a_wrong_checksum_or_without_its_end_is_damaged(generator, mode):
    image = picture(generator)
    deep = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    content = encode(deep if mode == "I;16" else image.convert(mode), "PNG")
    expected = read_image(content)
    np.testing.assert_array_equal(read_image(content + b"\0" * 100), expected)
    middle = len(content) // 2
    flipped = bytearray(content)
    flipped[middle] ^= 1
    for damaged in (
        content[:middle] + bytes(len(content) - middle),
        bytes(flipped),
        content[:-12],
        content[:middle],
        content[:-16] + b"\0" * 4 + content[-12:],
    ):
        with pytest.raises(UnreadableImageError, match=DAMAGED):
            read_image(damaged)


def test_a_png_with_too_few_rows_is_damaged(generator):
    image = np.asarray(picture(generator))
    rows = b"".join(b"\0" + row.tobytes() for row in image[:80])
    header = struct.pack(">IIBBBBB", 200, 160, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    content += chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    with pytest.raises(UnreadableImageError, match=DAMAGED):
        read_image(content)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
def test_a_tiff_that_ends_early_is_damaged(generator, compression, depth):
    pixels = np.asarray(picture(generator)).astype(depth)
    pixels *= depth(257 if depth == np.uint16 else 1)
    options = {"compression": compression} if compression else {}
    content = encode(Image.fromarray(pixels), "TIFF", **options)
    read_image(content)
    with pytest.raises(UnreadableImageError, match=DAMAGED):
        read_image(content[: len(content) * 2 // 3])


def test_a_bmp_that_ends_early_is_damaged(generator):
    content = encode(picture(generator), "BMP")
    with pytest.raises(UnreadableImageError, match=DAMAGED):
        read_image(content[: len(content) // 2])


def endless_jpeg(scans, size=(1600, 1600)):
    """A progressive JPEG whose last scan is repeated, as in libjpeg-turbo's security notes."""
    content = encode(Image.effect_noise(size, 20), "JPEG", progressive=True, quality=10)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * scans + b"\xff\xd9"


def test_a_jpeg_of_thousands_of_scans_is_refused_at_once():
    with pytest.raises(UnreadableImageError, match=r"slow to decode: 1,\d+ scans of 1600 x 1600"):
        read_image(endless_jpeg(1000))


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    pipe, folder = tmp_path / "pipe.png", tmp_path / "folder.png"
    os.mkfifo(pipe)
    folder.mkdir()
    zero = tmp_path / "zero.png"
    zero.symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.png"))
        for path, kind in (
            (pipe, "a named pipe"),
            (zero, "a device"),
            (folder, "a folder"),
            (tmp_path / "s.png", "a socket"),
        ):
            with pytest.raises(UnreadableImageError, match=f"{kind}, not a file"):
                read_image(path)
            assert read_beginning(path) == b""
            assert not is_archive(path)


def test_a_sparse_file_is_refused_by_its_size(tmp_path):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(40 << 30)
    with pytest.raises(UnreadableImageError, match=r"42,949,672,960 bytes \(at most 1,073,741,824"):
        read_image(path)


def test_a_file_that_does_not_know_its_size_is_bounded(monkeypatch, tmp_path):
    path = tmp_path / "grows.png"
    path.write_bytes(bytes(2000))
    monkeypatch.setattr(files, "LARGEST_FILE", 1500)
    with pytest.raises(UnreadableImageError, match="2,000 bytes"):
        read_bytes(path)


def test_a_tiff_of_endless_pages_is_refused_at_once(generator):
    """The chain of directories leads back to its beginning."""
    content = bytearray(encode(picture(generator), "TIFF"))
    first = struct.unpack_from("<I", content, 4)[0]
    count = struct.unpack_from("<H", content, first)[0]
    struct.pack_into("<I", content, first + 2 + 12 * count, first)
    with pytest.raises(UnreadableImageError, match="several frames or pages"):
        read_image(bytes(content))


def test_flags_of_pillow_do_not_hide_damage(generator):
    """`LOAD_TRUNCATED_IMAGES`, which training scripts set, fills missing rows with gray."""
    code = (
        "import sys; from PIL import ImageFile; ImageFile.LOAD_TRUNCATED_IMAGES = True\n"
        "from featx.images.reading import read_image\n"
        "try: read_image(sys.stdin.buffer.read())\n"
        "except Exception as error: print(error)\n"
    )
    for kind in ("JPEG", "PNG"):
        content = encode(picture(generator), kind)
        found = subprocess.run(
            [sys.executable, "-c", code],
            input=content[: len(content) // 2],
            capture_output=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert DAMAGED in found.stdout.decode()
