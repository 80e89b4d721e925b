"""Further columns of images, such as age and sex: from tables, DICOM headers and arrays."""

import numpy as np
import pytest

from featx.datasets.conversion import as_images
from featx.datasets.dataset import ImageDataset
from featx.datasets.rules import OpeningRules
from featx.errors import UsageError
from tests.images.dicom_files import make_dicom

ROWS = ["0,a,61.5, F ", "1,b,,M", "2,a,40,N/A", "3,b,7,M"]


@pytest.fixture
def table(put):
    """Four images with age and sex, of which some are missing."""
    path = put(*(f"{number}.png" for number in range(4))) / "list.csv"
    rows = [f"{row[0]}.png{row[1:]}" for row in ROWS]
    path.write_text("\n".join(["path,label,Age at exam,sex", *rows]))
    return path


@pytest.fixture
def series(tmp_path):
    """Two DICOM files a class, of which one gives an age in months and one gives none."""
    ages = {"ill": ("061Y", "018M"), "well": ("", "040Y")}
    for label, texts in ages.items():
        (tmp_path / "series" / label).mkdir(parents=True)
        for number, age in enumerate(texts):
            pixels = np.full((20, 24), 9 * number, np.uint16)
            fields = {"PatientAge": age, "PatientSex": "F", "PatientName": "Quasten^Zoe"}
            content = make_dicom(pixels, ViewPosition="PA", **fields)
            (tmp_path / "series" / label / f"IM{number}").write_bytes(content)
    return tmp_path / "series"


def test_columns_of_tables_are_kept_where_asked_for(table):
    assert ImageDataset.open(table).columns == {}
    images = ImageDataset.open(table, keep_columns=" age , sex", columns={"age": "Age at exam"})
    assert images.columns["age"].tolist() == ["61.5", "", "40", "7"]
    assert images.columns["sex"].tolist() == ["F", "M", "", "M"]
    assert images[[3, 0]].columns["age"].tolist() == ["7", "61.5"]
    assert images.columns_of(["2.png", "1.png"])["sex"].tolist() == ["", "M"]
    renamed = ImageDataset.open(
        table,
        keep_columns=["sex"],
        rename_labels="a:well",
    )
    assert renamed.columns["sex"].tolist() == ["F", "M", "", "M"]


def test_columns_of_frames_and_arrays(table):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(table)
    frame["path"] = [str(table.parent / name) for name in frame["path"]]
    images = as_images(frame, keep_columns="Age at exam")
    assert images.columns["Age at exam"].tolist() == ["61.5", "", "40", "7"]
    columns = {"age": [3, None, 2.5], "site": np.array(["A", "B", ""])}
    images = ImageDataset.from_arrays(np.zeros((3, 8, 8), np.uint8), list("aba"), columns=columns)
    assert images.columns["age"].tolist() == ["3", "", "2.5"]
    with pytest.raises(UsageError, match="3 images but 2 values of age"):
        ImageDataset.from_arrays(np.zeros((3, 8, 8), np.uint8), columns={"age": [1, 2]})


def test_header_fields_are_kept_where_asked_for(series):
    columns = {"age": "dicom:PatientAge"}
    images = ImageDataset.open(series, keep_columns="age,dicom:00185101", columns=columns)
    assert images.columns["age"].tolist() == ["61", "1.5", "", "40"]
    assert set(images.columns["dicom:00185101"]) == {"PA"}


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("PatientName", "PatientName may identify patients"),
        ("PatientID", "PatientID may identify patients"),
        ("StudyDate", "StudyDate may identify patients"),
        ("SOPInstanceUID", "SOPInstanceUID may identify patients"),
        ("00100010", "PatientName may identify patients"),
        ("StudyDescription", "StudyDescription may identify patients"),
        ("00091001", "is no field of the DICOM dictionary"),
        ("Patientage", "is no field of the DICOM dictionary"),
        ("KVP", "no image has the DICOM header field KVP"),
    ],
)
def test_other_header_fields_are_refused(series, field, message):
    with pytest.raises(UsageError, match=message):
        ImageDataset.open(series, keep_columns=f"dicom:{field}")


def test_wrong_columns_are_refused(table, series):
    for rules, message in (
        ({"keep_columns": "agee"}, "no column in .* named 'agee'"),
        ({"keep_columns": "patient"}, "'patient' is that of each image's patient"),
        ({"columns": "patient=dicom:PatientID"}, "by --patients dicom"),
        ({"columns": "age=Age at exam"}, "role of a column"),
    ):
        with pytest.raises(UsageError, match=message):
            ImageDataset.open(table, **rules)
    with pytest.raises(UsageError, match="is not a table, and has no column 'age'"):
        ImageDataset.open(series, keep_columns="age")


def test_rows_of_an_image_must_agree_and_values_be_spelled_in_one_way(table):
    text = table.read_text()
    table.write_text(f"{text}\n0.png,a,62,F")
    ImageDataset.open(table, keep_columns="sex")
    with pytest.raises(UsageError, match=r"row 2: Age at exam '61\.5' and '62'"):
        ImageDataset.open(table, keep_columns="Age at exam")
    table.write_text(text.replace("7,M", "7,m"))
    with pytest.raises(UsageError, match="whose sex is spelled in two ways"):
        ImageDataset.open(table, keep_columns="sex")


def test_an_external_set_may_lack_a_column(table, series):
    rules = OpeningRules.of(keep_columns="age,sex", columns={"age": "dicom:PatientAge"})
    others = as_images(table, rules=rules.for_external("clinic", columns="age=Age at exam"))
    assert others.columns["age"].tolist() == ["61.5", "", "40", "7"]
    inherited = as_images(table, rules=rules.for_external("clinic"))
    assert [*inherited.columns] == ["sex"]
    headers = as_images(series, rules=rules.for_external("clinic"))
    assert [*headers.columns] == ["age"]
