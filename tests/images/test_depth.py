import numpy as np
import pytest

from featx.errors import UnreadableImageError
from featx.images.depth import to_intensities


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[True, False]]), [[255, 0]]),
        (np.array([[0, 4095]], np.uint16), [[0, 255]]),
        (np.array([[0, 16383]], np.uint16), [[0, 255]]),
        (np.array([[0, 30000, 65535]], np.uint16), [[0, 30000 / 257, 255]]),
        (np.array([[0, 4095]], np.int16), [[0, 255]]),
        (np.array([[0, 7, 255]]), [[0, 7, 255]]),
        (np.array([[0, 2**31, 2**32 - 1]], np.uint32), [[0, 127.5, 255]]),
        (np.array([[0.0, 0.5, 1.0]]), [[0, 127.5, 255]]),
        (np.array([[0.0, 0.5, 1.0]], np.float16), [[0, 127.5, 255]]),
        (np.array([[0.0, 100.0]]), [[0, 100]]),
        (np.zeros((2, 2), np.uint16), np.zeros((2, 2))),
    ],
)
def test_depths(values, expected):
    np.testing.assert_allclose(to_intensities(values), expected, atol=1e-3)


@pytest.mark.parametrize("peak", [1030, 2000, 4095])
def test_the_brightest_pixel_does_not_move_a_twelve_bit_image(peak):
    dark = np.full((9, 9), 800, np.uint16)
    bright = dark.copy()
    bright[0, 0] = peak
    np.testing.assert_array_equal(to_intensities(bright)[1:], to_intensities(dark)[1:])


@pytest.mark.parametrize("peak", [4096, 16384, 65535])
def test_dead_pixels_do_not_move_an_image(peak):
    image = np.full((40, 40), 800, np.uint16)
    expected = to_intensities(image)
    image[3, :5] = peak
    found = to_intensities(image)
    np.testing.assert_array_equal(found[4:], expected[4:])
    assert found.max() == 255


def test_sixteen_bit_pixels_below_256_are_refused_not_guessed():
    image = np.full((9, 9), 200, np.uint16)
    with pytest.raises(UnreadableImageError, match=r"none exceeds 200.*save it with 8 bits"):
        to_intensities(image)
    image[0, 0] = 256
    np.testing.assert_allclose(to_intensities(image)[1, 1], 200 * 255 / 4095, rtol=1e-6)


@pytest.mark.parametrize(("declared", "top"), [(10, 1023), (12, 4095), (13, 8191), (15, 32767)])
def test_a_declared_depth_counts_whatever_the_pixels_are(declared, top):
    image = np.array([[0, 100, 200]], np.uint16)
    np.testing.assert_allclose(to_intensities(image, declared), image * (255 / top), rtol=1e-6)


@pytest.mark.parametrize("scale", [1, 255])
def test_floats_beyond_their_range_by_resizing_are_clipped(scale):
    image = np.array([[-0.02, 0.0, 0.5, 1.0, 1.004]], np.float32) * scale
    np.testing.assert_allclose(to_intensities(image), [[0, 0, 127.5, 255, 255]], atol=1e-3)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([[-1000, 1000]], np.int16), "signed pixel values from -1,000 to 1,000"),
        (np.array([[-1024.0, 1024.0]]), "floating-point pixels from -1024 to 1024"),
        (np.array([[0.0, 4095.0]]), "floating-point pixels from 0 to 4095"),
        (np.array([[0.0, 2.5]]), "floating-point pixels from 0 to 2.5"),
        (np.array([[-1.7e308, 1.7e308]]), "floating-point pixels"),
        (np.array([[0, 2**24]], np.uint32), "32-bit integers up to 16,777,216"),
        (np.array([[0, 2**40]]), "64-bit integers"),
        (np.array([[np.nan, 1.0]]), "not finite"),
        (np.zeros((0, 4)), "no pixels"),
    ],
)
def test_ranges_without_a_known_black_and_white_are_refused(values, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        to_intensities(values)
