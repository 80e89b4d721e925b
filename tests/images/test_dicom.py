from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import threading
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
from featx.images import dicom, dicom_pixels
from featx.images.dicom import is_dicom, read_patient
from featx.images.reading import LARGEST_PIXELS, read_image
from tests.images.dicom_files import lookup_table, make_dicom

RAMP = np.arange(0, 4096, 273, dtype=np.uint16).reshape(4, 4)


def sample(name):
    return Path(get_testdata_file(name, download=False)).read_bytes()


def expect(content, values, **tolerance):
    np.testing.assert_allclose(read_image(content), values, **({"atol": 1e-3} | tolerance))


def test_eight_bits_without_a_window_are_taken_as_they_are(generator):
    pixels = generator.integers(0, 256, (5, 7), dtype=np.uint8)
    found = read_image(make_dicom(pixels))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels)
    np.testing.assert_array_equal(read_image(make_dicom(pixels), "rgb")[..., 2], pixels)


def test_deep_pixels_without_a_window_fill_the_range_between_percentiles(generator):
    pixels = generator.integers(300, 2500, (40, 50), dtype=np.uint16)
    pixels[0, 0] = 4095
    low, high = np.percentile(pixels, (0.5, 99.5))
    expected = np.clip((pixels - low) / (high - low), 0, 1) * 255
    expect(make_dicom(pixels, BitsStored=12), expected)


def test_a_linear_window_worked_by_hand():
    # PS3.3 C.11.2.1.2.1: c = 2048, w = 1024, so y = ((x - 2047.5) / 1023 + 0.5) * range.
    pixels = np.array([[0, 1536, 1537, 2048], [2303, 2559, 2560, 4095]], dtype=np.uint16)
    fractions = [[0, 0, 0.5 - 510.5 / 1023, 0.5 + 0.5 / 1023], [0.5 + 255.5 / 1023, 1, 1, 1]]
    content = make_dicom(pixels, BitsStored=12, WindowCenter=2048, WindowWidth=1024)
    expect(content, np.array(fractions) * 255)


def test_an_exact_linear_window_worked_by_hand():
    # PS3.3 C.11.2.1.3.2: y = ((x - c) / w + 0.5) * range.
    pixels = np.array([[0, 100, 150], [200, 250, 4095]], dtype=np.uint16)
    settings = {"WindowCenter": 150, "WindowWidth": 100, "VOILUTFunction": "LINEAR_EXACT"}
    expect(make_dicom(pixels, BitsStored=12, **settings), [[0, 0, 127.5], [255, 255, 255]])


def test_a_sigmoid_window_worked_by_hand():
    # PS3.3 C.11.2.1.3.1: y = range / (1 + exp(-4 (x - c) / w)).
    pixels = np.array([[1000, 1250, 1500, 2000]], dtype=np.uint16)
    settings = {"WindowCenter": 1500, "WindowWidth": 1000, "VOILUTFunction": "SIGMOID"}
    expected = 255 / (1 + np.exp([[2.0, 1.0, 0.0, -2.0]]))
    expect(make_dicom(pixels, BitsStored=12, **settings), expected)


def test_only_the_first_of_several_windows_counts():
    first = make_dicom(RAMP, BitsStored=12, WindowCenter=1000, WindowWidth=500)
    both = make_dicom(RAMP, BitsStored=12, WindowCenter=[1000, 3000], WindowWidth=[500, 100])
    np.testing.assert_array_equal(read_image(both), read_image(first))


@pytest.mark.parametrize("width", [0, -5])
def test_a_window_without_width_is_none(width):
    none = make_dicom(RAMP, BitsStored=12)
    content = make_dicom(RAMP, BitsStored=12, WindowCenter=1000, WindowWidth=width)
    np.testing.assert_array_equal(read_image(content), read_image(none))


def test_rescaled_signed_values_meet_the_window_in_their_own_units():
    # Hounsfield units -1000, 0, 40, 400 through a window 0 +- 500, exact.
    stored = np.array([[-1000, 0, 40, 400]], dtype=np.int16) * 2 + 2048
    content = make_dicom(
        stored.astype(np.int16),
        RescaleSlope="0.5",
        RescaleIntercept="-1024",
        WindowCenter=0,
        WindowWidth=1000,
        VOILUTFunction="LINEAR_EXACT",
    )
    expect(content, np.array([[0, 0.5, 0.54, 0.9]]) * 255)


