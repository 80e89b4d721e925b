import json
import shlex
from pathlib import Path

import pytest

from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.presets import read_config
from featx.datasets.dataset import ImageDataset
from featx.datasets.rules import OpeningRules
from featx.errors import UsageError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, *rows):
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def proposal(error):
    """Return the options that a message proposes, as a shell reads them."""
    lines = str(error).splitlines()
    return shlex.split(next(line for line in lines if line.startswith("  --")))


def keywords(options):
    """Return options as keyword arguments."""
    found = {}
    for option in options:
        if option.startswith("--"):
            name = option[2:].replace("-", "_")
            found[name] = True
        else:
            found[name] = option
    return found


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("Filename,Finding,PatientID,Set", "path=Filename,label=Finding,patient=PatientID"),
        ("image_path,class,patient,split", "path=image_path,label=class"),
        ("Image,target,Subject ID,Dataset", "path=Image,label=target,patient=Subject ID"),
        ("Wo,Diagnosis,MRN,Fold", "path=Wo,label=Diagnosis,patient=MRN"),
        ('"File, name",Category,pid,subset', "path=File, name,label=Category,patient=pid"),
    ],
)
def test_unusual_columns_are_proposed_and_the_proposal_works(put, header, columns):
    folder = put("a.png", "b.png")
    rows = [header, "a.png,no,1,train", "b.png,yes,2,train"]
    if header.endswith("Fold"):
        # Numbers say nothing of training and test.
        rows = [row.replace("train", "1") for row in rows]
    path = write(folder / "list.csv", *rows)
    with pytest.raises(UsageError, match=r"there is no column '(path|label)'") as raised:
        ImageDataset.open(path)
    rules = keywords(proposal(raised.value))
    assert columns in rules["columns"].replace('"', "")
    images = ImageDataset.open(path, **rules)
    assert images.patients.tolist() == ["1", "2"]
    assert ("split" in rules["columns"]) == header.endswith(("Set", "Dataset", "subset"))
    assert ImageDataset.open(path, columns=OpeningRules.of(**rules).columns).names == images.names


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["scans/a.png", "scans/b.png"], ["a.png", "b.png"]),
        (["scans/A/a.png", "scans/B/b.png"], ["A/a.png", "B/b.png"]),
        (["x/01/a.png", "x/02/b.png"], ["a.png", "b.png"]),
        (["x/01/a.png", "x/02/b.png"], ["a", "b"]),
        (["x/01/a.png", "x/02/b.png"], ["A.PNG", "B.PNG"]),
        (["x/A/1.png", "x/B/1.png"], ["D:\\old\\A\\1.png", "D:\\old\\B\\1.png"]),
        (["x/A/1.png", "x/B/1.png"], ["/mnt/old/A/1.png", "/mnt/old/B/1.png"]),
    ],
)
def test_a_root_is_proposed_where_files_are_below_the_table(put, files, names):
    folder = put(*files)
    path = write(folder / "list.csv", "path,label", f"{names[0]},no", f"{names[1]},yes")
    with pytest.raises(UsageError, match="2 of them are found below") as raised:
        ImageDataset.open(path)
    rules = keywords(proposal(raised.value))
    assert list(rules) == ["root"]
    images = ImageDataset.open(path, **rules)
    assert [source.samefile(file) for source, file in zip(images.sources, files, strict=True)]
    assert images.y.tolist() == ["no", "yes"]


def test_a_file_is_never_guessed_from_a_part_of_its_path(put):
    folder = put("scans/B/1.png", "scans/A/2.png", "scans/C/2.png")
    path = write(folder / "list.csv", "path,label", "A/1.png,no", "2.png,yes", "B/1.png,no")
    with pytest.raises(UsageError) as raised:
        ImageDataset.open(path, root="scans")
    assert "1 whose file is missing: row 2 (A/1.png)" in str(raised.value)
    assert "1 whose file name is found in several folders: row 3 (2.png)" in str(raised.value)


def test_links_to_one_file_are_one_file_loops_end_and_waste_is_not_searched(put):
    folder = put("scans/A/1.png", "scans/A/2.png", "scans/#recycle/2.png")
    (folder / "scans" / "A" / "loop").symlink_to("..")
    (folder / "scans" / "again.png").symlink_to("A/1.png")
    (folder / "scans" / "B").mkdir()
    (folder / "scans" / "B" / "1.png").symlink_to("../A/1.png")
    path = write(folder / "list.csv", "path,label", "1.png,no", "2.png,yes", "again.png,no")
    images = ImageDataset.open(path, root="scans")
    assert images.names == ("1.png", "2.png")
    assert images.inventory.remarks == ("2 files were found by name in folders below the root",)


def test_where_no_file_exists_the_folder_is_asked_for_and_no_row_is_skipped(put):
    path = write(put("a.png") / "list.csv", "path,label", "x.png,no", "y.png,yes")
    with pytest.raises(UsageError, match="give their folder by --root") as raised:
        ImageDataset.open(path)
    assert "skip" not in str(raised.value)
    with pytest.raises(UsageError, match="without problems"):
        ImageDataset.open(path, skip_problems=True)


