"""The files that failed in the review, if present in ../shared/cases/images."""

import numpy as np
import pytest
from PIL import Image

from featx.errors import UnreadableImageError
from featx.images.reading import read_image
from tests.conftest import SHARED

CASES = SHARED / "cases" / "images"

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases is not there")

# Each shows the picture drawn in odd_exif/_t.png.
SOUND = [
    "colour16_holding_12_bits/png16_12bit.png",
    "colour16_holding_12_bits/png48_12bit.png",
    "colour16_holding_12_bits/png_ga16_12bit.png",
    "colour16_holding_12_bits/rgb16_12bit.tif",
    "dicom_empty_rescale/b8s.dcm",
    "dicom_empty_rescale/emptyrescale.dcm",
    "dicom_empty_rescale/emptyslope.dcm",
    "dicom_functional_groups/fgslope2.dcm",
    "dicom_highbit/hb15.dcm",
    "dicom_presentation_inverse/m2inv.dcm",
    "float_overshoot/f32_overshoot.tif",
    "odd_exif/exif_o6_srational_wrongtype.jpg",
    "odd_exif/exif_o6_typeerr.jpg",
    "phone_mpo/phone_mpo.jpg",
    "sound_tiff_called_no_tiff/f16_01.tif",
    "sound_tiff_called_no_tiff/f64_01.tif",
    "sound_tiff_called_no_tiff/ga16.tif",
    "tiff_min_is_white_16/mw16_lzw.tif",
    "tiff_min_is_white_16/neg16.tif",
    "tiff_uint32/im_u32.tif",
]


@pytest.mark.parametrize("name", SOUND)
def test_sound_pictures_are_read(name):
    picture = np.asarray(Image.open(CASES / "odd_exif" / "_t.png")).astype(float)
    assert np.abs(read_image(CASES / name) - picture).mean() < 0.1


@pytest.mark.parametrize("name", ["baddsw.dcm", "nanwin.dcm"])
def test_an_ill_formed_window_is_none(name):
    found = read_image(CASES / "dicom_bad_window_text" / name)
    picture = np.asarray(Image.open(CASES / "odd_exif" / "_t.png")).astype(float)
    low, high = np.percentile(picture, (0.5, 99.5))
    np.testing.assert_allclose(found, np.clip((picture - low) / (high - low), 0, 1) * 255, atol=1.5)


def test_a_window_in_functional_groups_is_applied():
    picture = np.asarray(Image.open(CASES / "odd_exif" / "_t.png")).astype(float)
    expected = np.clip(picture / 255 * 4095 / 2047, 0, 1) * 255
    found = read_image(CASES / "dicom_functional_groups" / "fgwin2.dcm")
    assert np.abs(found - expected).mean() < 0.5


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("jpeg_png_damaged_inside/cut_EOI.jpg", "damaged or cut short"),
        ("jpeg_png_damaged_inside/hole4k.jpg", "damaged or cut short"),
        ("jpeg_png_damaged_inside/png_zerofilled.png", "damaged or cut short"),
        ("jpeg_png_damaged_inside/zerofilled_EOI.jpg", "damaged or cut short"),
        ("sound_tiff_called_no_tiff/u8_lerc.tif", "a TIFF with LERC compression"),
    ],
)
def test_what_is_not_read_is_named(name, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        read_image(CASES / name)
