"""Folders as people have them: understood, or refused with what was seen."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featx.datasets.conversion import as_images
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError

CLASSES = ("NORMAL", "PNEUMONIA")
FORMATS = {".jfif": "JPEG", ".jpe": "JPEG", "": "JPEG", ".webp": "WEBP", ".pgm": "PPM", ".x": "PNG"}


def put(*paths):
    picture = Image.new("L", (8, 8), 90)
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, FORMATS.get(path.suffix))


@pytest.fixture
def make(tmp_path):
    """Draw a tree: `{}` in a pattern is each of the two classes, a trailing * three images."""

    def draw(*patterns):
        for pattern in patterns:
            for label in CLASSES if "{}" in pattern else [""]:
                name = pattern.format(label)
                put(*(tmp_path / name.replace("*", f"{n}.png") for n in range(3)))
        return tmp_path

    return draw


def counts(images):
    return Counter(zip(images.y.tolist(), images.splits.tolist(), strict=True))


def each(*splits):
    return {(label, split): 3 for label in CLASSES for split in splits}


@pytest.mark.parametrize(
    ("patterns", "splits"),
    [
        (["{}/*"], [""]),
        (["{}/site/p1/*"], [""]),
        (["NORMAL/1/*", "PNEUMONIA/2/*"], [""]),
        (["{}/p1/1/*"], [""]),
        (["a/b/{}/*"], [""]),
        (["train/{}/*", "dev/{}/*", "test/{}/*"], ["train", "val", "test"]),
        (["Training_Set/{}/*", "hold-out/{}/*"], ["train", "test"]),
        (["trainImages/{}/*", "valid data/{}/*"], ["train", "val"]),
        (["train/images/{}/*", "test/images/{}/*"], ["train", "test"]),
        (["{}/train/*", "{}/test/*"], ["train", "test"]),
        (["x/{}/TRAIN/*", "x/{}/Validation/*", "x/{}/test/*"], ["train", "val", "test"]),
        (["{}/*", "{}/@eaDir/a.png/*", "@eaDir/x.jpg/*", "#recycle/*", "lost+found/*"], [""]),
    ],
)
def test_layouts_that_are_understood(make, patterns, splits):
    root = make(*patterns)
    images = ImageDataset.open(root)
    assert counts(images) == each(*splits)
    assert all((root / name).is_file() for name in images.names)
    found = {"folder names"} if splits != [""] else {""}
    assert {images.inventory.splits_from} == found
    # Litter is not worth a word.
    assert not images.inventory.passed_over


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (
            [f"x/{inner}{split}/{{}}/*" for inner in ("", "x/") for split in ("train", "test")],
            r"x has test, train beside x, .*x/x seems to be a copy",
        ),
        (["train/{}/*", "test/{}/*", "more/{}/*"], "has test, train beside more"),
        (["train/{}/*", "fold1/{}/*"], "has fold1, which could be training, validation or"),
        (["fold_1/{}/*", "fold_2/{}/*"], "has fold_1, fold_2, which could be"),
        (["train/{}/*", "eval/{}/*"], "has eval, which could be"),
        (["test/{}/*", "holdout/{}/*"], "has holdout, test, which all say the split 'test'"),
        (["NORMAL/train/*", "NORMAL/test/*", "PNEUMONIA/*"], "PNEUMONIA has images outside"),
        (["{}/train/*", "{}/*"], "NORMAL, PNEUMONIA has images outside"),
        (["{}/train/*", "{}/lateral/*"], "has train beside lateral"),
        (["train/{}/*", "train/test/*"], "test speak of splits"),
        (["{}/images/*", "{}/masks/*"], "pictures in NORMAL/masks, PNEUMONIA/masks that are no"),
        (["NORMAL/*", "PNEUMONIA/original/*", "PNEUMONIA/augmented/*"], "PNEUMONIA/augmented that"),
        (["{}/*", "lung_masks/*"], "pictures in lung_masks that are no radiographs"),
        (["{}/frontal/*", "{}/lateral/*"], r"the subfolders frontal, lateral.*'\^\(\[\^/\]\+\)/'"),
        (["{}/*", "{}/lungs/*"], "each have the subfolders lungs beside images"),
        (["entrenamiento/0/*", "entrenamiento/1/*", "prueba/0/*", "prueba/1/*"], "subfolders 0, 1"),
        (["siteA/TB/*", "siteA/OK/*", "siteB/TB/*", "siteB/OK/*"], "the subfolders OK, TB"),
        (["siteA/+/*", "siteA/-/*", "siteB/+/*", "siteB/-/*"], r"the subfolders \+, -"),
        (["{}/*", "NORMAL (1)/*"], r"NORMAL \(1\) look like copies"),
        (["{}/*", "PNEUMONIA - Copia/*"], "PNEUMONIA - Copia look like copies"),
        (["{}/*", "gradcam/*"], "pictures in gradcam that are no radiographs"),
        (["{}/*", "unlabeled/*"], "unlabeled name no class"),
        (["NORMAL/*", "N\u041eRMAL/*"], r"'NORMAL', 'N.u041eRMAL'"),
        (["siteA/{}/*", "siteB/{}/*"], "siteA, siteB .* each have the subfolders NORMAL, PNEUM"),
        (["Normal/*", "NORMAL/*"], "class folders 'NORMAL', 'Normal' .* differ only in how they"),
        (["caf\u00e9/*", "cafe\u0301/*"], r"'cafe.u0301', 'caf.xe9'"),
        (["train/NORMAL/*", "train/ILL/*", "test/Normal/*", "test/ILL/*"], "'NORMAL', 'Normal'"),
        (["images_001/*", "images_002/*"], "images_001, images_002 name no class"),
        (["train/patient1/s1/*", "train/patient2/s1/*"], "patient1, patient2 name no class"),
        ([f"p{n:04}/*" for n in range(21)], "p0000, .* and 15 more are numbered like patients"),
    ],
)
def test_layouts_that_are_refused_with_what_was_seen(make, patterns, message):
    with pytest.raises(UsageError, match=message) as stop:
        ImageDataset.open(make(*patterns))
    assert "a table with columns path" in str(stop.value) or "one name" in str(stop.value)
    assert "Unpack" not in str(stop.value)


def test_what_is_refused_in_an_archive_is_to_be_unpacked(make):
    root = make("train/{}/*", "test/{}/*", "x/train/{}/*")
    with zipfile.ZipFile(root.with_suffix(".zip"), "w") as archive:
        for path in root.rglob("*.png"):
            archive.write(path, path.relative_to(root))
    with pytest.raises(UsageError, match="Unpack it and give the folder that is meant"):
        ImageDataset.open(root.with_suffix(".zip"))


def test_the_way_out_of_recurring_subfolders_works(make):
    root = make("x/{}/frontal/*", "x/{}/lateral/*")
    with pytest.raises(UsageError, match=r"path: '\^\(\[\^/\]\+\)/' for 'NORMAL'"):
        ImageDataset.open(root)
    assert counts(ImageDataset.open(root, labels="^([^/]+)/")) == {(n, ""): 6 for n in CLASSES}
    inner = ImageDataset.open(root, labels="([^/]+)/[^/]+$")
    assert inner.class_names == ("frontal", "lateral")
    assert inner.inventory.labels_from == "rule '([^/]+)/[^/]+$'"


def test_pictures_that_are_no_radiographs_are_refused_without_labels_too(make):
    root = make("images/*", "masks/*")
    with pytest.raises(UsageError, match="pictures in masks"):
        ImageDataset.open(root, labeled=False)
    assert len(ImageDataset.open(root / "masks", labeled=False)) == 3


def test_numbered_patients_and_studies_are_no_classes(make):
    root = make("{}/p1/1/*", "{}/p1/2/*", "{}/p2/1/*", "NORMAL/p3/2/*")
    assert Counter(ImageDataset.open(root).y) == {"NORMAL": 12, "PNEUMONIA": 9}


def passed_over(images):
    return {each.reason.split(" (")[0]: dict(each.kinds) for each in images.inventory.passed_over}


def test_files_are_recognized_by_their_first_bytes(make):
    root = make("{}/*")
    folder = root / "NORMAL"
    put(*(folder / f"a{suffix}" for suffix in FORMATS))
    (folder / "notes.doc").write_bytes(b"BM is no bitmap")
    (folder / "empty").touch()
    (folder / "a.txt").touch()
    (folder / ".hidden.png").touch()
    (folder / "Thumbs.db").touch()
    os.mkfifo(folder / "pipe")
    expected = {
        "in image formats that featx does not read": {".webp": 1, ".pgm": 1},
        "not recognized as images": {".doc": 1},
        "empty or unreadable": {"": 2},
        "with a suffix that no image has": {".txt": 1},
        "hidden": {".png": 1},
    }
    with zipfile.ZipFile(root.with_suffix(".zip"), "w") as archive:
        for path in folder.parent.rglob("*.*"):
            archive.write(path, path.relative_to(root))
    for opened, extra in ((root, 4), (root.with_suffix(".zip"), 3)):
        images = ImageDataset.open(opened)
        assert Counter(images.y) == {"NORMAL": 3 + extra, "PNEUMONIA": 3}
        found = passed_over(images)
        if opened != root:
            expected.pop("empty or unreadable")
        assert found == expected
        assert images.read(3).shape == (8, 8)
    assert "2 files in image formats" in images.inventory.text


def test_what_is_left_out_and_empty_is_said(make):
    root = make("train/{}/*", "test/{}/*", "test/*", "*")
    (root / "val").mkdir()
    images = ImageDataset.open(root)
    assert passed_over(images) == {"beside the folders of classes and splits": {"test": 3, ".": 3}}
    assert "\n  no image in val" in images.inventory.text
    (root / "train" / "VIRUS").mkdir()
    with pytest.raises(UsageError, match=r"train/VIRUS has no image \(it is empty\)"):
        ImageDataset.open(root)
    put(root / "train" / "VIRUS" / "a.webp")
    with pytest.raises(UsageError, match=r"train/VIRUS has no image \(it has 1 .webp\)"):
        ImageDataset.open(root)


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_file_under_two_classes_or_splits_is_refused_and_under_one_counted_once(make, link):
    root = make("train/{}/*", "test/{}/*")
    file = root / "train" / "NORMAL" / "0.png"
    link(file, file.with_name("again.png"))
    images = ImageDataset.open(root)
    assert counts(images) == each("train", "test")
    assert passed_over(images) == {"reached by links a second time": {"train/NORMAL": 1}}
    for other in ("train/PNEUMONIA/x.png", "test/NORMAL/x.png"):
        link(file, root / other)
        with pytest.raises(UsageError, match=r"are the same file, reached by a link, under diff"):
            ImageDataset.open(root)
        (root / other).unlink()


def test_links_of_a_tar_archive_are_files_of_two_classes(make):
    root = make("{}/*")
    (root / "PNEUMONIA" / "x.png").symlink_to("../NORMAL/0.png")
    with tarfile.open(root.with_suffix(".tar"), "w") as archive:
        archive.add(root, "xrays")
    with pytest.raises(UsageError, match=r"NORMAL/0.png and .*PNEUMONIA/x.png are the same file"):
        ImageDataset.open(root.with_suffix(".tar"))


def test_a_folder_under_two_classes_is_refused_and_under_one_counted_once(make):
    root = make("A/p1/*", "B/*")
    (root / "A" / "again").symlink_to(root / "A" / "p1", target_is_directory=True)
    (root / "B" / "loop").symlink_to(root, target_is_directory=True)
    images = ImageDataset.open(root)
    assert len(images) == 6
    assert passed_over(images) == {"reached by links a second time": {"A/p1": 3}}
    (root / "A" / "extra").symlink_to(root / "B", target_is_directory=True)
    with pytest.raises(UsageError, match=r"A/extra/0.png and .*/B/0.png are the same"):
        ImageDataset.open(root)
    assert len(ImageDataset.open(root, labeled=False)) == 6


@pytest.mark.parametrize("patterns", [["*"], ["images/*"], ["images_1/*", "images_2/*"]])
def test_labels_are_optional_where_they_are_not_needed(make, patterns):
    root = make(*patterns)
    with pytest.raises(UsageError):
        ImageDataset.open(root)
    images = as_images(root, labeled=None)
    assert len(images) == 3 * len(patterns)
    assert set(images.labels) == {-1}
    assert "labels are unknown: " in images.inventory.text


def test_splits_are_kept_where_labels_are_unknown(make):
    images = as_images(make("train/*", "test/*"), labeled=None)
    assert Counter(images.splits) == {"train": 3, "test": 3}
    assert "there are no class folders" in images.inventory.text


def test_subfolders_of_one_class_are_said(make):
    images = ImageDataset.open(make("NORMAL/*", "NORMAL/p1/*", "ILL/bacteria/*", "ILL/virus/*"))
    assert images.inventory.remarks[0] == "ILL includes the images in bacteria, virus"


def test_labels_are_never_dropped_where_there_are_class_folders(make):
    mixed = as_images(make("{}/*", "loose*"), labeled=None)
    assert set(mixed.labels) == {0, 1}
    assert passed_over(mixed) == {"beside the folders of classes and splits": {".": 3}}


def test_a_copy_inside_is_said(make):
    root = make("x/{}/*", "x/copy/{}/*")
    images = ImageDataset.open(root, labeled=False)
    assert images.inventory.remarks == ("x/copy seems to be a copy",)


@pytest.mark.parametrize("packed", [False, True])
def test_no_depth_of_folders_is_too_deep(make, packed):
    root = make("{}/*", "NORMAL/" + "d/" * 120 + "*", "NORMAL/.git/*", "NORMAL/.git/x/*")
    opened = root
    if packed:
        opened = root.with_suffix(".zip")
        with zipfile.ZipFile(opened, "w") as archive:
            for path in root.rglob("*.png"):
                archive.write(path, path.relative_to(root))
            archive.writestr("NORMAL/" + "d/" * 3000 + "a.png", b"x")
    images = ImageDataset.open(opened)
    assert counts(images) == each("")
    found = passed_over(images)
    assert sum(found["hidden"].values()) == 1
    assert sum(found["in more than 100 nested folders"].values()) == (4 if packed else 1)


def test_classes_have_the_names_that_tables_give_them(make):
    assert ImageDataset.open(make("cafe\u0301 /*", "ill\u200b/*")).class_names == ("caf\xe9", "ill")


def test_folders_with_odd_names_are_named_safely(tmp_path):
    odd = [os.fsdecode(b"r\xf6ntgen"), "red\x1b[31m", "line\nbreak"]
    for name in odd:
        put(tmp_path / name / "a.png")
    images = ImageDataset.open(tmp_path)
    assert images.class_names == ("line\\nbreak", "r\\xf6ntgen", "red\\x1b[31m")
    assert images.inventory.text.isascii()
    assert images.read(0).dtype == np.uint8
    assert {name.partition("/")[0] for name in images.names} == set(odd)
