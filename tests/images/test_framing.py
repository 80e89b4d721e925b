"""Framings against Pillow, torchvision's rules and scikit-image."""

import numpy as np
import pytest
from PIL import Image
from skimage.transform import resize

from featx.errors import UsageError
from featx.images.augmentation import POLICIES, make_view
from featx.images.framing import SQUASH, Framing

NONE = POLICIES["none"]
FILTERS = ("box", "bilinear", "hamming", "bicubic", "lanczos")


def view_0(image, size, framing):
    return make_view(image, "ab", 0, size, NONE, 0, framing)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("shape", [(90, 131), (131, 90), (40, 40, 3)])
def test_view_0_is_what_pillow_resizes_and_crops(generator, name, shape):
    image = generator.integers(0, 256, shape, dtype=np.uint8)
    picture = Image.fromarray(image)
    resample = Image.Resampling[name.upper()]
    squashed = np.asarray(picture.resize((32, 32), resample))
    assert (view_0(image, (32, 32), Framing("squash", name)) == squashed).all()
    # torchvision.transforms: Resize(36) and CenterCrop(32).
    width, height = picture.size
    sides = (36, int(36 * height / width)) if width < height else (int(36 * width / height), 36)
    resized = picture.resize(sides, resample)
    left, top = (round((side - 32) / 2.0) for side in sides)
    cropped = np.asarray(resized.crop((left, top, left + 32, top + 32)))
    # Views of an extraction come as float32.
    for pixels in (image, image.astype(np.float32)):
        found = view_0(pixels, (32, 32), Framing("shorter", name, 36))
        assert found.dtype == np.float32
        assert (found == cropped).all()


def test_the_place_of_a_crop_is_rounded_as_its_library_does(generator):
    image = generator.integers(0, 256, (36, 39), dtype=np.uint8)
    framings = [Framing("shorter", "box", 36, center) for center in ("round", "floor")]
    found = [view_0(image, (32, 32), framing) for framing in framings]
    assert (found[0] == image[2:34, 4:36]).all()  # 3.5 to the even number
    assert (found[1] == image[2:34, 3:35]).all()


@pytest.mark.parametrize("shape", [(90, 131), (131, 90), (64, 64), (41, 40), (20, 30)])
@pytest.mark.parametrize("low", [0, 200])
def test_a_square_is_resized_as_torchxrayvision_does(generator, shape, low):
    image = generator.integers(low, 256, shape, dtype=np.uint8)
    height, width = shape
    side = min(shape)
    top, left = height // 2 - side // 2, width // 2 - side // 2
    # xrv.datasets.normalize, XRayCenterCrop and XRayResizer.
    numbers = (2 * (image.astype(np.float32) / 255) - 1) * 1024
    numbers = numbers[None, top : top + side, left : left + side]
    expected = resize(numbers, (1, 32, 32), mode="constant", preserve_range=True)[0]
    found = view_0(image, (32, 32), Framing("square", "skimage"))
    np.testing.assert_allclose((found / 127.5 - 1) * 1024, expected, atol=1e-3)


def test_deep_images_are_resized_without_rounding(generator):
    image = (generator.random((60, 60)) * 255).astype(np.float32)
    found = view_0(image, (32, 32), Framing("squash", "bicubic"))
    expected = Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC)
    assert (found == np.clip(np.asarray(expected), 0, 255)).all()
    assert (found != np.rint(found)).any()
    colors = np.repeat(image[..., None], 3, axis=2)
    assert (view_0(colors, (32, 32), Framing("squash", "bicubic")) == found[..., None]).all()


def test_augmented_views_show_the_framed_region():
    image = np.zeros((40, 80), dtype=np.uint8)
    image[:, 20:60] = 200
    for framing in (Framing("square", "skimage"), Framing("shorter", "bilinear", 32)):
        views = [
            make_view(image, "ab", n, (32, 32), POLICIES["radiograph"], 0, framing) for n in (1, 2)
        ]
        assert all(np.ptp(view) < 1 for view in views)
        assert abs(view_0(image, (32, 32), framing)[16, 16] - 200) < 1
    whole = make_view(image, "ab", 1, (32, 32), POLICIES["radiograph"])
    assert np.ptp(whole) > 100


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fit": "shorter", "filter": "bilinear"}, "'shorter', which needs it"),
        ({"fit": "squash", "edge": 256}, "edge=256"),
        ({"fit": "square"}, "'area' is for 'squash' only"),
        ({"fit": "pad"}, "no fit 'pad'"),
        ({"crop": 3}, "no setting of a framing 'crop'"),
    ],
)
def test_framings_that_contradict_themselves_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        Framing.from_value(settings)


def test_framings_are_plain_values():
    assert SQUASH.to_value() == "squash"
    framing = Framing("shorter", "bicubic", 256, "floor")
    assert Framing.from_value(framing.to_value()) == framing
    with pytest.raises(UsageError, match="an edge of at least 288"):
        framing.check_size((224, 288))
