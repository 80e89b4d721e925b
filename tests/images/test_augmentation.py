import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from featx.errors import UsageError
from featx.images.augmentation import (
    POLICIES,
    Augmentation,
    _draw_geometry,
    _generator,
    _warp,
    make_view,
)

RADIOGRAPH = POLICIES["radiograph"]


def ramp(height, width):
    """A plane: exact under any affine map and any symmetric filter, away from the border."""
    y, x = np.mgrid[:height, :width]
    return (20 + 0.9 * x * 200 / width + 0.1 * y * 200 / height).astype(np.float32)


def test_view_zero_of_an_image_of_the_right_size_is_the_image(generator):
    image = generator.integers(0, 256, (32, 40), dtype=np.uint8)
    np.testing.assert_allclose(make_view(image, "d", 0, (32, 40), RADIOGRAPH), image, atol=1e-4)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_whole_factor_shrinking_is_the_block_mean(generator, factor):
    image = generator.integers(0, 256, (24 * factor, 16 * factor), dtype=np.uint8)
    expected = image.reshape(24, factor, 16, factor).mean(axis=(1, 3))
    np.testing.assert_allclose(make_view(image, "d", 0, (24, 16), RADIOGRAPH), expected, atol=1e-3)


def test_view_zero_agrees_with_another_area_resize(generator):
    image = ndimage.gaussian_filter(generator.random((437, 611)) * 255, 4).astype(np.float32)
    expected = cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(make_view(image, "d", 0, (224, 224), RADIOGRAPH), expected, atol=0.6)


@pytest.mark.parametrize("shape", [(437, 611), (300, 200), (40, 700), (90, 100, 3)])
@pytest.mark.parametrize("policy", [Augmentation(), Augmentation(crop_area=(0.3, 0.6), shift=0.2)])
def test_a_view_averages_samples_at_most_a_pixel_apart(generator, shape, policy):
    image = generator.integers(0, 256, shape, dtype=np.uint8)
    view = 0 if policy == Augmentation() else 1
    found = make_view(image, "d", view, (64, 50), policy)
    # The same in float64, sample by sample.
    square = np.eye(3)
    if view:
        square = _draw_geometry(_generator("d", policy, 0, view), policy, shape)
    middles = []
    for length, cells, (scale, shift) in zip(
        shape, (64, 50), ((square[1, 1], square[1, 2]), (square[0, 0], square[0, 2])), strict=False
    ):
        fine = max(1, int(np.ceil(round(abs(scale) * length / cells, 6)))) * cells
        places = (2 * np.arange(fine) + 1) / fine - 1
        middles.append((scale * places + shift + 1) * length / 2 - 0.5)
    layers = np.atleast_3d(image.astype(np.float64)).transpose(2, 0, 1)
    grid = np.meshgrid(*middles, indexing="ij")
    samples = np.stack([ndimage.map_coordinates(x, grid, order=1, mode="nearest") for x in layers])
    blocks = samples.reshape(len(layers), 64, len(middles[0]) // 64, 50, len(middles[1]) // 50)
    expected = blocks.mean(axis=(2, 4)).transpose(1, 2, 0).reshape(found.shape)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_tiny_rotation_changes_a_view_little(generator):
    image = generator.integers(0, 256, (200, 300), dtype=np.uint8)
    square = np.diag([0.8, 0.7, 1])
    straight = _warp(image, square, (64, 50))
    square[0, 1] = 1e-9
    np.testing.assert_allclose(_warp(image, square, (64, 50)), straight, atol=0.02)


def test_shrinking_does_not_alias():
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (400, 200))
    view = make_view(stripes, "d", 0, (57, 57), RADIOGRAPH)
    assert np.ptp(view) < 255 * 0.2
    np.testing.assert_allclose(view.mean(), 127.5, atol=1)


def test_enlarging_a_plane_keeps_it():
    view = make_view(ramp(30, 30), "d", 0, (90, 90), RADIOGRAPH)
    expected = ndimage.zoom(ramp(30, 30), 3, order=1, grid_mode=True, mode="nearest")
    np.testing.assert_allclose(view[6:-6, 6:-6], expected[6:-6, 6:-6], atol=0.05)


