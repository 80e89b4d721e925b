import numpy as np
import pytest

from featx.backbones.engines import KerasEngine
from featx.backbones.feature_maps import FeatureMaps


@pytest.mark.parametrize("channels", [1, 3])
def test_the_mean_over_places_is_the_feature(small_mobilenet, generator, channels):
    backbone, _, base = small_mobilenet
    pixels = generator.uniform(0, 255, (64, 64, channels)).astype(np.float32)
    view = pixels[..., 0] if channels == 1 else pixels
    maps = FeatureMaps(base, backbone).of(view)
    assert maps.shape == (2, 2, backbone.features) and maps.dtype == np.float32
    assert np.ptp(maps, axis=(0, 1)).max() > 0
    expected = KerasEngine(base, backbone).embed(view[None])[0]
    assert maps.mean(axis=(0, 1)) == pytest.approx(expected, abs=1e-5)
