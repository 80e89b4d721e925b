import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage import exposure

from featx.errors import UsageError
from featx.images.normalization import NORMALIZATIONS, normalize

IMAGE = np.random.default_rng(0).integers(40, 120, (64, 80), dtype=np.uint8)
METHODS = [name for name in NORMALIZATIONS if name != "none"]


def test_none_changes_nothing():
    assert normalize(IMAGE, "none") is IMAGE


def test_percentile_puts_the_first_and_last_percentile_at_the_ends():
    low, high = np.percentile(IMAGE, [1, 99])
    expected = exposure.rescale_intensity(
        IMAGE.astype(float), in_range=(low, high), out_range=(0, 255)
    )
    np.testing.assert_allclose(normalize(IMAGE, "percentile"), expected, atol=1e-3)


def test_equalize_makes_the_histogram_flat():
    found = np.sort(normalize(IMAGE, "equalize").ravel())
    # Of a flat histogram the quantiles are even; 80 gray levels leave steps of a few.
    np.testing.assert_allclose(found[:: len(found) // 10], np.linspace(0, 255, 11)[:-1], atol=8)


def test_clahe_is_opencvs():
    expected = cv2.createCLAHE(2.0, (8, 8)).apply(IMAGE)
    np.testing.assert_array_equal(normalize(IMAGE, "clahe"), expected)


@pytest.mark.parametrize(
    ("method", "share"), [("percentile", 0.1), ("equalize", 0.1), ("clahe", 0.95)]
)
def test_exposure_matters_less(method, share):
    darker = (IMAGE * 0.5).round().astype(np.uint8)
    before = np.abs(IMAGE.astype(float) - darker).mean()
    after = np.abs(normalize(IMAGE, method).astype(float) - normalize(darker, method)).mean()
    assert after < share * before


@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None)
@given(
    image=arrays(
        st.sampled_from([np.uint8, np.float32]),
        array_shapes(min_dims=2, max_dims=2, max_side=24).map(lambda shape: (*shape, 3)),
        elements=st.integers(0, 255),
    )
)
def test_intensities_stay_within_their_range(method, image):
    for pixels in (image, image[..., 0]):
        found = normalize(pixels, method)
        assert found.shape == pixels.shape
        assert np.isfinite(found).all()
        assert found.min() >= 0
        assert found.max() <= 255


def test_an_unknown_method_is_named_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'clahee'; did you mean 'clahe'\?.*percentile"):
        normalize(IMAGE, "clahee")