def test_a_negative_slope_turns_the_picture_round():
    content = make_dicom(
        np.array([[0, 50, 100]], dtype=np.uint16),
        RescaleSlope="-1",
        RescaleIntercept="100",
        WindowCenter=50,
        WindowWidth=100,
        VOILUTFunction="LINEAR_EXACT",
    )
    expect(content, [[255, 127.5, 0]])


def test_modality_table_of_twelve_bits():
    # Stored 10, 11, 12, 13 become 0, 1000, 3000, 4095, below and above held at the ends.
    table = lookup_table([0, 1000, 3000, 4095], 10, 12)
    content = make_dicom(
        np.array([[0, 10, 11], [12, 13, 200]], dtype=np.uint16),
        BitsStored=12,
        ModalityLUTSequence=[table],
        WindowCenter=2000,
        WindowWidth=4000,
        VOILUTFunction="LINEAR_EXACT",
    )
    expect(content, np.array([[0, 0, 0.25], [0.75, 1, 1]]) * 255)


def test_voi_table_of_eight_bit_entries_over_deep_pixels():
    entries = [min(255, value // 16) for value in range(4096)]
    content = make_dicom(RAMP, BitsStored=12, VOILUTSequence=[lookup_table(entries, 0, 8)])
    expect(content, RAMP // 16)


def test_a_table_with_more_bits_than_it_says_fills_the_range():
    entries = lookup_table([0, 1023, 4095], 0, 8)
    content = make_dicom(np.array([[0, 1, 2]], np.uint16), VOILUTSequence=[entries])
    expect(content, [[0, 1023 / 4095 * 255, 255]])


def test_a_voi_table_comes_before_a_window():
    table = lookup_table([0, 2**12 - 1], 100, 12)
    content = make_dicom(
        np.array([[50, 100, 101, 900]], dtype=np.uint16),
        BitsStored=12,
        VOILUTSequence=[table],
        WindowCenter=50,
        WindowWidth=10,
    )
    expect(content, [[0, 0, 255, 255]])


def test_a_table_shorter_than_it_says_is_named():
    table = lookup_table([0, 1], 0, 12)
    table.LUTDescriptor = [4096, 0, 12]
    content = make_dicom(RAMP, BitsStored=12, VOILUTSequence=[table])
    with pytest.raises(UnreadableImageError, match="2 entries in place of 4,096"):
        read_image(content)


@pytest.mark.parametrize("bits", [8, 12])
def test_monochrome1_is_inverted(bits):
    pixels = (RAMP >> (12 - bits)).astype(np.uint8 if bits == 8 else np.uint16)
    upright = read_image(make_dicom(pixels, BitsStored=bits)).astype(float)
    inverted = make_dicom(pixels, BitsStored=bits, PhotometricInterpretation="MONOCHROME1")
    expect(inverted, 255 - upright)


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_count(generator, kind):
    pixels = generator.integers(1000, 2000, (30, 30), dtype=np.int16)
    plain = read_image(make_dicom(pixels, PhotometricInterpretation=kind))
    framed = np.pad(pixels, 20, constant_values=-2000)
    framed[0] = -1990
    content = make_dicom(
        framed,
        PixelPaddingValue=-2000,
        PixelPaddingRangeLimit=-1980,
        PhotometricInterpretation=kind,
    )
    found = read_image(content)
    np.testing.assert_array_equal(found[20:-20, 20:-20], plain)
    found = found.copy()
    found[20:-20, 20:-20] = 0
    assert found.max() == 0


def test_an_image_of_padding_alone_is_black():
    content = make_dicom(np.full((4, 4), 7, np.uint16), PixelPaddingValue=7)
    assert read_image(content).max() == 0


def test_bits_that_are_not_stored_do_not_count():
    # Old scanners kept an overlay in the four bits above a 12-bit value.
    dirty = RAMP | np.uint16(0xA000)
    settings = {"BitsStored": 12, "WindowCenter": 2048, "WindowWidth": 4096}
    expected = read_image(make_dicom(RAMP, **settings))
    np.testing.assert_array_equal(read_image(make_dicom(dirty, **settings)), expected)


def test_thirty_two_bits():
    pixels = np.array([[0, 2**30], [2**31, 2**31]], dtype=np.uint32)
    low, high = np.percentile(pixels, (0.5, 99.5))
    expect(make_dicom(pixels), np.clip((pixels - low) / (high - low), 0, 1) * 255)


def test_colours_become_grey_as_in_other_formats(generator):
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
def test_every_lossless_way_of_storing_gives_the_same_picture(name):
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
def test_what_cannot_be_read_is_named(name, reason):
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


@pytest.mark.parametrize(("rows", "columns"), [(0, 4), (4, 0), (65535, 65535)])
def test_absurd_sizes_are_refused(rows, columns):
    content = make_dicom(RAMP, Rows=rows, Columns=columns)
    with pytest.raises(UnreadableImageError, match=r"no pixels|unreasonably large"):
        read_image(content)


def test_absurd_sizes_are_refused_before_memory_is_taken(monkeypatch):
    decoded = []
    monkeypatch.setattr(dicom_pixels, "_decode", lambda dataset: decoded.append(1))
    with pytest.raises(UnreadableImageError, match=r"65535 x 65535 pixels \(at most 150,000,000"):
        dicom_pixels.read_pixels(
            make_dicom(RAMP, Rows=65535, Columns=65535), "grey", LARGEST_PIXELS
        )
    assert not decoded


def test_one_pixel():
    assert read_image(make_dicom(np.array([[9]], np.uint8))).tolist() == [[9]]


def test_a_missing_pydicom_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "featx\[dicom\]"'):
        read_image(make_dicom(RAMP))


def test_a_missing_decoder_is_said(monkeypatch):
    from pydicom.pixels import get_decoder

    decoder = get_decoder(JPEGLosslessSV1)
    monkeypatch.setattr(decoder, "_available", {})
    with pytest.raises(
        UnreadableImageError, match=r'JPEG Lossless.* decoder is missing: pip install "featx\[dicom'
    ):
        dicom_pixels.read_pixels(sample("SC_rgb_jpeg_gdcm.dcm"), "grey", LARGEST_PIXELS)


def test_pydicom_is_never_imported_by_the_process_that_asks():
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


def test_a_reader_that_dies_takes_nothing_with_it(monkeypatch):
    real = dicom._Reader.ask

    def die(self, request, content):
        self.process.kill()
        return real(self, request, content)

    content = make_dicom(RAMP)
    expected = read_image(content)
    with monkeypatch.context() as patch:
        patch.setattr(dicom._Reader, "ask", die)
        with pytest.raises(UnreadableImageError, match="its decoder was ended by SIGKILL"):
            read_image(content)
    np.testing.assert_array_equal(read_image(content), expected)


def test_a_decoder_without_end_is_ended(tmp_path):
    code = (
        "from featx.images import dicom_process\n"
        "def spin(*_):\n    while True: pass\n"
        "dicom_process._answer = spin\ndicom_process.SECONDS_A_FILE = 0\ndicom_process.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        input=b'{"task": "pixels", "length": 0}\n',
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
    )
    assert dicom._ending(ended.returncode) == "did not come to an end"


def test_many_threads_read_at_once():
    contents = [make_dicom(RAMP + np.uint16(number)) for number in range(24)]
    expected = [read_image(content) for content in contents]
    found = {}

    def work(part):
        for number in range(part, 24, 4):
            found[number] = read_image(contents[number])

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(24):
        np.testing.assert_array_equal(found[number], expected[number])


def test_the_patient_is_found_also_behind_a_long_beginning():
    assert read_patient(make_dicom(RAMP, PatientID=" ab 12 ")) == "ab 12"
    assert read_patient(make_dicom(RAMP)) is None
    dataset = pydicom.dcmread(io.BytesIO(make_dicom(RAMP, PatientID="behind")))
    dataset.private_block(0x0009, "featx", create=True).add_new(1, "OB", bytes(3 << 20))
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    assert read_patient(buffer.getvalue()) == "behind"


def test_implicit_files_keep_the_sign_of_padding_and_tables(generator):
    # There US and SS are told apart by the PixelRepresentation alone.
    pixels = generator.integers(-900, -100, (12, 12), dtype=np.int16)
    pixels[:3] = -2000
    table = lookup_table(range(0, 4096, 4), -1000, 12)
    table["LUTDescriptor"].VR = "SS"
    settings = {"PixelPaddingValue": -2000, "ModalityLUTSequence": [table], "BitsStored": 16}
    expected = read_image(make_dicom(pixels, **settings))
    found = read_image(
        make_dicom(pixels, preamble=False, syntax=ImplicitVRLittleEndian, **settings)
    )
    np.testing.assert_array_equal(found, expected)
    assert (found[:3] == 0).all()
    low, high = np.percentile((pixels[3:] + 1000) * 4, (0.5, 99.5))
    hand = np.clip(((pixels[3:] + 1000) * 4 - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(found[3:], hand, atol=1e-3)
