import numpy as np
import pytest

from featx.backbones._keras import import_keras
from featx.backbones.pooling import POOLINGS, check_pooling, pool
from featx.errors import UsageError

MAPS = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype(np.float32)


def pooled(method):
    keras = import_keras()
    inputs = keras.Input(MAPS.shape[1:])
    return keras.Model(inputs, pool(inputs, method)).predict_on_batch(MAPS)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("average", MAPS.mean(axis=(1, 2))),
        ("max", MAPS.max(axis=(1, 2))),
        ("gem", np.cbrt((np.maximum(MAPS, 1e-6).astype(float) ** 3).mean(axis=(1, 2)))),
        (
            "quadrants",
            np.concatenate(
                [
                    MAPS[:, rows, columns].mean(axis=(1, 2))
                    for rows in (slice(0, 3), slice(2, 5))
                    for columns in (slice(0, 2), slice(2, 4))
                ],
                axis=1,
            ),
        ),
    ],
)
def test_each_pooling_is_what_numpy_computes(method, expected):
    found = pooled(method)
    assert found.shape == (2, 3 * POOLINGS[method])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_an_unknown_pooling_is_named_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'mean'.*average, max, gem, quadrants"):
        check_pooling("mean")
