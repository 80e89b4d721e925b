"""Header fields that change the picture are applied; empty and ill-formed ones are absent."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import RLELossless

from featx.errors import UnreadableImageError
from featx.images.reading import read_image
from tests.images.dicom_files import RAMP, expect, make_dicom

WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}
TWELVE = {"BitsStored": 12, **WINDOW}
SHOWN = RAMP * (255 / 4095)


def with_text(content, tag, text):
    """Replace a number by text of the same length, as ill-formed writers store it."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    value = str(dataset[tag].value)
    stored = value + " " * (len(value) % 2)
    assert content.count(stored.encode()) == 1
    return content.replace(stored.encode(), text.ljust(len(stored)).encode())


@pytest.mark.parametrize(
    "elements",
    [
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"RescaleSlope": None, "RescaleIntercept": 0},
        {"RescaleSlope": 1},
        {"RescaleSlope": 0, "RescaleIntercept": 0},
        {"RescaleSlope": ["1", "2"], "RescaleIntercept": 0},
        {"VOILUTFunction": ""},
        {"PixelPaddingValue": None},
        {"ModalityLUTSequence": []},
        {"NumberOfFrames": None},
        {"PresentationLUTShape": ""},
        {"PresentationLUTShape": "IDENTITY"},
    ],
    ids=str,
)
def test_fields_without_effect_count_as_absent(elements):
    expect(make_dicom(RAMP, **TWELVE, **elements), SHOWN, atol=0.1)


def test_eight_bits_with_an_empty_intercept_stay_as_they_are(generator):
    pixels = generator.integers(0, 256, (6, 8), dtype=np.uint8)
    found = read_image(make_dicom(pixels, RescaleSlope=1, RescaleIntercept=None))
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("field", ["WindowCenter", "WindowWidth"])
@pytest.mark.parametrize("text", ["4,9", "NaN", "inf", "auto", ""])
def test_an_ill_formed_window_counts_as_none(field, text):
    values = {"WindowCenter": "1234.567", "WindowWidth": "4321.765"}
    content = with_text(make_dicom(RAMP, BitsStored=12, **values), field, text)
    np.testing.assert_array_equal(read_image(content), read_image(make_dicom(RAMP, BitsStored=12)))


def test_a_window_in_units_of_an_ill_formed_slope_counts_as_none():
    content = make_dicom(RAMP, **TWELVE, RescaleSlope="1.234567", RescaleIntercept=0)
    found = read_image(with_text(content, "RescaleSlope", "1,2"))
    np.testing.assert_array_equal(found, read_image(make_dicom(RAMP, BitsStored=12)))


def test_a_slope_without_an_intercept_is_applied():
    expect(make_dicom(RAMP, BitsStored=12, **WINDOW, RescaleSlope=2), np.minimum(2 * SHOWN, 255))


@pytest.mark.parametrize("group", ["SharedFunctionalGroups", "PerFrameFunctionalGroups"])
def test_slope_and_window_in_functional_groups_are_applied(group):
    slope, window, item = Dataset(), Dataset(), Dataset()
    slope.RescaleSlope, slope.RescaleIntercept = -1, 4095
    window.WindowCenter, window.WindowWidth = 1024, 2048
    for sequence, values in (
        ("PixelValueTransformationSequence", slope),
        ("FrameVOILUTSequence", window),
    ):
        setattr(item, sequence, [values])
    content = make_dicom(RAMP, BitsStored=12, **{f"{group}Sequence": [item]})
    expect(content, np.clip((4095 - RAMP) / 2047, 0, 1) * 255, atol=0.1)


@pytest.mark.parametrize("high", [11, 12, 13, 15])
def test_values_that_do_not_begin_at_bit_zero_are_shifted(high):
    shift = high - 11
    # Bits outside the values hold an overlay.
    dirty = (RAMP << shift) | np.uint16(2**shift - 1) | np.uint16(0xFFFF << (high + 1) & 0xFFFF)
    expect(make_dicom(dirty, **TWELVE, HighBit=high), SHOWN)


def test_signed_values_that_do_not_begin_at_bit_zero():
    pixels = np.array([[-2048, -1, 0, 2047]], np.int16)
    settings = {"BitsStored": 12, "WindowCenter": 0, "WindowWidth": 4096}
    upright = read_image(make_dicom(pixels, **settings))
    shifted = make_dicom(pixels << 4, **settings, HighBit=15)
    np.testing.assert_array_equal(read_image(shifted), upright)


def test_shifted_values_of_rle():
    shifted = RAMP << 4
    rle = RLELosslessEncoder.encode(
        shifted, rows=4, columns=4, samples_per_pixel=1, bits_allocated=16, bits_stored=16,
        pixel_representation=0, photometric_interpretation="MONOCHROME2", number_of_frames=1,
    )  # fmt: skip
    content = make_dicom(
        shifted, **TWELVE, HighBit=15, syntax=RLELossless, PixelData=encapsulate([rle])
    )
    expect(content, SHOWN)


@pytest.mark.parametrize("high", [3, 16, 40])
def test_an_impossible_high_bit_is_refused(high):
    with pytest.raises(UnreadableImageError, match="12 of 16 bits stored, HighBit"):
        read_image(make_dicom(RAMP, **TWELVE, HighBit=high))


@pytest.mark.parametrize(
    "elements",
    [
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
        {"PresentationLUTShape": "INVERSE"},
    ],
)
@pytest.mark.parametrize("bits", [8, 12])
def test_either_field_shows_low_values_white(elements, bits):
    pixels = (RAMP >> (12 - bits)).astype(np.uint8 if bits == 8 else np.uint16)
    content = make_dicom(pixels, BitsStored=bits, **elements)
    upright = read_image(make_dicom(pixels, BitsStored=bits)).astype(float)
    expect(content, 255 - upright)


def test_twelve_bit_colors_fill_the_range(generator):
    colors = generator.integers(0, 4096, (6, 7, 3), dtype=np.uint16)
    found = read_image(make_dicom(colors, BitsStored=12), "rgb")
    np.testing.assert_allclose(found, colors * (255 / 4095), atol=0.51)
