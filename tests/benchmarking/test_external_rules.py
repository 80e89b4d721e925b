"""External sets with other names of files and labels than the main set."""

import shlex

import numpy as np
import pytest
from PIL import Image

import featx
from featx.benchmarking.benchmark import open_sets
from featx.errors import UsageError

RULE = r"(p\d+)_"


@pytest.fixture
def clinic(tmp_path, generator):
    """A folder of other classes, whose names say nothing of patients."""
    root = tmp_path / "clinic"
    for label, level in (("COVID-19", 90), ("No_finding", 0), ("Rib fracture", 30)):
        (root / label).mkdir(parents=True)
        for number in range(6):
            pixels = generator.integers(level, level + 120, (32, 32)).astype(np.uint8)
            Image.fromarray(pixels).save(root / label / f"CR.{label[:2]}{number:02}.png")
    return root


def test_messages_lead_to_a_run_with_an_external_set_of_other_names(
    image_folder, clinic, tmp_path, run_featx
):
    command = ["benchmark", image_folder, "--patients", RULE, "--external", f"clinic={clinic}"]
    command += ["--classifiers", "naive_bayes", "--no-controls", "--no-learning-curve"]
    command += ["--views", "1", "--out", tmp_path / "results", "--cache", tmp_path / "cache"]
    code, _, message = run_featx(*command)
    assert code == 2
    assert "'COVID-19', 'No_finding', 'Rib fracture'; the classes here are NORMAL, PNE" in message
    assert "--external-labels clinic=COVID-19:CLASS,No_finding:CLASS,Rib fracture:CLASS" in message
    labels = "clinic=COVID-19:PNEUMONIA,No_finding:NORMAL,Rib fracture:"
    command += ["--external-labels", labels]
    code, _, message = run_featx(*command)
    assert code == 2
    assert "does not fit 12 of 12 images, 'COVID-19/CR.CO00.png' for one" in message
    assert "--external-patients clinic=REGEX (--external-patients clinic=none if" in message
    assert run_featx(*command, "--external-patients", r"clinic=(CR\.\w+)")[0] == 0
    table = featx.BenchmarkTable.load(tmp_path / "results")
    assert table[0].externals["clinic"].n == 12
    settings = table.run["settings"]
    assert settings["external_labels"]["clinic"]["Rib fracture"] == ""
    assert shlex.quote(settings["external_patients"]["clinic"]) == r"'(CR\.\w+)'"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"external_patients": {"other": "none"}}, "there is no external set 'other'"),
        ({"external_labels": {"other": "a:b"}}, "there is no external set 'other'"),
        ({"external_labels": {"clinic": {"Covid": "NORMAL"}}}, "has no label 'Covid' to rename"),
    ],
)
def test_wrong_rules_are_refused(image_folder, clinic, settings, message):
    with pytest.raises(UsageError, match=message):
        featx.benchmark(image_folder, patients=RULE, externals={"clinic": clinic}, **settings)


def test_a_table_of_another_hospital_is_opened_by_what_its_message_proposes(
    image_folder, clinic, tmp_path
):
    files = sorted(clinic.rglob("CR.[CN]*.png"))
    rows = [
        f"{path.name},{('PNEUMONIA', 'NORMAL')['No' in path.name]},{path.stem}" for path in files
    ]
    table = tmp_path / "clinic.csv"
    table.write_text("\n".join(["Filename,Finding,PatientID", *rows, "gone.png,NORMAL,x"]))
    settings = {"patients": RULE, "externals": {"clinic": table}}
    with pytest.raises(UsageError) as raised:
        featx.benchmark(image_folder, **settings)
    lines = str(raised.value).splitlines()
    options = shlex.split(next(line for line in lines if line.startswith("  --")))
    columns = "clinic=path=Filename,label=Finding,patient=PatientID"
    assert options == [
        *("--external-columns", columns, "--external-root", f"clinic={clinic}"),
        "--skip-problems",
    ]
    given = eval(f"dict({lines[-1].removeprefix('In Python: ')})")
    config = featx.BenchmarkConfig(patients=RULE, **given)
    _, others = open_sets(image_folder, {"clinic": table}, config, None)
    assert others["clinic"].patients.tolist() == [path.stem for path in files]
    assert str(clinic) not in str(config.to_dict())


def test_a_tables_own_columns_come_before_the_rules_of_the_main_set(image_folder, tmp_path):
    rows = [f"NORMAL/p{i:02}_0.png,NORMAL,x{i}" for i in range(3)]
    rows += [f"PNEUMONIA/p{i:02}_0.png,PNEUMONIA,y{i}" for i in range(6, 9)]
    table = image_folder / "list.csv"
    table.write_text("\n".join(["path,label,patient", *rows]))
    config = featx.BenchmarkConfig(patients=RULE, columns="path=File", external_patients={})
    main_table = tmp_path / "main.csv"
    lines = [f"{path},{path.parent.name}" for path in sorted(image_folder.rglob("*.png"))]
    main_table.write_text("\n".join(["File,label", *lines]))
    images, others = open_sets(main_table, {"clinic": table}, config, None)
    assert set(images.patients) == {f"p{i:02}" for i in range(12)}
    assert others["clinic"].patients.tolist() == ["x0", "x1", "x2", "y6", "y7", "y8"]
    unknown = config.with_settings(external_patients={"clinic": "none"})
    folder = {"clinic": image_folder}
    assert not open_sets(main_table, folder, unknown, None)[1]["clinic"].patients_known


def test_a_set_that_cannot_be_used_leaves_the_others(image_folder, clinic, tmp_path, caplog):
    settings = {"patients": RULE, "externals": {"clinic": clinic, "gone": tmp_path / "gone"}}
    with pytest.raises(UsageError, match=r"(?s)'COVID-19'.*gone does not exist"):
        open_sets(image_folder, settings["externals"], featx.BenchmarkConfig(patients=RULE), None)
    config = {"external_classes": {"clinic": "COVID-19:PNEUMONIA,No_finding:NORMAL,Rib fracture:"}}
    table = featx.benchmark(
        image_folder,
        classifiers="naive_bayes",
        config={**config, "external_patients": {"clinic": "none"}},
        **settings,
        views=1,
        controls=False,
        learning_curve=False,
    )
    assert [*table[0].externals] == ["clinic"]
    assert "The external set gone cannot be used and is left out" in caplog.text
    assert any("were left out: gone." in note.text for note in table.notes)
