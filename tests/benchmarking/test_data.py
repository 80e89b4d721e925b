import numpy as np
import pytest

from featx.benchmarking.data import split_images
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError


def make(splits=None, patients=None):
    n = 40
    return ImageDataset.from_arrays(
        np.arange(n * 16, dtype=np.uint16).reshape(n, 4, 4),
        np.array(["a", "b"])[np.arange(n) % 2],
        patients=patients or [f"p{i // 4}{i % 2}" for i in range(n)],
        splits=splits,
    )


def test_train_and_val_are_pooled_and_test_is_kept():
    splits_ = split_images(make(["train"] * 20 + ["val"] * 10 + ["test"] * 10))
    assert (len(splits_.train), len(splits_.test)) == (30, 10)
    assert splits_.in_test.tolist() == [False] * 30 + [True] * 10
    assert splits_.test_size is None


def test_without_a_test_split_patients_are_held_out():
    for splits in (None, ["train"] * 20 + ["val"] * 20):
        splits_ = split_images(make(splits), test_size=0.25, random_state=3)
        assert not set(splits_.train.patients) & set(splits_.test.patients)
        assert splits_.test.names == tuple(np.array(make().names)[splits_.in_test])
        assert len(splits_.train) + len(splits_.test) == 40
        assert splits_.test_size == 0.25


def test_what_cannot_be_split_says_so():
    with pytest.raises(UsageError, match="'test'"):
        split_images(make(["test"] * 40))
    with pytest.raises(UsageError, match="3 of 3 images have no label"):
        split_images(ImageDataset.from_arrays(np.zeros((3, 4, 4))))
