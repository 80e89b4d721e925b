import importlib.util
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    RLELossless,
)

from featx.errors import MissingExtraError, UnreadableImageError
from featx.images.dicom import pixels as dicom_pixels
from featx.images.dicom import reader as dicom
from featx.images.dicom.reader import is_dicom, read_patient
from featx.images.reading import read_image
from tests.images.dicom_files import RAMP, expect, make_dicom


def sample(name):
    return Path(get_testdata_file(name, download=False)).read_bytes()


def test_colors_become_gray_as_in_other_formats(generator):
    pixels = generator.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    np.testing.assert_array_equal(read_image(make_dicom(pixels)), expected)
    np.testing.assert_array_equal(read_image(make_dicom(pixels), "rgb"), pixels)
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)).tobytes()
    content = make_dicom(pixels, PlanarConfiguration=1, PixelData=planes)
    np.testing.assert_array_equal(read_image(content, "rgb"), pixels)


def test_ybr_and_palette_from_pydicom_s_own_files():
    # The same drawing, as RGB and as YBR of three kinds.
    drawing = read_image(sample("SC_rgb_rle.dcm"), "rgb").astype(int)
    for name in ("SC_ybr_full_422_uncompressed.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm"):
        assert np.abs(read_image(sample(name), "rgb") - drawing).mean() < 4
    dataset = pydicom.dcmread(get_testdata_file("examples_palette.dcm", download=False))
    red = np.frombuffer(dataset.RedPaletteColorLookupTableData, "<u2")
    found = read_image(sample("examples_palette.dcm"), "rgb")
    np.testing.assert_allclose(found[..., 0], red[dataset.pixel_array] / 257, atol=0.51)


COMPRESSED = [
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_expb.dcm",
    "MR_small_padded.dcm",
]


@pytest.mark.parametrize("name", COMPRESSED)
def test_all_lossless_encodings_give_the_same_pixels(name):
    plain = sample("MR_small.dcm")
    values = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False)).pixel_array
    # This file's window is 600 +- 800, by PS3.3's linear formula.
    fractions = np.clip((values - 599.5) / 1599 + 0.5, 0, 1)
    expect(plain, fractions * 255)
    np.testing.assert_array_equal(read_image(sample(name)), read_image(plain))


def test_jpeg_lossless_and_the_lossy_kinds():
    lossless = read_image(sample("SC_rgb_jpeg_gdcm.dcm"), "rgb")
    plain = read_image(sample("SC_rgb_rle.dcm"), "rgb").astype(int)
    np.testing.assert_array_equal(lossless, plain)
    for name in ("SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_lossy_gdcm.dcm"):
        assert np.abs(read_image(sample(name), "rgb") - plain).mean() < 3


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, None])
def test_a_file_without_preamble(syntax):
    found = make_dicom(RAMP, preamble=False, syntax=syntax)
    assert found[128:132] != b"DICM"
    assert is_dicom(found)
    np.testing.assert_array_equal(read_image(found), read_image(make_dicom(RAMP)))


def test_other_formats_are_not_taken_for_dicom():
    for first in (
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"II*\x00",
        b"MM\x00*",
        b"BM",
        b"PK\x03",
    ):
        assert not is_dicom(first + bytes(300))
    assert not is_dicom(b"")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("SC_rgb_rle_2frame.dcm", "it has 2 frames or pages"),
        ("rtplan.dcm", "without an image"),
        ("MR_truncated.dcm", r"damaged or cut short \(DICOM"),
        ("image_dfl.dcm", "save it uncompressed"),
        ("JPGExtended.dcm", "pip install pylibjpeg pylibjpeg-libjpeg"),
    ],
)
def test_unsupported_files_give_a_reason(name, reason):
    if "libjpeg" in reason and importlib.util.find_spec("libjpeg"):
        pytest.skip("the decoder under the GPL is installed")
    with pytest.raises(UnreadableImageError, match=reason):
        read_image(sample(name))


