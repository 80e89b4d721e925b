import hashlib
import shutil

import numpy as np
import pytest
from PIL import Image

from featx.datasets.dataset import ImageDataset
from featx.errors import UnreadableImageError, UsageError


def test_class_folders(images, image_folder):
    assert len(images) == 24
    assert images.class_names == ("NORMAL", "PNEUMONIA")
    assert images.labels.tolist() == [0] * 12 + [1] * 12
    assert images.names[0] == "NORMAL/p00_0.png"
    assert len(set(images.patients)) == 12
    assert set(images.splits) == {""}
    assert ImageDataset.open(image_folder / "NORMAL", labeled=False).labels.tolist() == [-1] * 12


def test_unknown_patients_are_reported_once(image_folder, caplog):
    images = ImageDataset.open(image_folder)
    assert not images.patients_known
    assert len(set(images.patients)) == len(images)
    assert caplog.text.count("Patients are unknown") == 1


def test_digest_is_that_of_the_bytes_and_not_of_the_path(images, image_folder):
    content = (image_folder / "NORMAL" / "p00_0.png").read_bytes()
    before = images.digest(0)
    assert before == hashlib.sha256(content).hexdigest()
    moved = image_folder.with_name("elsewhere")
    image_folder.rename(moved)
    assert ImageDataset.open(moved, r"(p\d+)_").digest(0) == before


def test_bad_folders(tmp_path, image_folder):
    for folder in ("empty", "texts/a", "loose"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "texts" / "a" / "x.txt").touch()
    shutil.copy(image_folder / "NORMAL" / "p00_0.png", tmp_path / "loose")
    shutil.rmtree(image_folder / "PNEUMONIA")
    for folder, message in (
        ("absent", "does not exist"),
        ("empty", "it is empty"),
        ("texts", "no image"),
        ("loose", "no class folders"),
        (image_folder.name, "only the class 'NORMAL'"),
    ):
        with pytest.raises(UsageError, match=message):
            ImageDataset.open(tmp_path / folder)


def test_training_and_test_images_need_every_class_and_val_does_not(image_folder, tmp_path):
    top = tmp_path / "parts"
    shutil.copytree(image_folder, top / "train")
    shutil.copytree(image_folder / "NORMAL", top / "val" / "NORMAL")
    assert len(ImageDataset.open(top, r"(p\d+)_")) == 36
    (top / "val").rename(top / "test")
    with pytest.raises(UsageError, match="'test' has no image of class 'PNEUMONIA'"):
        ImageDataset.open(top)
    (top / "test").rename(top / "val")
    shutil.copytree(image_folder, top / "test")
    shutil.rmtree(top / "train" / "PNEUMONIA")
    with pytest.raises(UsageError, match=r"'train, val' has no image of class 'PNEUMONIA'"):
        ImageDataset.open(top)


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
    assert images.digest(0) != images.digest(1)
    assert images.digest(0) != ImageDataset.from_arrays(gray.reshape(3, 7, 6)).digest(0)
    color = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    images = ImageDataset.from_arrays([color])
    np.testing.assert_array_equal(images.read(0, "rgb"), color)
    expected = np.asarray(Image.fromarray(color).convert("L"), dtype=int)
    assert np.abs(images.read(0).astype(int) - expected).max() <= 1


def test_bad_arrays():
    with pytest.raises(UsageError, match="3 images but 2 labels"):
        ImageDataset.from_arrays(np.zeros((3, 4, 4)), ["a", "b"])
    with pytest.raises(UnreadableImageError, match="no image"):
        ImageDataset.from_arrays([np.zeros((4, 4, 2), np.uint8)]).read(0)


def test_an_image_data_set_is_indexed_as_scikit_learn_does():
    arrays = np.zeros((6, 8, 8), np.uint8)
    images = ImageDataset.from_arrays(arrays, list("ababab"), patients=list("uvwxyz"))
    assert images.shape == (6,)
    for indices in ([0, 5], np.array([0, 5]), np.arange(6) % 5 == 0, slice(0, 6, 5)):
        assert images[indices].patients.tolist() == ["u", "z"]
    assert images[::2].labels.tolist() == [0, 0, 0]
    assert images[::2].class_names == ("a", "b")
    assert set(images.with_splits(["train"] * 6).splits) == {"train"}
    with pytest.raises(TypeError, match="a list of indices"):
        images[3]


@pytest.mark.parametrize(
    ("labels", "patients", "message"),
    [
        ([0, 1, -2], None, "labels are -2, 0 and 1; with 2 classes"),
        ([0.0, 0.5, 1.0], None, "labels are 0.0, 0.5 and 1.0"),
        ([0, 1, 1], ["p1", None, "p3"], "patients are missing in 1 of 3 rows, row 1"),
    ],
)
def test_arrays_with_labels_that_are_no_indices_and_patients_that_are_missing(
    labels, patients, message
):
    arrays = np.zeros((3, 8, 8), np.uint8)
    with pytest.raises(UsageError, match=message):
        ImageDataset.from_arrays(arrays, labels, class_names=("a", "b"), patients=patients)
    images = ImageDataset.from_arrays(arrays, ["a", None, float("nan")], class_names=("a", "b"))
    assert images.labels.tolist() == [0, -1, -1]
