import sys

import pyarrow
import pyarrow.parquet
import pytest

from featx.datasets.dataset import ImageDataset
from featx.errors import MissingExtraError, UsageError

TABLE = {
    "path": ["NORMAL/p00_0.png", "PNEUMONIA/p06_0.png", "NORMAL/p01_0.png", "PNEUMONIA/p07_0.png"],
    "label": ["no", "yes", "no", "yes"],
    "patient": [10, 11, 12, 13],
    "split": ["train", "training", "test", "test"],
}


def write(path, table):
    pyarrow.parquet.write_table(pyarrow.table(table), path)
    return path


def write_csv(folder, text):
    path = folder / "list.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_parquet_is_read_as_csv_is(image_folder):
    rows = [",".join(map(str, row)) for row in zip(*TABLE.values(), strict=True)]
    # Partitions that a folder's name may suggest do not count.
    folder = image_folder.rename(image_folder.with_name("label=odd"))
    for path in (
        write(folder / "list.parquet", TABLE),
        write_csv(folder, "\n".join([",".join(TABLE), *rows]) + "\n"),
    ):
        images = ImageDataset.open(path)
        assert images.names == tuple(TABLE["path"])
        assert images.y.tolist() == TABLE["label"]
        assert images.patients.tolist() == ["10", "11", "12", "13"]
        assert images.splits.tolist() == ["train", "train", "test", "test"]


def test_patients_of_a_named_column_or_of_paths_and_missing_splits(image_folder):
    text = "path,label,person,split\nNORMAL/p00_0.png,no,x\nPNEUMONIA/p06_0.png,yes,y\n"
    path = write_csv(image_folder, text)
    assert set(ImageDataset.open(path).splits) == {""}
    assert ImageDataset.open(path, "person").patients.tolist() == ["x", "y"]
    assert ImageDataset.open(path, r"(p\d+)_").patients.tolist() == ["p00", "p06"]


def test_names_never_hold_absolute_paths(image_folder, tmp_path):
    lines = [f"{path},{path.parent.name}" for path in sorted(image_folder.rglob("*.png"))]
    path = write_csv(tmp_path, "path,label\n" + "\n".join(lines) + "\n")
    assert ImageDataset.open(path, r"(p\d+)_").names[0] == "NORMAL/p00_0.png"


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_delimiters_of_spreadsheets(image_folder, delimiter):
    lines = [["patient", "path", "label"], ["7", "NORMAL/p00_0.png", "no, none"]]
    lines += [["8", "PNEUMONIA/p06_0.png", "yes"]]
    path = write_csv(image_folder, "\r\n".join(delimiter.join(line) for line in lines))
    images = ImageDataset.open(path)
    assert images.class_names == ("no, none", "yes")
    assert images.patients.tolist() == ["7", "8"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na,b\n", "no column 'path' .it has: file, label"),
        ("path,class\na,b\n", "no column 'label'"),
        ("path,label\nabsent.png,b\n", "names 1 files that do not exist, .*absent.png"),
        ("path,label\nNORMAL,no\n,yes\n", "names 2 files that do not exist"),
        ("path,label\n", "lists no image"),
        ("path,label,split\nNORMAL/p00_0.png,a,a\nNORMAL/p00_1.png,b,a\n", "a split 'a'"),
    ],
)
def test_bad_csv(image_folder, text, message):
    with pytest.raises(UsageError, match=message):
        ImageDataset.open(write_csv(image_folder, text))


def test_bad_files(image_folder):
    (image_folder / "text.parquet").write_text("path,label\n")
    write(image_folder / "list.parquet", {"file": ["a"], "label": ["b"]})
    (image_folder / "list.csv").write_bytes("path,label\nR\xf6ntgen.png,no\n".encode("latin-1"))
    for name, message in (
        ("text.parquet", "is not a Parquet file"),
        ("list.parquet", "no column 'path' .it has: file, label"),
        ("list.csv", "save it as 'CSV UTF-8'"),
    ):
        with pytest.raises(UsageError, match=message):
            ImageDataset.open(image_folder / name)


@pytest.mark.parametrize("blank", [1, 4])
def test_patients_are_given_for_all_images_or_for_none(image_folder, blank):
    patients = [None] * blank + ["a"] * (4 - blank)
    table = {**TABLE, "patient": patients, "split": [None] * 4}
    path = write(image_folder / "list.parquet", table)
    assert set(ImageDataset.open(path, labeled=False).splits) == {""}
    if blank == 4:
        assert not ImageDataset.open(path).patients_known
        return
    with pytest.raises(UsageError, match=r"no patient of 1 of its 4 images, NORMAL/p00_0.png for"):
        ImageDataset.open(path)
    assert len(ImageDataset.open(path, labeled=False)) == 4


def test_a_missing_pyarrow_is_reported(image_folder, monkeypatch):
    path = write(image_folder / "list.parquet", TABLE)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r'pip install "featx\[parquet\]"'):
        ImageDataset.open(path)
