from __future__ import annotations

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


def test_parquet_is_read_as_csv_is(image_folder):
    images = ImageDataset.open(write(image_folder / "list.parquet", TABLE))
    lines = [
        ",".join(TABLE),
        *(",".join(map(str, row)) for row in zip(*TABLE.values(), strict=True)),
    ]
    (image_folder / "list.csv").write_text("\n".join(lines) + "\n")
    expected = ImageDataset.open(image_folder / "list.csv")
    assert images.names == expected.names
    assert images.class_names == ("no", "yes")
    assert images.labels.tolist() == expected.labels.tolist() == [0, 1, 0, 1]
    assert images.patients.tolist() == expected.patients.tolist() == ["10", "11", "12", "13"]
    assert images.splits.tolist() == expected.splits.tolist()


def test_a_missing_value_is_an_empty_one(image_folder):
    table = {**TABLE, "split": [None] * 4}
    images = ImageDataset.open(write(image_folder / "list.parquet", table))
    assert set(images.splits) == {""}


def test_folders_named_like_partitions_tell_nothing(tmp_path, image_folder):
    folder = image_folder.rename(tmp_path / "label=odd")
    images = ImageDataset.open(write(folder / "list.parquet", TABLE))
    assert images.class_names == ("no", "yes")


def test_bad_parquet(image_folder):
    (image_folder / "text.parquet").write_text("path,label\n")
    with pytest.raises(UsageError, match="is not a Parquet file"):
        ImageDataset.open(image_folder / "text.parquet")
    path = write(image_folder / "list.parquet", {"file": ["a"], "label": ["b"]})
    with pytest.raises(UsageError, match=r"no column 'path' .it has: file, label"):
        ImageDataset.open(path)


def test_a_line_that_is_too_short_has_empty_columns(image_folder):
    lines = ["path,label,split", "NORMAL/p00_0.png,no", "PNEUMONIA/p06_0.png,yes"]
    (image_folder / "list.csv").write_text("\n".join(lines))
    assert set(ImageDataset.open(image_folder / "list.csv").splits) == {""}
    (image_folder / "list.csv").write_text("path,label\nNORMAL,no\n,yes\n")
    with pytest.raises(UsageError, match="names 2 files that do not exist"):
        ImageDataset.open(image_folder / "list.csv")


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_columns_are_parted_as_spreadsheets_do_it(image_folder, delimiter):
    lines = [["patient", "path", "label"], ["7", "NORMAL/p00_0.png", "no, none"]]
    lines += [["8", "PNEUMONIA/p06_0.png", "yes"]]
    text = "\r\n".join(delimiter.join(line) for line in lines)
    (image_folder / "list.csv").write_text(text, encoding="utf-8-sig")
    images = ImageDataset.open(image_folder / "list.csv")
    assert images.class_names == ("no, none", "yes")
    assert images.patients.tolist() == ["7", "8"]


def test_other_encodings_are_refused_with_a_way_out(image_folder):
    (image_folder / "list.csv").write_bytes("path,label\nR\xf6ntgen.png,no\n".encode("latin-1"))
    with pytest.raises(UsageError, match="save it as 'CSV UTF-8'"):
        ImageDataset.open(image_folder / "list.csv")


@pytest.mark.parametrize("blank", [1, 4])
def test_patients_are_named_of_all_images_or_of_none(image_folder, blank):
    patients = [None] * blank + ["a"] * (4 - blank)
    path = write(image_folder / "list.parquet", {**TABLE, "patient": patients})
    if blank == 4:
        assert not ImageDataset.open(path).patients_known
        return
    with pytest.raises(UsageError, match=r"no patient of 1 of its 4 images, NORMAL/p00_0.png for"):
        ImageDataset.open(path)
    assert len(ImageDataset.open(path, labeled=False)) == 4


def test_a_missing_pyarrow_is_said(image_folder, monkeypatch):
    path = write(image_folder / "list.parquet", TABLE)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r'pip install "featx\[parquet\]"'):
        ImageDataset.open(path)
