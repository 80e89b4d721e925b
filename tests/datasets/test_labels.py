from __future__ import annotations

import csv

import pytest

from featx.datasets.dataset import ImageDataset
from featx.datasets.naming import labels_from_names
from featx.errors import UsageError


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("train/PNEUMONIA/person12_bacteria_47.jpeg", "bacteria"),
        ("test/PNEUMONIA/person1_virus_6.jpeg", "virus"),
        ("train/NORMAL/IM-0115-0001.jpeg", "normal"),
        ("train/NORMAL/NORMAL2-IM-0129-0001-0002.jpeg", "normal"),
        ("train/NORMAL/NORMAL-28501-0001.jpeg", "normal"),
        ("train/PNEUMONIA/BACTERIA-30629-0001.jpeg", "bacteria"),
        ("train/PNEUMONIA/VIRUS-1980110-0001.jpeg", "virus"),
    ],
)
def test_kermany_subtypes(name, label):
    assert labels_from_names([name], "kermany-subtype") == [label]


def test_the_folder_s_name_does_not_decide():
    with pytest.raises(UsageError, match=r"'bacteria/x\.png' for one; give --labels"):
        labels_from_names(["bacteria/x.png", "person1_virus_6.jpeg"], "kermany-subtype")


def test_every_image_of_the_real_manifest_has_a_subtype(shared):
    with (shared / "data" / "kermany_manifest.csv").open() as file:
        names = [row["path"] for row in csv.DictReader(file)]
    labels = labels_from_names(names, "kermany-subtype")
    pairs = zip(labels, names, strict=True)
    folders = {(label == "normal", "NORMAL/" in name) for label, name in pairs}
    assert folders == {(True, True), (False, False)}
    assert set(labels) == {"normal", "bacteria", "virus"}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("kermany", "label rule 'kermany' is neither a preset .kermany-subtype"),
        ("(a", "not a regular"),
    ],
)
def test_bad_label_rules(rule, message):
    with pytest.raises(UsageError, match=message):
        labels_from_names(["a.png"], rule)


def test_labels_by_name_keep_the_splits_of_folders(image_folder, tmp_path):
    (tmp_path / "set").mkdir()
    for split in ("train", "test"):
        (tmp_path / "set" / split).symlink_to(image_folder, target_is_directory=True)
    images = ImageDataset.open(tmp_path / "set" / "train", r"(p\d+)_", labels=r"_(\d)\.png")
    assert images.class_names == ("0", "1")
    assert [int(name[-5]) for name in images.names] == images.labels.tolist()


def test_splits_and_unlabeled_images(tmp_path, generator):
    from PIL import Image

    for split in ("train", "test"):
        (tmp_path / split / "any").mkdir(parents=True)
        for name in ("person1_virus_1.png", "person2_bacteria_1.png", "IM-0001-0001.png"):
            Image.new("L", (4, 4)).save(tmp_path / split / "any" / name)
    images = ImageDataset.open(tmp_path, "kermany", labels="kermany-subtype")
    assert images.class_names == ("bacteria", "normal", "virus")
    assert sorted(set(images.splits)) == ["test", "train"]
    assert len(set(images.patients)) == 6
    assert set(ImageDataset.open(tmp_path, labeled=False, labels="(x)").labels) == {-1}
