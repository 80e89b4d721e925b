"""Settings that change what a feature is: input size, pooling, normalization."""

import numpy as np
import pytest

import featx
from featx.backbones.pooling import MULTI_DEPTH, pooled_columns
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights, load_base
from featx.datasets.dataset import ImageDataset
from featx.images.augmentation import Augmentation, make_view
from featx.images.normalization import NORMALIZATIONS, normalize

NAME = "mobilenetv2@96"
PIXELS = np.random.default_rng(0).integers(0, 200, (3, 40, 50), dtype=np.uint8)


@pytest.fixture(scope="module")
def feature_maps():
    """The last feature maps of the images by Keras' own predict, for each normalization."""
    backbone = get_backbone(NAME)
    base = load_base(backbone, find_weights(backbone, "random", random_state=0))

    def compute(method):
        views = [
            make_view(normalize(image, method), "", 0, backbone.size, Augmentation())
            for image in PIXELS
        ]
        colors = np.repeat(np.stack(views)[..., None], 3, axis=3)
        return base.predict(colors / 127.5 - 1, verbose=0)

    return compute


def extracted(tmp_path, **settings):
    images = ImageDataset.from_arrays(PIXELS)
    return featx.extract(images, NAME, "none", 1, weights="random", cache=tmp_path, **settings)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_features_are_those_of_normalized_images(tmp_path, feature_maps, normalization):
    matrix = extracted(tmp_path, normalization=normalization)
    expected = feature_maps(normalization).mean(axis=(1, 2))
    np.testing.assert_allclose(matrix.X, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("pooling", ["max", MULTI_DEPTH])
def test_features_are_pooled_as_asked(tmp_path, feature_maps, pooling):
    matrix = extracted(tmp_path, pooling=pooling)
    maps = feature_maps("none")
    assert matrix.X.shape == (3, len(pooled_columns(get_backbone(NAME), pooling)))
    if pooling == "max":
        expected = maps.max(axis=(1, 2))
        np.testing.assert_allclose(matrix.X, expected, atol=1e-4 * np.abs(expected).max())
