import numpy as np
import pytest

from featx.baselines.batches import ViewSource
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
def test_batches_are_the_views_whatever_is_kept_in_memory(images, memory, view):
    source = ViewSource(images, (32, 32), RADIOGRAPH, random_state=5, memory=memory)
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


def test_batches_are_rendered_while_the_network_computes_and_no_further(images, monkeypatch):
    import threading
    import time

    from featx.baselines import batches as module

    rendered, finished = [], threading.Event()
    original = ViewSource._render_batch

    def note(self, indices, view):
        batch = original(self, indices, view)
        rendered.append(int(indices[0]))
        if len(rendered) == module.BATCHES_AHEAD + 1:
            finished.set()
        return batch

    monkeypatch.setattr(ViewSource, "_render_batch", note)
    source = ViewSource(images, (32, 32), RADIOGRAPH)
    stream = source.batches([np.array([number % 7]) for number in range(50)], view=1)
    next(stream)
    # Nothing is asked for now: what is rendered besides was rendered ahead.
    assert finished.wait(timeout=60)
    time.sleep(0.05)
    assert len(rendered) == module.BATCHES_AHEAD + 1
    assert len(list(stream)) == 49


def test_another_size_is_seen_without_decoding_again(images, monkeypatch):
    source = ViewSource(images, (32, 32), RADIOGRAPH, random_state=5)
    source.find_unreadable()
    other = source.seen_as((16, 24), Augmentation())
    monkeypatch.setattr(ImageDataset, "read", None)
    (batch,) = other.batches([np.array([2, 3])], view=0)
    assert batch.shape == (2, 16, 24, 1)
    assert source.size == (32, 32)
