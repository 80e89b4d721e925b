import numpy as np
import pytest

from featx.backbones.engines import KerasEngine
from featx.backbones.feature_maps import FeatureMaps


@pytest.mark.parametrize(("channels", "pooling"), [(1, "multi_depth"), (3, "average")])
def test_the_means_over_places_are_the_features(small_mobilenet, generator, channels, pooling):
    backbone, _, base = small_mobilenet
    pixels = generator.uniform(0, 255, (64, 64, channels)).astype(np.float32)
    view = pixels[..., 0] if channels == 1 else pixels
    maps = FeatureMaps(base, backbone, pooling).of(view)
    assert len(maps) == (12 if pooling == "multi_depth" else 1)
    assert maps[-1].shape == (2, 2, backbone.features)
    assert all(np.ptp(each, axis=(0, 1)).max() > 0 for each in maps)
    expected = KerasEngine(base, backbone, pooling=pooling).embed(view[None])[0]
    found = np.concatenate([each.mean(axis=(0, 1)) for each in maps])
    assert found == pytest.approx(expected, abs=1e-5)
