import numpy as np
import pytest

from featx.baselines.batches import ViewSource
from featx.errors import FeatxError
from featx.images.augmentation import Augmentation, make_view
from featx.images.dataset import ImageDataset

RADIOGRAPH = Augmentation.named("radiograph")


@pytest.fixture
def images():
    generator = np.random.default_rng(0)
    return ImageDataset.from_arrays(generator.integers(0, 256, (7, 40, 30), dtype=np.uint8))


@pytest.mark.parametrize("memory", [0, 2500, 10**6])
@pytest.mark.parametrize("view", [0, 3])
def test_batches_are_the_views_whatever_is_kept_in_memory(images, memory, view):
    source = ViewSource(images, (32, 32), RADIOGRAPH, seed=5, memory=memory)
    order = np.array([[0, 1], [2, 3], [4, 5], [6, 0], [1, 1], [2, 6]])
    assert source.find_unreadable() == {}
    batches = list(source.batches(list(order), view))
    assert len(batches) == len(order)
    for indices, batch in zip(order, batches, strict=True):
        assert batch.shape == (2, 32, 32, 1)
        for index, pixels in zip(indices, batch[..., 0], strict=True):
            expected = make_view(
                images.read(index), images.digest(index), view, (32, 32), RADIOGRAPH, 5
            )
            np.testing.assert_array_equal(pixels, expected)


def test_memory_stays_within_its_bound(images):
    source = ViewSource(images, (32, 32), RADIOGRAPH, memory=3 * 1200 + 1)
    source.find_unreadable()
    assert sum(pixels.nbytes for pixels in source._pixels.values()) == 3 * 1200


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
    source = ViewSource(mixed, (32, 32), RADIOGRAPH)
    assert list(source.find_unreadable()) == [0]
    with pytest.raises(FeatxError, match=r"bad\.png cannot be read"):
        list(source.batches([np.array([1, 0])], view=0))


def test_batches_left_half_way_stop_their_threads(images):
    import threading

    source = ViewSource(images, (32, 32), RADIOGRAPH)
    batches = source.batches([np.array([0, 1])] * 20, view=1)
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPoolExecutor")]
