import gzip
import sys
import unicodedata

import pandas
import pyarrow
import pyarrow.parquet
import pytest

from featx.datasets.conversion import as_images
from featx.datasets.dataset import ImageDataset
from featx.datasets.paths import posix
from featx.errors import MissingExtraError, UsageError

TABLE = {
    "path": ["NORMAL/p00_0.png", "PNEUMONIA/p06_0.png", "NORMAL/p01_0.png", "PNEUMONIA/p07_0.png"],
    "label": ["no", "yes", "no", "yes"],
    "patient": [10, 11, 12, 13],
    "split": ["train", "training", "test", "TEST "],
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


@pytest.mark.parametrize("form", ["{}", "./{}", "../xrays/{}", "{root}/{}"])
def test_images_are_named_as_the_table_names_them(image_folder, form):
    files = [path.relative_to(image_folder) for path in sorted(image_folder.rglob("*.png"))]
    given = [form.format(file, root=image_folder) for file in files]
    lines = [f"{path},{file.parent.name}" for path, file in zip(given, files, strict=True)]
    path = write_csv(image_folder, "path,label\n" + "\n".join(lines) + "\n")
    images = ImageDataset.open(path, r"(p\d+)_")
    assert list(images.names) == given
    assert set(images.patients) == {f"p{number:02d}" for number in range(12)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na,b\n", "no column 'path' .it has: file, label"),
        ("path,class\na,b\n", "no column 'label'"),
        ("path,label\nabsent.png,b\n", r"1 whose file is missing: row 2 \(absent.png\)"),
        ("path,label\nNORMAL,no\n,yes\n", "1 without a path: row 3\n .* missing: row 2"),
        ("path,label\n", "lists no image"),
        (
            "path,label,split\nNORMAL/p00_0.png,a,a\nNORMAL/p00_1.png,b,a\n",
            "2 with an unknown split .*'a'",
        ),
        ("path,label\nNORMAL/p00_0.png,a,b\n", r"1 with more cells than the header: row 2 .b."),
        ('path,label\n"NORMAL/p00_0.png,a\n', "a quotation mark without its counterpart"),
        ("path,label,path\na,b,c\n", "more than one column 'path'"),
        ("NORMAL/p00_0.png,a\nNORMAL/p00_1.png,b\n", "first row must name the columns"),
        ("path,label\na\0,b\n", "holds zero bytes"),
        ("Export of 2024,,\npath,label,patient\n", "must name the columns; delete the rows above"),
        (
            "path,label\nNORMAL/p00_0.png,a\n",
            "only the class 'a' by column 'label', and at least two are needed .* Add images",
        ),
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
    with pytest.raises(UsageError, match=r"1 without a patient: row 0"):
        ImageDataset.open(path)
    assert len(ImageDataset.open(path, labeled=False)) == 4


@pytest.mark.parametrize(
    ("patient", "problem"),
    [
        ("1.23457E+11", "whose patient number a spreadsheet has rounded"),
        ('"1,23457E+11"', "whose patient number a spreadsheet has rounded"),
        ("Unknown", "without a patient"),
        ("#REF!", "without a patient"),
        ("...", "without a patient"),
    ],
)
def test_cells_that_name_no_patient(image_folder, patient, problem):
    rows = [f"NORMAL/p0{i}_0.png,{'ab'[i % 2]},{i if i < 2 else patient}" for i in range(4)]
    path = write_rows(image_folder, *rows, header="path,label,patient")
    with pytest.raises(UsageError, match=f"2 {problem}: rows 4, 5"):
        ImageDataset.open(path)


def test_a_missing_pyarrow_is_reported(image_folder, monkeypatch):
    path = write(image_folder / "list.parquet", TABLE)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r'pip install "featx\[parquet\]"'):
        ImageDataset.open(path)


def write_rows(folder, *rows, header="path,label,patient,split"):
    return write_csv(folder, "\n".join([header, *rows]) + "\n")


A, B = "NORMAL/p00_0.png", "PNEUMONIA/p06_0.png"


@pytest.mark.parametrize(
    "content",
    [
        f"path,label\n{A}, no\n{B},yes\u00a0\n,,\n,,\n",
        f"path,label\n\n{A},\u200bno\n\n{B},yes\ufeff\n\n",
        f"sep=;\npath;label\n{A};no\n{B};yes\n",
        f'path;"la\nbel";label\n{A};"1,5\nx";no\n{B};"2,5";yes\n',
        f"path,label\r{A},no\r{B},yes\r",
        f"Unnamed: 0,path,label,\n0,{A},no,\n1,{B},yes,\n",
        "path,label\nNORMAL\\p00_0.png,no\n.\\PNEUMONIA\\p06_0.png,yes\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_what_spreadsheets_write_is_read(image_folder, content, encoding):
    path = image_folder / "list.csv"
    path.write_bytes(content.encode(encoding))
    images = ImageDataset.open(path)
    assert tuple(map(posix, images.names)) == (A, B)
    assert images.y.tolist() == ["no", "yes"]
    assert images.inventory.passed_over == ()
    # Rules for paths search plain ones.
    assert ImageDataset.open(path, labels=r"^(\w+)/").class_names == ("NORMAL", "PNEUMONIA")


@pytest.mark.parametrize("missing", ["", "nan", "NaN", "NA", "N/A", "null", "None", "?", " - "])
def test_a_missing_label_is_a_problem_and_a_missing_split_is_none(image_folder, missing):
    rows = [f"{A},no,1,{missing}", f"{B},yes,2,", f"NORMAL/p01_0.png,{missing},3,"]
    path = write_rows(image_folder, *rows)
    with pytest.raises(UsageError, match="1 without a label: row 4"):
        ImageDataset.open(path)
    images = ImageDataset.open(path, skip_problems=True)
    assert (images.class_names, set(images.splits)) == (("no", "yes"), {""})
    [passed] = images.inventory.passed_over
    assert (passed.reason, passed.count, passed.unit) == ("without a label", 1, "rows")


@pytest.mark.parametrize("column", [1, 2])
@pytest.mark.parametrize(
    ("usual", "other"),
    [
        ("NORMAL", "Normal"),
        ("No Finding", "no_finding"),
        ("Röntgen", "RO\u0308NTGEN"),
        ("12", "12.0"),
        ("7", "007"),
        ("P7", "\u04207"),
    ],
)
def test_values_that_look_alike_are_refused_with_both_spellings(image_folder, column, usual, other):
    rows = [[f"NORMAL/p0{i}_0.png", "a", f"p{i}"] for i in range(3)] + [[B, "yes", "p6"]]
    for row, value in zip(rows, [usual, other, usual], strict=False):
        row[column] = value
    path = write_rows(image_folder, *map(",".join, rows), header="path,label,patient")
    what = ("label", "patient")[column - 1]
    other = unicodedata.normalize("NFC", other)
    with pytest.raises(UsageError, match=f"1 whose {what} is spelled in two ways: row 3 .") as no:
        ImageDataset.open(path)
    assert f"({other!r}, elsewhere {usual!r})" in str(no.value)
    assert len(ImageDataset.open(path, skip_problems=True)) == 3


@pytest.mark.parametrize("again", [A, f"./{A}", "NORMAL/link.png", "NORMAL/../NORMAL/p00_0.png"])
def test_a_file_counts_once_unless_its_rows_contradict(image_folder, again):
    (image_folder / "NORMAL" / "link.png").symlink_to("p00_0.png")
    rows = [f"{A},no,1,", f"{B},yes,2,"]
    images = ImageDataset.open(write_rows(image_folder, *rows, f"{again},no,1,"))
    assert images.names == (A, B)
    assert [each.text for each in images.inventory.passed_over] == [
        "1 row repeating another row: row 4"
    ]
    for other, text in (("yes,1,", "label"), ("no,3,", "patient"), ("no,1,test", "split")):
        path = write_rows(image_folder, *rows, "NORMAL/p01_0.png,no,9,", f"{again},{other}")
        with pytest.raises(UsageError, match=f"2 contradicting .*row 2 .and row 5: {text}"):
            ImageDataset.open(path)
        assert len(ImageDataset.open(path, skip_problems=True)) == 2


def test_all_problems_are_one_error_with_the_rows_of_the_spreadsheet(image_folder):
    rows = [f"{A},no,1,", "gone.png,no,2,", "", f"{B},,3,", "NORMAL/p01_0.png,no,,fold1"]
    path = write_rows(image_folder, *rows, "PNEUMONIA/p07_0.png,yes,7,")
    with pytest.raises(UsageError) as raised:
        ImageDataset.open(path)
    lines = str(raised.value).splitlines()
    assert lines[0].endswith("3 of its 5 rows have problems:")
    assert [line.strip() for line in lines[1:5]] == [
        "1 without a label: row 5",
        "1 with an unknown split (train, val, test or none): row 6 ('fold1')",
        "1 without a patient: row 6",
        "1 whose file is missing: row 3 (gone.png)",
    ]
    assert "--skip-problems" in str(raised.value)
    images = ImageDataset.open(path, skip_problems=True)
    counts = [each.count for each in images.inventory.passed_over]
    assert len(images) + sum(counts) == 5


def test_missing_files_beyond_ten_are_counted(image_folder):
    path = write_rows(image_folder, *(f"{i}.png,no,1," for i in range(30)))
    with pytest.raises(UsageError, match=r"30 whose .*row 11 \(9.png\); and 20 more"):
        ImageDataset.open(path)


@pytest.mark.parametrize("rule", [r"(p\d+)_", "kermany", "dicom"])
def test_patients_given_twice_are_refused(image_folder, rule):
    path = write_rows(image_folder, f"{A},no,1,", f"{B},yes,2,")
    with pytest.raises(UsageError, match="patients are given twice, by its column 'patient'"):
        ImageDataset.open(path, rule)
    if rule.startswith("("):
        images = ImageDataset.open(path, rule, columns={"patient": ""})
        assert images.patients.tolist() == ["p00", "p06"]


def test_blank_patients_are_refused_also_where_labels_come_from_paths(image_folder):
    path = write_rows(image_folder, f"{A},no,1,", f"{B},yes,,")
    with pytest.raises(UsageError, match="1 without a patient"):
        ImageDataset.open(path, labels=r"^(\w+)/")
    assert not ImageDataset.open(path, labeled=False).patients_known


def test_numbers_of_data_frames_are_written_as_they_look(image_folder, monkeypatch):
    monkeypatch.chdir(image_folder)
    frame = pandas.DataFrame({"path": [A, B], "label": [0.0, 1.0], "patient": [2**60 + 1, 7]})
    images = as_images(frame)
    assert images.class_names == ("0", "1")
    assert images.patients.tolist() == [str(2**60 + 1), "7"]


@pytest.mark.parametrize("name", ["list.xlsx", "list.ods", "list.csv"])
def test_spreadsheets_are_refused_with_the_way_out(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(UsageError, match="save it as 'CSV UTF-8'"):
        ImageDataset.open(tmp_path / name)


def test_a_compressed_table_is_read(image_folder):
    path = image_folder / "list.csv.gz"
    path.write_bytes(gzip.compress(f"path,label\n{A},no\n{B},yes\n".encode()))
    assert ImageDataset.open(path).names == (A, B)