def test_rotation_is_by_the_drawn_angle_in_the_image_geometry():
    # A disc stays a disc, at its place's rotation, whatever the aspect ratio.
    image = np.zeros((200, 400), dtype=np.float32)
    image[90:110, 290:310] = 255
    policy = Augmentation(rotation=30)
    distances = set()
    for view in range(1, 30):
        pixels = make_view(image, "d", view, (200, 400), policy)
        y, x = ndimage.center_of_mass(pixels)
        distances.add(round(float(np.hypot(x - 199.5, y - 99.5)), 0))
        np.testing.assert_allclose(pixels.sum(), image.sum(), rtol=0.02)
    assert distances <= {100.0, 101.0}


@settings(max_examples=30, deadline=None)
@given(
    digest=st.text("0123456789abcdef", min_size=8, max_size=8),
    view=st.integers(1, 1000),
    policy=st.sampled_from(["ramirez", "radiograph"]),
)
def test_a_view_depends_on_its_key_only(digest, view, policy):
    image = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
    first = make_view(image, digest, view, (12, 12), POLICIES[policy], random_state=3)
    make_view(image, "other", view + 1, (12, 12), POLICIES[policy], random_state=9)
    again = make_view(image, digest, view, (12, 12), POLICIES[policy], random_state=3)
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 255


def test_a_view_is_the_same_in_every_version():
    # Written down from the first version: a change would silently spoil every cache.
    image = np.add.outer(np.arange(20), np.arange(20)).astype(np.uint8) * 6
    view = make_view(image, "ab" * 32, 1, (4, 4), RADIOGRAPH, random_state=0)
    expected = [
        [27.04, 65.32, 98.13, 127.86],
        [62.29, 95.65, 125.59, 153.29],
        [93.36, 123.31, 151.16, 177.32],
        [121.90, 149.01, 175.30, 200.26],
    ]
    np.testing.assert_allclose(view, expected, atol=0.05)


@pytest.mark.parametrize("other", [{"digest": "b"}, {"view": 2}, {"random_state": 1}])
def test_another_key_gives_another_view(generator, other):
    image = generator.integers(0, 256, (30, 30), dtype=np.uint8)
    key = {"digest": "a", "view": 1, "random_state": 0}

    def render(digest, view, random_state):
        return make_view(image, digest, view, (16, 16), RADIOGRAPH, random_state)

    assert not np.array_equal(render(**key), render(**{**key, **other}))


def test_ranges_of_the_radiograph_policy_are_reached_and_kept(generator):
    image = np.full((50, 50), 100, dtype=np.uint8)
    # Contrast leaves a constant image alone, so what changes is gamma.
    gammas = [
        np.log(make_view(image, str(n), 1, (4, 4), RADIOGRAPH)[0, 0] / 255) / np.log(100 / 255)
        for n in range(300)
    ]
    assert 0.6 <= min(gammas) + 1e-3 < 0.65
    assert 1.5 < max(gammas) <= 1.6 + 1e-3


def test_no_policy_mirrors(generator):
    left = np.zeros((40, 40), dtype=np.uint8)
    left[:, :12] = 255
    for policy in POLICIES.values():
        for view in range(1, 20):
            pixels = make_view(left, "d", view, (40, 40), policy)
            assert pixels[:, :20].mean() > pixels[:, 20:].mean()


def test_color_is_kept(generator):
    image = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    view = make_view(image, "d", 3, (10, 10), RADIOGRAPH)
    assert view.shape == (10, 10, 3)
    gray = make_view(np.repeat(image[..., :1], 3, axis=2), "d", 3, (10, 10), RADIOGRAPH)
    np.testing.assert_array_equal(gray[..., 0], gray[..., 1])


def test_names_are_checked():
    with pytest.raises(UsageError, match=r"radiogaph.*did you mean 'radiograph'"):
        Augmentation.named("radiogaph")


@pytest.mark.parametrize(
    "wrong",
    [{"crop_area": (0.5, 1.5)}, {"gamma": (0, 1)}, {"zoom": (1.2, 0.8)}, {"rotation": -1}],
)
def test_impossible_parameters_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Augmentation(**wrong)
