import sys
from pathlib import Path

import numpy as np
import pandas
import pytest

from featx.datasets.conversion import as_images
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError

RULE = r"(p\d+)_"


@pytest.fixture
def paths(image_folder):
    return sorted(image_folder.rglob("*.png"))


def same(found, expected, names=None):
    assert found.names == (expected.names if names is None else names)
    assert [found.digest(n) for n in (0, -1)] == [expected.digest(n) for n in (0, -1)]


def test_a_path_is_opened_with_its_rules_and_a_data_set_is_returned(image_folder, images):
    assert as_images(images) is images
    for path in (image_folder, str(image_folder)):
        found = as_images(path, RULE)
        same(found, images)
        assert found.y.tolist() == images.y.tolist()
        assert found.patients.tolist() == images.patients.tolist()
    assert set(as_images(image_folder, labeled=False).y) == {""}
    pixels = np.arange(126, dtype=np.uint8).reshape(3, 6, 7)
    for arrays in (pixels, list(pixels)):
        np.testing.assert_array_equal(as_images(arrays).read(2), pixels[2])


@pytest.mark.parametrize("make", [list, tuple, pandas.Series, pandas.DataFrame, np.array])
def test_files_of_a_list_are_named_as_given_and_rules_search_what_differs(paths, images, make):
    for items in (paths, [str(path) for path in paths]):
        found = as_images(make(items))
        same(found, images, tuple(map(str, paths)))
        assert set(found.y) == {""}
    labeled = as_images(make(paths), RULE, labels=r"^(\w+)/")
    assert labeled.y.tolist() == images.y.tolist()
    assert labeled.patients.tolist() == images.patients.tolist()


def test_a_data_frame_is_read_as_a_table_is(paths, images, tmp_path, monkeypatch):
    frame = pandas.DataFrame(
        {
            "path": [path.relative_to(tmp_path) for path in paths],
            "label": [path.parent.name for path in paths],
            "patient": range(24),
            "split": [None, *["test", "train"] * 11, pandas.NA],
        }
    )
    monkeypatch.chdir(tmp_path)
    found = as_images(frame)
    # A path is the name that users join tables by.
    assert found.names == tuple(f"xrays/{name}" for name in images.names)
    assert found.digest(-1) == images.digest(-1)
    frame.to_csv("table.csv", index=False)
    for other in (as_images("table.csv"), as_images(Path("table.csv"))):
        same(other, found)
        for field in ("y", "patients", "splits"):
            assert getattr(other, field).tolist() == getattr(found, field).tolist()
    assert as_images(frame.rename(columns={"patient": "who"}), "who").patients[3] == "3"
    with pytest.raises(UsageError, match="the data frame has no column 'label'"):
        as_images(frame[["path", "patient"]])
    frame.loc[0, "path"] = "absent.png"
    with pytest.raises(UsageError, match=r"1 whose file is missing: row 0 .absent.png"):
        as_images(frame)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([1, 2], "list of int holds no images"),
        (["a.png", 2], "list of int"),
        (np.zeros((4, 7)), r"ndarray of ndarray of shape \(7,\)"),
        (["a.png", None], "list of NoneType"),
        ({"path": ["a.png"], "label": ["x"]}, "dict of str holds no images; give .* a data frame"),
        (5, "5 holds no images"),
        ("absent", "absent does not exist; give a folder"),
        (["absent.png"], f"absent.png for one; paths are absolute or relative to {Path.cwd()}"),
    ],
)
def test_anything_else_is_refused_with_what_to_give(images, message):
    with pytest.raises(UsageError, match=message):
        as_images(images)


@pytest.mark.parametrize("library", ["pyarrow", "polars"])
def test_tables_of_other_libraries(image_folder, library):
    module = pytest.importorskip(library)
    paths = sorted(map(str, image_folder.rglob("*.png")))
    cells = {"path": paths, "label": [Path(path).parent.name for path in paths]}
    if library == "pyarrow":
        frames = [module.table(cells)]
    else:
        frames = [module.DataFrame(cells), module.LazyFrame(cells)]
    for frame in frames:
        found = as_images(frame)
        assert found.names == tuple(paths)
        assert found.y.tolist() == cells["label"]


def test_no_data_frame_library_is_imported(image_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert len(as_images(image_folder, RULE)) == 24


def test_a_data_set_describes_itself(images):
    text = "24 images: NORMAL 12, PNEUMONIA 12; 12 patients"
    assert images.summary() == text
    assert repr(images) == f"ImageDataset({text})"
    assert "<li>12 patients</li>" in images._repr_html_()
    split = images.with_splits(["train"] * 12 + [""] * 12)
    assert split.summary() == f"{text}; train 12, no split 12"
    arrays = np.zeros((2, 4, 4), np.uint8)
    assert ImageDataset.from_arrays(arrays).summary() == "2 images: unlabeled 2; patients unknown"
    some = ImageDataset.from_arrays(arrays, ["<a>", ""], class_names=["<a>", "b"])
    assert some.summary() == "2 images: <a> 1, b 0, unlabeled 1; patients unknown"
    assert "&lt;a&gt;" in some._repr_html_()
    assert images.select([]).summary() == "no images"