def test_a_transfer_syntax_is_named_only_if_it_is_a_published_one():
    content = make_dicom(RAMP, PixelData=encapsulate([b"\0" * 32]), syntax=RLELossless)
    with pytest.raises(UnreadableImageError, match="damaged"):
        read_image(content)
    secret = content.replace(b"1.2.840.10008.1.2.5", b"1.2.840.99999.7.7.7")
    with pytest.raises(UnreadableImageError, match="stored as an unknown transfer syntax, which"):
        read_image(secret)
    dataset = pydicom.dcmread(io.BytesIO(content))
    dataset.file_meta.TransferSyntaxUID = MPEG2MPML
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    with pytest.raises(UnreadableImageError, match="stored as MPEG2 Main Profile"):
        read_image(buffer.getvalue())


def test_huge_sizes_are_refused_before_decoding(monkeypatch):
    decoded = []
    monkeypatch.setattr(dicom_pixels, "_decode", lambda dataset: decoded.append(1))
    with pytest.raises(UnreadableImageError, match=r"65535 x 65535 pixels \(at most 150,000,000"):
        dicom_pixels.read_pixels(make_dicom(RAMP, Rows=65535, Columns=65535), "gray")
    assert not decoded


def test_one_pixel():
    assert read_image(make_dicom(np.array([[9]], np.uint8))).tolist() == [[9]]


def test_a_missing_pydicom_is_reported(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "featx\[dicom\]"'):
        read_image(make_dicom(RAMP))


def test_a_missing_decoder_is_reported(monkeypatch):
    from pydicom.pixels import get_decoder

    decoder = get_decoder(JPEGLosslessSV1)
    monkeypatch.setattr(decoder, "_available", {})
    with pytest.raises(
        UnreadableImageError, match=r'JPEG Lossless.* decoder is missing: pip install "featx\[dicom'
    ):
        dicom_pixels.read_pixels(sample("SC_rgb_jpeg_gdcm.dcm"), "gray")


def test_pydicom_is_never_imported_by_the_main_process():
    code = (
        "import sys; from featx.images.reading import read_image\n"
        "from pathlib import Path; read_image(Path(sys.argv[1]))\n"
        "assert 'pydicom' not in sys.modules"
    )
    path = get_testdata_file("CT_small.dcm", download=False)
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(path)],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_a_killed_worker_costs_one_image(monkeypatch):
    real = dicom.Worker.request

    def die(self, request, content):
        self.process.kill()
        return real(self, request, content)

    content = make_dicom(RAMP)
    expected = read_image(content)
    with monkeypatch.context() as patch:
        patch.setattr(dicom.Worker, "request", die)
        with pytest.raises(UnreadableImageError, match="its decoder was ended by SIGKILL"):
            read_image(content)
    np.testing.assert_array_equal(read_image(content), expected)


def test_an_endless_decoder_is_ended(tmp_path):
    code = (
        "from featx.images.dicom import process as dicom_process\n"
        "def spin(*_):\n    while True: pass\n"
        "dicom_process.read_pixels = spin\ndicom_process.SECONDS_PER_FILE = 0\n"
        "dicom_process.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        input=b'{"task": "pixels", "color": "gray", "length": 0}\n',
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
    )
    assert dicom.describe_exit(ended.returncode) == "exceeded its time limit"


def test_many_threads_read_at_once():
    contents = [make_dicom(RAMP + np.uint16(number)) for number in range(24)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read_image, contents))
    np.testing.assert_array_equal(found, [*map(read_image, contents)])


def test_the_patient_is_found_after_a_long_header():
    assert read_patient(make_dicom(RAMP, PatientID=" ab 12 ")) == "ab 12"
    assert read_patient(make_dicom(RAMP)) is None
    dataset = pydicom.dcmread(io.BytesIO(make_dicom(RAMP, PatientID="behind")))
    dataset.private_block(0x0009, "featx", create=True).add_new(1, "OB", bytes(3 << 20))
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    assert read_patient(buffer.getvalue()) == "behind"