@pytest.mark.parametrize(
    "numbers",
    [
        "1,0 0,1 1,1 0,0",
        "1.0,0.0 0.0,1.0 1.0, 0.0,0.0",
        '"1,0","0,0" "0,0","1,0" "1,0", "0,0","0,00"',
    ],
)
def test_columns_of_findings_need_a_choice(put, numbers):
    names = [f"{number}.png" for number in range(4)]
    rows = [f"{name},{row}" for name, row in zip(names, numbers.split(), strict=True)]
    path = write(put(*names) / "list.csv", "path,Pneumonia,Effusion", *rows)
    with pytest.raises(UsageError, match="one of: Pneumonia 2, Effusion") as raised:
        ImageDataset.open(path)
    images = ImageDataset.open(path, **keywords(proposal(raised.value)))
    assert images.labels.tolist() == [1, 0, 1, 0]
    assert images.class_names == ("Pneumonia absent", "Pneumonia present")


def test_the_positive_class_of_two_can_be_chosen(put):
    path = write(put("a.png", "b.png") / "list.csv", "path,label", "a.png,Abnormal", "b.png,Normal")
    assert ImageDataset.open(path, positive="Abnormal").labels.tolist() == [1, 0]


@pytest.mark.parametrize("one", ["1", "1.0", "1.000000", "1,0"])
def test_minus_one_is_uncertain_unless_it_is_named(put, one):
    folder = put("a.png", "b.png", "c.png")
    path = write(
        folder / "list.csv", "path,label", f'a.png,"-{one}"', f'b.png,"{one}"', f'c.png,"-{one}"'
    )
    with pytest.raises(UsageError, match="2 of 3 labels are -1"):
        ImageDataset.open(path)
    images = ImageDataset.open(path, rename_labels=f'"-{one}:well","{one}:ill"')
    assert images.y.tolist() == ["well", "ill", "well"]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"columns": "path=Fiel"}, "did you mean 'File'"),
        ({"columns": "file=File"}, "there is no role of a column 'file'"),
        ({"columns": "path"}, "is not NAME=VALUE"),
        ({"columns": "path=File,path=Class"}, "names it twice"),
        ({"labels": "(a)", "positive": "no"}, "labels are given twice"),
        ({"columns": "path=File", "root": "absent"}, "absent is not a folder"),
        ({"columns": "path=File,patient=Empty"}, "the column 'Empty' names no patient"),
    ],
)
def test_wrong_rules_are_refused(put, rules, message):
    path = write(put("a.png") / "list.csv", "File,Class,Empty", "a.png,no,")
    with pytest.raises(UsageError, match=message):
        ImageDataset.open(path, **rules)


@pytest.mark.parametrize(
    "rules", [{"columns": {"path": "a"}}, {"root": "."}, {"positive": "x"}, {"uncertain": "skip"}]
)
def test_rules_of_tables_are_refused_for_folders(image_folder, rules):
    with pytest.raises(UsageError, match="is not a table, and --"):
        ImageDataset.open(image_folder, **rules)


def test_a_config_records_the_rules(tmp_path):
    config = BenchmarkConfig(columns="path=File", root="scans", skip_problems=True)
    assert BenchmarkConfig.from_dict(config.to_dict()) == config
    assert config.opening.columns == {"path": "File"}
    elsewhere = BenchmarkConfig(root=tmp_path).to_dict()
    assert str(tmp_path) not in str(elsewhere)
    with pytest.raises(UsageError, match="give --root"):
        BenchmarkConfig.from_dict(elsewhere)


def hospital(put):
    """Write a table of three sites, as a German Excel exports it, with images elsewhere."""
    rows = []
    for site in "ABC":
        for patient in range(8):
            finding = ("Normal", "Pneumonia")[patient % 2]
            for view in range(2):
                rows.append([f"site{site}/{patient}-{view}.png", finding, f"{site}{patient}"])
    folder = put(*(f"export/scans/{row[0]}" for row in rows))
    rows[3][1], rows[7][1], rows[9][2], rows[20][1] = "?", "", " ", " Normal\u00a0"
    rows.insert(5, ["siteA/lost.png", "Normal", "A9"])
    rows.append(["siteC/gone.png", "Pneumonia", "C9"])
    table = ["Filename;Finding;PatientID;Age", *(";".join([*row, "57"]) for row in rows), ";;;"]
    path = folder / "export" / "list.csv"
    path.write_text("\r\n".join(table), encoding="utf-8-sig")
    return path


def test_two_commands_lead_from_a_hospitals_table_to_a_benchmark(put, run_featx):
    path = hospital(put)
    command = ["benchmark", path.relative_to(path.parents[1]), "--classifiers", "logistic"]
    command += ["--no-controls", "--no-learning-curve", "--views", "1", "--out", "results"]
    command += ["--cache", "cache"]
    code, _, message = run_featx(*command)
    assert code == 2 and "5 of its 50 rows have problems" in message
    options = proposal(message)
    assert options == [
        *("--columns", "path=Filename,label=Finding,patient=PatientID"),
        *("--root", "export/scans", "--skip-problems"),
    ]
    assert run_featx(*command, *options)[0] == 0
    written = read_config("results/run.json")
    assert written["columns"]["patient"] == "PatientID"
    run_again = ["--out", "again", "--config", "results/run.json"]
    assert run_featx(*command[:-4], *command[-2:], *run_again)[0] == 0
    flows = [read_flow(folder) for folder in ("results", "again")]
    assert flows[0] == flows[1]
    assert flows[0][:5] == [
        ("listed in the table", 50, None),
        ("rows without a label, left out", 2, None),
        ("rows without a patient, left out", 1, None),
        ("rows whose file is missing, left out", 2, None),
        ("found in the folder", 45, 24),
    ]
    assert "Rows without a label, left out" in Path("results/report.html").read_text("utf-8")


def read_flow(folder):
    flow = json.loads(Path(folder, "run.json").read_text())["flow"]
    return [(step["step"], step["images"], step["patients"]) for step in flow]
