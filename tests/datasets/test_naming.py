import csv

import pytest

from featx.datasets.dataset import ImageDataset
from featx.datasets.patients import from_names
from featx.errors import UsageError


@pytest.mark.parametrize(
    ("name", "patient", "label"),
    [
        ("train/PNEUMONIA/person12_bacteria_47.jpeg", "person12", "bacteria"),
        ("train/PNEUMONIA/person12_virus_48.jpeg", "person12", "virus"),
        ("test/PNEUMONIA/person12_virus_48.jpeg", "test-person12", "virus"),
        ("chest_xray/test/NORMAL/NORMAL2-IM-0129-0001.jpeg", "test-IM-0129", "normal"),
        ("NORMAL/IM-0129-0001.jpeg", "IM-0129", "normal"),
        ("train/NORMAL/NORMAL2-IM-0129-0001-0002.jpeg", "IM-0129", "normal"),
        ("train/NORMAL/NORMAL-28501-0001.jpeg", None, "normal"),
        ("train/PNEUMONIA/BACTERIA-30629-0001.jpeg", None, "bacteria"),
        ("train/PNEUMONIA/VIRUS-1980110-0001.jpeg", None, "virus"),
    ],
)
def test_names_of_kermany(name, patient, label):
    assert from_names("label", [name], "kermany-subtype") == [label]
    if patient is not None:
        assert from_names("patient", [name], "kermany") == [patient]


def test_every_image_of_the_real_manifest(shared):
    with (shared / "data" / "kermany_manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = [row["path"] for row in rows]
    # The manifest's two series of one id are kept together, which can only be safer.
    expected = [row["patient_id"].removeprefix("NORMAL2-") for row in rows]
    assert from_names("patient", names, "kermany") == expected
    labels = from_names("label", names, "kermany-subtype")
    pairs = {
        (label == "normal", "NORMAL/" in name) for label, name in zip(labels, names, strict=True)
    }
    assert pairs == {(True, True), (False, False)}
    assert set(labels) == {"normal", "bacteria", "virus"}


@pytest.mark.parametrize(
    ("what", "rule", "message"),
    [
        ("patient", r"(\d+)", "does not fit 1 of 2 images, 'x/b.png' for one"),
        ("patient", "kermany", "does not fit"),
        ("patient", "kermani", r"neither a preset \(kermany, dicom\)"),
        ("patient", "(a", "not a regular expression"),
        ("label", "kermany", r"label rule 'kermany' is neither a preset \(kermany-subt"),
        ("label", "(a", "not a regular"),
        # A folder's name does not decide.
        ("label", "kermany-subtype", r"'bacteria/a1\.png' for one; give --labels"),
    ],
)
def test_rules_that_do_not_fit(what, rule, message):
    with pytest.raises(UsageError, match=message):
        from_names(what, ["bacteria/a1.png", "x/b.png"], rule)


def test_labels_by_name_keep_splits_and_need_labeled_images(put, tmp_path):
    for name in ("person1_virus_1.png", "person2_bacteria_1.png", "IM-0001-0001.png"):
        put(f"train/any/{name}", f"test/any/{name}")
    images = ImageDataset.open(tmp_path, "kermany", labels="kermany-subtype")
    assert images.class_names == ("bacteria", "normal", "virus")
    assert sorted(set(images.splits)) == ["test", "train"]
    assert len(set(images.patients)) == 6
    assert set(ImageDataset.open(tmp_path, labeled=False, labels="(x)").labels) == {-1}
