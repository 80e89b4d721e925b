import numpy as np
import pytest

from featx.backbones._keras import import_keras
from featx.backbones.pooling import check_pooling, pool
from featx.errors import UsageError

MAPS = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype(np.float32)


def pooled(method, maps=MAPS):
    keras = import_keras()
    inputs = keras.Input(MAPS.shape[1:])
    return keras.Model(inputs, pool([inputs], method)).predict_on_batch(maps)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("average", MAPS.mean(axis=(1, 2))),
        ("max", MAPS.max(axis=(1, 2))),
        ("gem", np.cbrt((np.maximum(MAPS, 1e-6).astype(float) ** 3).mean(axis=(1, 2)))),
        ("multi_depth", np.concatenate([MAPS.mean(axis=(1, 2)), MAPS.std(axis=(1, 2))], axis=1)),
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
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_standard_deviations_of_maps_far_from_zero_do_not_cancel():
    maps = (MAPS.astype(float) * 1e-2 + 1e3).astype(np.float32)
    found = pooled("multi_depth", maps)
    # The difference of the means of squares is off by more than all of it.
    assert np.abs((maps**2).mean(axis=(1, 2)) - maps.mean(axis=(1, 2)) ** 2).max() > 1e-2
    expected = maps.astype(float).std(axis=(1, 2))
    np.testing.assert_allclose(found[:, 3:], expected, rtol=2e-2)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_a_constant_map_has_the_least_standard_deviation(value):
    found = pooled("multi_depth", np.full(MAPS.shape, value, np.float32))
    np.testing.assert_allclose(found[:, :3], value, rtol=1e-6)
    np.testing.assert_allclose(found[:, 3:], 1e-6, atol=1e-7 * value)


def test_an_unknown_pooling_is_named_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'mean'.*average, max, gem, quadrants, multi_depth"):
        check_pooling("mean")
