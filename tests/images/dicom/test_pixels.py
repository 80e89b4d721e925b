import numpy as np
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from featx.errors import UnreadableImageError
from featx.images.reading import read_image
from tests.images.dicom_files import RAMP, expect, lookup_table, make_dicom


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


EXACT, SIGMOID = {"VOILUTFunction": "LINEAR_EXACT"}, {"VOILUTFunction": "SIGMOID"}

# Stored values, elements of the header, and the fraction of the range that is shown.
BY_HAND = {
    # PS3.3 C.11.2.1.2.1: c = 2048, w = 1024, so y = (x - 2047.5) / 1023 + 0.5.
    "linear window": (
        np.uint16([[0, 1536, 1537, 2048], [2303, 2559, 2560, 4095]]),
        {"BitsStored": 12, "WindowCenter": 2048, "WindowWidth": 1024},
        [[0, 0, 0.5 - 510.5 / 1023, 0.5 + 0.5 / 1023], [0.5 + 255.5 / 1023, 1, 1, 1]],
    ),
    # C.11.2.1.3.2: y = (x - c) / w + 0.5.
    "exact linear window": (
        np.uint16([[0, 100, 150], [200, 250, 4095]]),
        {"BitsStored": 12, "WindowCenter": 150, "WindowWidth": 100, **EXACT},
        [[0, 0, 0.5], [1, 1, 1]],
    ),
    # C.11.2.1.3.1: y = 1 / (1 + exp(-4 (x - c) / w)).
    "sigmoid window": (
        np.uint16([[1000, 1250, 1500, 2000]]),
        {"BitsStored": 12, "WindowCenter": 1500, "WindowWidth": 1000, **SIGMOID},
        1 / (1 + np.exp([[2.0, 1.0, 0.0, -2.0]])),
    ),
    "rescaled to Hounsfield units -1000, 0, 40, 400": (
        np.int16([[48, 2048, 2128, 2848]]),
        {"RescaleSlope": "0.5", "RescaleIntercept": "-1024"}
        | {"WindowCenter": 0, "WindowWidth": 1000, **EXACT},
        [[0, 0.5, 0.54, 0.9]],
    ),
    "negative slope": (
        np.uint16([[0, 50, 100]]),
        {"RescaleSlope": "-1", "RescaleIntercept": "100"}
        | {"WindowCenter": 50, "WindowWidth": 100, **EXACT},
        [[1, 0.5, 0]],
    ),
    # Stored 10, 11, 12, 13 become 0, 1000, 3000, 4095, below and above held at the ends.
    "modality table of 12 bits": (
        np.uint16([[0, 10, 11], [12, 13, 200]]),
        {"BitsStored": 12, "ModalityLUTSequence": [lookup_table([0, 1000, 3000, 4095], 10, 12)]}
        | {"WindowCenter": 2000, "WindowWidth": 4000, **EXACT},
        [[0, 0, 0.25], [0.75, 1, 1]],
    ),
    "table with more bits than declared": (
        np.uint16([[0, 1, 2]]),
        {"VOILUTSequence": [lookup_table([0, 1023, 4095], 0, 8)]},
        [[0, 1023 / 4095, 1]],
    ),
    "table before window": (
        np.uint16([[50, 100, 101, 900]]),
        {"BitsStored": 12, "VOILUTSequence": [lookup_table([0, 2**12 - 1], 100, 12)]}
        | {"WindowCenter": 50, "WindowWidth": 10},
        [[0, 0, 1, 1]],
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_intensities_worked_by_hand(name):
    stored, elements, fractions = BY_HAND[name]
    expect(make_dicom(stored, **elements), np.array(fractions) * 255)


def test_only_the_first_of_several_windows_counts():
    first = make_dicom(RAMP, BitsStored=12, WindowCenter=1000, WindowWidth=500)
    both = make_dicom(RAMP, BitsStored=12, WindowCenter=[1000, 3000], WindowWidth=[500, 100])
    np.testing.assert_array_equal(read_image(both), read_image(first))


@pytest.mark.parametrize("width", [0, -5])
def test_a_window_without_width_is_none(width):
    none = make_dicom(RAMP, BitsStored=12)
    content = make_dicom(RAMP, BitsStored=12, WindowCenter=1000, WindowWidth=width)
    np.testing.assert_array_equal(read_image(content), read_image(none))


def test_voi_table_of_eight_bit_entries_over_deep_pixels():
    entries = [min(255, value // 16) for value in range(4096)]
    content = make_dicom(RAMP, BitsStored=12, VOILUTSequence=[lookup_table(entries, 0, 8)])
    expect(content, RAMP // 16)


def test_a_table_shorter_than_declared_is_unreadable():
    table = lookup_table([0, 1], 0, 12)
    table.LUTDescriptor = [4096, 0, 12]
    content = make_dicom(RAMP, BitsStored=12, VOILUTSequence=[table])
    with pytest.raises(UnreadableImageError, match="2 entries in place of 4,096"):
        read_image(content)


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_ignored_by_windows(generator, kind):
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


def test_unused_bits_are_ignored():
    # Old scanners kept an overlay in the four bits above a 12-bit value.
    dirty = RAMP | np.uint16(0xA000)
    settings = {"BitsStored": 12, "WindowCenter": 2048, "WindowWidth": 4096}
    expected = read_image(make_dicom(RAMP, **settings))
    np.testing.assert_array_equal(read_image(make_dicom(dirty, **settings)), expected)


def test_thirty_two_bits():
    pixels = np.array([[0, 2**30], [2**31, 2**31]], dtype=np.uint32)
    low, high = np.percentile(pixels, (0.5, 99.5))
    expect(make_dicom(pixels), np.clip((pixels - low) / (high - low), 0, 1) * 255)


def test_implicit_files_keep_the_sign_of_padding_and_tables(generator):
    # There only PixelRepresentation distinguishes US from SS.
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
