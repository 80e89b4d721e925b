import numpy as np
import pytest

from featx.baselines.views import ImageViews, TrainingBatches
from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError
from featx.images.augmentation import Augmentation, make_view

RADIOGRAPH = Augmentation.named("radiograph")


@pytest.fixture
def images():
    generator = np.random.default_rng(0)
    return ImageDataset.from_arrays(generator.integers(0, 256, (7, 40, 30), dtype=np.uint8))


@pytest.mark.parametrize("memory", [0, 2500, 10**6])
@pytest.mark.parametrize("view", [0, 3])
def test_views_do_not_depend_on_what_is_kept_in_memory(images, memory, view):
    views = ImageViews(images, (32, 32), RADIOGRAPH, random_state=5, memory=memory)
    assert views.find_unreadable() == {}
    for indices in np.array([[0, 1], [6, 0], [1, 1]]):
        rendered = views.render(indices, view)
        assert rendered.shape == (2, 32, 32, 1)
        for index, pixels in zip(indices, rendered[..., 0], strict=True):
            expected = make_view(
                images.read(index), images.digest(index), view, (32, 32), RADIOGRAPH, 5
            )
            np.testing.assert_array_equal(pixels, expected)


def test_training_batches_are_a_function_of_the_step(images):
    views = ImageViews(images, (32, 32), RADIOGRAPH)
    targets = np.arange(7, dtype=np.float32)[:, None]

    def order(epoch):
        return np.random.default_rng(epoch).permutation(6).reshape(3, 2)

    from_start = TrainingBatches(views.render, targets, order, first_epoch=0)
    resumed = TrainingBatches(views.render, targets, order, first_epoch=2)
    for step in (0, 4):
        pixels, labels = from_start[6 + step]
        again, labels_again = resumed[step]
        np.testing.assert_array_equal(pixels, again)
        np.testing.assert_array_equal(labels, labels_again)
        epoch = 2 + step // 3
        expected = views.render(order(epoch)[step % 3], view=epoch + 1)
        np.testing.assert_array_equal(pixels, expected)


def test_memory_stays_within_its_bound(images):
    views = ImageViews(images, (32, 32), RADIOGRAPH, memory=3 * 1200 + 1)
    views.find_unreadable()
    assert sum(pixels.nbytes for pixels in views._pixels.values()) == 3 * 1200


def test_unreadable_images_are_found_and_never_rendered(tmp_path, images):
    (tmp_path / "bad.png").write_bytes(b"no image")
    mixed = ImageDataset(
        names=("bad.png", *images.names[1:]),
        labels=images.labels,
        class_names=images.class_names,
        patients=images.patients,
        patients_known=False,
        splits=images.splits,
        sources=(tmp_path / "bad.png", *images.sources[1:]),
    )
    views = ImageViews(mixed, (32, 32), RADIOGRAPH)
    assert list(views.find_unreadable()) == [0]
    with pytest.raises(FeatxError, match=r"bad\.png cannot be read"):
        views.render(np.array([1, 0]), view=0)


def test_another_size_needs_no_second_decoding(images, monkeypatch):
    views = ImageViews(images, (32, 32), RADIOGRAPH, random_state=5)
    views.find_unreadable()
    other = views.with_settings((16, 24), Augmentation())
    monkeypatch.setattr(ImageDataset, "read", None)
    batch = other.render(np.array([2, 3]), view=0)
    assert batch.shape == (2, 16, 24, 1)
    assert views.size == (32, 32)
