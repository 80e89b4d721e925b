import numpy as np
import pytest

from featx.datasets import medmnist
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError


def write(path, generator, shape=(28, 28), classes=2, **changes):
    arrays = {}
    for split, count in (("train", 8), ("val", 4), ("test", 4)):
        arrays[f"{split}_images"] = generator.integers(0, 256, (count, *shape), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % classes).reshape(-1, 1).astype(np.uint8)
    arrays.update(changes)
    np.savez_compressed(
        path, **{name: value for name, value in arrays.items() if value is not None}
    )
    return path, arrays


@pytest.mark.parametrize("name", ["pneumoniamnist", "pneumoniamnist_224"])
def test_gray_images_with_known_classes(tmp_path, generator, name):
    path, arrays = write(tmp_path / f"{name}.npz", generator)
    images = ImageDataset.open(path)
    assert images.class_names == ("normal", "pneumonia")
    assert images.splits.tolist() == ["train"] * 8 + ["val"] * 4 + ["test"] * 4
    assert images.labels[8:12].tolist() == arrays["val_labels"][:, 0].tolist()
    assert images.names[8] == "val/000000"
    np.testing.assert_array_equal(images.read(9), arrays["val_images"][1])
    same = ImageDataset.from_arrays(arrays["val_images"])
    assert images.digest(9) == same.digest(1)


def test_color_images_with_unknown_classes(tmp_path, generator):
    path, arrays = write(tmp_path / "other_64.npz", generator, (6, 7, 3), classes=4)
    images = ImageDataset.open(path)
    assert images.class_names == ("class_0", "class_1", "class_2", "class_3")
    np.testing.assert_array_equal(images.read(3, "rgb"), arrays["train_images"][3])
    assert images.read(3).shape == (6, 7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": None}, "train_images but no train_labels"),
        ({"train_labels": np.zeros((8, 14), np.uint8)}, "each image must have one label"),
        ({"train_labels": np.zeros((5, 1), np.uint8)}, "each image must have one label"),
        ({"train_labels": np.full((8, 1), 0.5)}, "holds 0.5; labels must be integers"),
        ({"train_labels": np.array([["a"]] * 8)}, "of the type <U1; labels must be integers"),
        ({"train_labels": np.zeros((8, 1), "M8[D]")}, "labels must be integers"),
        ({"train_labels": np.zeros((8, 1), [("a", "i4")])}, "labels must be integers"),
        ({"train_images": np.zeros((8, 28), np.uint8)}, r"the shape \(8, 28\); it must be"),
        ({"train_images": np.array([None])}, "not a MedMNIST file, or is damaged"),
    ],
)
def test_bad_arrays(tmp_path, generator, changes, message):
    path, _ = write(tmp_path / "x.npz", generator, **changes)
    with pytest.raises(UsageError, match=message):
        ImageDataset.open(path)
    if "train_labels" in changes:
        assert set(ImageDataset.open(path, labeled=False).labels) == {-1}


def test_other_files(tmp_path, monkeypatch, generator):
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(UsageError, match="has no array train_images"):
        ImageDataset.open(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(UsageError, match="not a MedMNIST file, or is damaged"):
        ImageDataset.open(tmp_path / "text.npz")
    path, _ = write(tmp_path / "large.npz", generator)
    monkeypatch.setattr(medmnist, "available_memory", lambda: 100)
    with pytest.raises(UsageError, match=r"unpacks to .* bytes, more than the 100 bytes"):
        ImageDataset.open(path)


def source_list(folder, names, header="split,index,image_id"):
    path = folder / "pneumoniamnist.csv"
    path.write_text("\n".join([header, *names]) + "\n")
    return path


def test_patients_come_from_the_published_list_of_source_files(tmp_path, generator):
    path, _ = write(tmp_path / "pneumoniamnist_64.npz", generator)
    counts = {"train": 8, "val": 4, "test": 4}
    rows = [f"{s},{i},person{i // 2}_virus_{i}.jpeg" for s, n in counts.items() for i in range(n)]
    source_list(tmp_path, reversed(rows))
    images = ImageDataset.open(path, patients="kermany")
    assert images.names[1] == "train/000001/person0_virus_1.jpeg"
    assert images.patients[:4].tolist() == ["person0", "person0", "person1", "person1"]
    # Test patients of Kermany et al. are others under the same numbers.
    assert images.patients[-1] == "test-person1"
    source_list(tmp_path, rows[:-1])
    with pytest.raises(UsageError, match="1 of these are not listed, such as test/000003"):
        ImageDataset.open(path)
    source_list(tmp_path, rows, "a,b,c")
    with pytest.raises(UsageError, match="needs the columns split, index and image_id"):
        ImageDataset.open(path)
