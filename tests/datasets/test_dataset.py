from __future__ import annotations

import hashlib
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from featx.datasets.dataset import ImageDataset
from featx.errors import UnreadableImageError, UsageError


def test_class_folders(images):
    assert len(images) == 24
    assert images.class_names == ("NORMAL", "PNEUMONIA")
    assert images.labels.tolist() == [0] * 12 + [1] * 12
    assert images.names[0] == "NORMAL/p00_0.png"
    assert len(set(images.patients)) == 12
    assert set(images.splits) == {""}


def test_split_folders_under_an_archive_s_own_folder(image_folder, tmp_path):
    top = tmp_path / "unpacked" / "chest_xray"
    for split in ("train", "Validation", "TEST"):
        shutil.copytree(image_folder, top / split)
    (tmp_path / "unpacked" / "__MACOSX" / "junk").mkdir(parents=True)
    (tmp_path / "unpacked" / ".hidden").mkdir()
    images = ImageDataset.open(tmp_path / "unpacked", r"(p\d+)_")
    assert {split: int((images.splits == split).sum()) for split in set(images.splits)} == {
        "train": 24,
        "val": 24,
        "test": 24,
    }
    assert images.names[0].startswith("TEST/NORMAL/")


def test_unknown_patients_are_reported_once(image_folder, caplog):
    images = ImageDataset.open(image_folder)
    assert not images.patients_known
    assert len(set(images.patients)) == len(images)
    assert caplog.text.count("Patients are unknown") == 1


def test_names_with_odd_characters_and_links(image_folder):
    source = image_folder / "NORMAL" / "p00_0.png"
    odd = ["p00_ä ö.png", "p00_new\nline.png", "p00_肺.png"]
    for name in odd:
        shutil.copy(source, source.with_name(name))
    shutil.copy(source, source.with_name(os.fsdecode(b"p00_\xff.png")))
    (source.parent / "p00_link.png").symlink_to(source)
    (image_folder / "NORMAL" / "loop").symlink_to(image_folder, target_is_directory=True)
    images = ImageDataset.open(image_folder, r"(p\d+)_")
    names = [name for name in images.names if name.startswith("NORMAL/p00_")]
    assert len(names) == 7
    digests = {images.digest(index) for index, name in enumerate(images.names) if name in names}
    assert len(digests) == 2


def test_digest_is_that_of_the_bytes_and_not_of_the_path(images, image_folder):
    content = (image_folder / "NORMAL" / "p00_0.png").read_bytes()
    before = images.digest(0)
    assert before == hashlib.sha256(content).hexdigest()
    moved = image_folder.with_name("elsewhere")
    image_folder.rename(moved)
    assert ImageDataset.open(moved, r"(p\d+)_").digest(0) == before


def test_bad_folders(tmp_path, image_folder):
    with pytest.raises(UsageError, match="does not exist"):
        ImageDataset.open(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="it is empty"):
        ImageDataset.open(tmp_path / "empty")
    (tmp_path / "texts" / "a").mkdir(parents=True)
    (tmp_path / "texts" / "a" / "x.txt").touch()
    with pytest.raises(UsageError, match="no image"):
        ImageDataset.open(tmp_path / "texts")
    shutil.copytree(image_folder / "NORMAL", tmp_path / "loose")
    with pytest.raises(UsageError, match="no class folders"):
        ImageDataset.open(tmp_path / "loose")
    shutil.rmtree(image_folder / "PNEUMONIA")
    with pytest.raises(UsageError, match="only the class 'NORMAL'"):
        ImageDataset.open(image_folder)


def test_a_class_missing_from_a_split(image_folder, tmp_path):
    top = tmp_path / "parts"
    shutil.copytree(image_folder, top / "train")
    shutil.copytree(image_folder / "NORMAL", top / "test" / "NORMAL")
    with pytest.raises(UsageError, match="'test' has no image of class 'PNEUMONIA'"):
        ImageDataset.open(top)


def test_a_class_missing_from_val_is_fine_since_train_and_val_are_pooled(image_folder, tmp_path):
    top = tmp_path / "parts"
    shutil.copytree(image_folder, top / "train")
    shutil.copytree(image_folder / "NORMAL", top / "val" / "NORMAL")
    assert len(ImageDataset.open(top, r"(p\d+)_")) == 36
    shutil.rmtree(top / "train" / "PNEUMONIA")
    shutil.copytree(image_folder, top / "test")
    with pytest.raises(UsageError, match=r"'train, val' has no image of class 'PNEUMONIA'"):
        ImageDataset.open(top)


def test_images_without_labels(image_folder):
    images = ImageDataset.open(image_folder / "NORMAL", labeled=False)
    assert len(images) == 12
    assert set(images.labels) == {-1}


def test_given_class_names(image_folder):
    shutil.rmtree(image_folder / "NORMAL")
    images = ImageDataset.open(image_folder, r"(p\d+)_", class_names=("NORMAL", "PNEUMONIA"))
    assert set(images.labels) == {1}
    with pytest.raises(UsageError, match="'PNEUMONIA'; the classes here are cat, dog"):
        ImageDataset.open(image_folder, class_names=("cat", "dog"))


def test_arrays(generator):
    gray = generator.integers(0, 256, (3, 6, 7), dtype=np.uint8)
    images = ImageDataset.from_arrays(gray, [0, 1, 0], class_names=["a", "b"], patients=list("xyz"))
    assert images.labels.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(images.read(1), gray[1])
    color = np.repeat(gray[..., np.newaxis], 3, axis=3)
    np.testing.assert_array_equal(ImageDataset.from_arrays(color).read(1), gray[1])
    assert ImageDataset.from_arrays(color).read(1, "rgb").shape == (6, 7, 3)
    assert images.digest(0) != images.digest(1)
    assert images.digest(0) != ImageDataset.from_arrays(gray.reshape(3, 7, 6)).digest(0)


def test_arrays_agree_with_pillow_on_luminance(generator):
    pixels = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).convert("L"), dtype=int)
    found = ImageDataset.from_arrays([pixels]).read(0).astype(int)
    assert np.abs(found - expected).max() <= 1


def test_bad_arrays():
    with pytest.raises(UsageError, match="3 images but 2 labels"):
        ImageDataset.from_arrays(np.zeros((3, 4, 4)), ["a", "b"])
    with pytest.raises(UnreadableImageError, match="no image"):
        ImageDataset.from_arrays([np.zeros((4, 4, 2), np.uint8)]).read(0)


def test_select_and_splits(images):
    chosen = images.select(images.labels == 1)
    assert len(chosen) == 12
    assert chosen.class_names == images.class_names
    split = images.with_splits(["train"] * 24)
    assert set(split.splits) == {"train"}


def test_an_image_data_set_is_indexed_as_scikit_learn_does():
    arrays = np.zeros((6, 8, 8), np.uint8)
    images = ImageDataset.from_arrays(arrays, list("ababab"), patients=list("uvwxyz"))
    assert images.shape == (6,)
    for indices in ([0, 5], np.array([0, 5]), np.arange(6) % 5 == 0, slice(0, 6, 5)):
        assert images[indices].patients.tolist() == ["u", "z"]
    assert images[::2].labels.tolist() == [0, 0, 0]
    with pytest.raises(TypeError, match="a list of indices"):
        images[3]
