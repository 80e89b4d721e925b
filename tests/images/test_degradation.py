import numpy as np
import pytest

from featx.datasets.dataset import ImageDataset
from featx.features.extraction import extract
from featx.images.degradation import BLACKED_OUT, DEGRADATIONS, Degraded
from featx.images.sources import digest_of, identify, pixels_of
from tests.conftest import smooth_image


@pytest.fixture
def pixels(generator):
    return smooth_image(generator, (120, 150))


def blurred(images):
    sources = tuple(Degraded(each, "blur", 5) for each in images.sources)
    return ImageDataset(**{**vars(images), "sources": sources})


@pytest.mark.parametrize("name", DEGRADATIONS)
@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_grades_change_images_more_and_more(name, color, pixels):
    original = pixels_of(pixels, color).astype(float)
    found = [pixels_of(Degraded(pixels, name, grade), color) for grade in range(1, 6)]
    assert all(each.dtype == np.uint8 and each.ndim == original.ndim for each in found)
    again = pixels_of(Degraded(pixels, name, 5), color)
    np.testing.assert_array_equal(found[-1], again)
    if name in ("crop", "border"):
        sizes = [each.shape[0] for each in found]
        assert sizes == sorted(sizes, reverse=name == "crop")
        assert len({*sizes, 120}) == 6
    else:
        changes = [np.abs(each - original).mean() for each in found]
        assert changes[1] > 0
        assert changes == sorted(changes)


def test_noise_depends_on_the_image_alone(pixels):
    other = pixels.copy()
    other[0, 0] += 1
    noise = [
        pixels_of(Degraded(each, "noise", 3), "gray") - each.astype(int) for each in (pixels, other)
    ]
    assert np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1] < 0.1


def test_large_images_are_reduced_first():
    large = np.zeros((1100, 1300), np.uint8)
    assert pixels_of(Degraded(large, "blur", 1), "gray").shape == (512, 605)


def test_what_is_blacked_out(pixels):
    pixels = np.maximum(pixels, 1)
    center, border = (pixels_of(Degraded(pixels, name, 1), "gray") == 0 for name in BLACKED_OUT)
    assert center[60, 75]
    assert not center[0, 0]
    assert center.mean() == pytest.approx(0.75**2, abs=0.01)
    assert border.mean() == pytest.approx(0.9**2, abs=0.01)
    assert not border[[0, -1]].any()


def test_a_degraded_image_is_another_image_of_the_cache(image_folder, quick, tmp_path):
    images = ImageDataset.open(image_folder, labeled=False)[:3]
    file = images.sources[0]
    mild, strong = Degraded(file, "blur", 1), Degraded(file, "blur", 5)
    assert len({digest_of(each) for each in (file, mild, strong)}) == 3
    assert identify(mild)[0] == digest_of(mild) == mild.derived(digest_of(file))
    changed = blurred(images)
    plain, degraded, again = (
        extract(each, views=1, augmentation="none", cache=tmp_path / "cache")
        for each in (images, changed, changed)
    )
    assert not set(plain.digests) & set(degraded.digests)
    assert not np.array_equal(plain.X, degraded.X)
    np.testing.assert_array_equal(degraded.X, again.X)
    arrays = [changed.read(number) for number in range(3)]
    direct = extract(arrays, views=1, augmentation="none", cache=tmp_path / "other")
    np.testing.assert_array_equal(degraded.X, direct.X)


def test_a_file_that_changed_is_noticed_under_a_degradation(image_folder, quick, tmp_path):
    images = ImageDataset.open(image_folder, labeled=False)[:2]
    changed = blurred(images)
    before = extract(changed, views=1, augmentation="none", cache=tmp_path / "cache")
    images.sources[0].write_bytes(images.sources[1].read_bytes())
    after = extract(changed, views=1, augmentation="none", cache=tmp_path / "cache")
    assert after.digests[0] == after.digests[1] == before.digests[1] != before.digests[0]
