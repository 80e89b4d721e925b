"""Figures of subgroups: in a benchmark, on its page, by `evaluate`, and beside external sets."""

import csv
from dataclasses import replace

import numpy as np
import pytest

import featx
from featx.benchmarking.benchmark import benchmark
from featx.errors import UsageError
from featx.reporting.results_folder import read_results
from tests.benchmarking.conftest import draw
from tests.images.dicom_files import make_dicom

FAST = {"classifiers": ["logistic"], "views": 1, "controls": False, "learning_curve": False}
FAST |= {"cv": 3, "n_jobs": 1, "test_size": 0.6}


def drawn(n=240, random_state=0, **settings):
    """Images whose site is of the patient, and whose view is not."""
    images = draw(n=n, random_state=random_state, **settings)
    site = np.array(["north", "south"])[np.arange(n) // 8 % 2]
    age = np.where(np.arange(n) % 20 == 0, "", (20 + np.arange(n) % 60).astype(str))
    view = np.array(["PA", "AP"])[np.arange(n) % 2]
    return replace(images, columns={"site": site, "age": age, "view": view})


@pytest.mark.usefixtures("quick")
def test_each_row_is_divided_and_found_again(tmp_path, caplog, monkeypatch):
    images = drawn(signal=20)
    bare = replace(draw(random_state=2), columns={"site": np.array(["west"] * 120)})
    settings = {**FAST, "externals": {"clinic": bare}, "out": tmp_path}
    settings |= {"subgroups": "site,view,age:40,60"}
    table = benchmark(images, **settings)
    (row,) = table
    names = [(each.column, each.group) for each in row.scores.subgroups]
    assert names == [
        *(("site", name) for name in ("north", "south")),
        *(("view", name) for name in ("AP", "PA")),
        *(("age", name) for name in ("under 40", "40 to under 60", "60 and over", "missing")),
    ]
    saved = featx.BenchmarkTable.load(tmp_path).predictions[""][row.name].decide(row.threshold)
    south = images.columns_of(saved.names)["site"] == "south"
    found = next(each for each in row.scores.subgroups if each.group == "south")
    alone = saved.select(np.flatnonzero(south)).score()
    assert found.scores.metrics == alone.metrics and found.scores.n == south.sum()
    assert [s.group for s in row.externals["clinic"].subgroups] == ["west"]
    assert "clinic has no such subgroups: the images have no column 'view'" in caplog.text
    kinds = {note.kind: note.text for note in table.notes}
    assert "age: bands begin at 40, 60" in kinds["subgroups"]
    assert "missing. They are not tested" in kinds["small-subgroups"]
    page = (tmp_path / "report.html").read_text()
    assert "By site on clinic" in page and "40 to under 60" in page and "less " in page
    assert list(read_results(tmp_path).rows) == list(table)
    monkeypatch.setattr("featx.classifiers.predictions.subgroup_scores", None)
    assert list(benchmark(images, **settings)) == list(table)
    with pytest.raises(TypeError):
        benchmark(images, **settings | {"subgroups": "age"})
    # Stored figures of another format are not read; rows are.
    monkeypatch.setattr("featx.benchmarking.divided._FORMAT", 2)
    monkeypatch.setattr("featx.classifiers.fitting.fit_rows", None)
    with pytest.raises(TypeError):
        benchmark(images, **settings)
    pytest.importorskip("matplotlib")
    monkeypatch.undo()
    featx.figures(tmp_path)
    with (tmp_path / "figures" / "subgroups-site.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["figure"] == "auc"]
    values = [s.scores.metrics["auc"].value for s in row.scores.subgroups[:2]]
    assert [float(line["value"]) for line in lines] == values
    assert (tmp_path / "figures" / "subgroups-site-clinic.pdf").is_file()


@pytest.mark.usefixtures("quick")
def test_a_saved_model_is_evaluated_by_group(tmp_path):
    images = drawn()
    (row,) = benchmark(images, **FAST, out=tmp_path)
    assert row.scores.subgroups == ()
    model = tmp_path / "models" / f"{row.name}.skops"
    scores = featx.evaluate(model, drawn(random_state=3), subgroups=["site", "age"])
    assert {s.column for s in scores.subgroups} == {"site", "age"} and scores.n == 240
    ages = [each.group for each in scores.subgroups if each.column == "age"]
    assert ages == ["18 to under 40", "40 to under 65", "65 and over", "missing"]
    with pytest.raises(UsageError, match="no column 'sex' to divide them by"):
        featx.evaluate(model, images, subgroups="sex")


@pytest.mark.usefixtures("quick")
def test_dicom_fields_divide_images_and_rows_of_cnns(tmp_path, trained):
    for number, image in enumerate(draw(n=80, signal=20).sources):
        folder = tmp_path / "series" / ("ill", "well")[number // 2 % 2]
        folder.mkdir(parents=True, exist_ok=True)
        fields = {"ViewPosition": ("PA", "AP")[number // 4 % 2], "PatientAge": f"{number:03d}Y"}
        content = make_dicom(image.astype(np.uint16) * 16, PatientID=f"p{number // 2}", **fields)
        (folder / f"{number}.dcm").write_bytes(content)

    trained(lambda images: np.tile([0.4, 0.6], (len(images), 1)), validation_auc=0.5)
    settings = {"subgroups": "dicom:ViewPosition,age", "columns": "age=dicom:PatientAge"}
    settings |= {"patients": "dicom", "hash_patients": "a secret of the study"}
    name = "finetuned:efficientnet_lite0"
    frozen, cnn = benchmark(
        tmp_path / "series", **FAST, **settings, baselines=name, out=tmp_path / "out"
    )
    for row in (frozen, cnn):
        sizes = {(each.column, each.group): each.scores.n for each in row.scores.subgroups}
        views = [n for (column, _), n in sizes.items() if column == "dicom:ViewPosition"]
        assert len(views) == 2 and sum(views) == row.scores.n == 48
        assert ("age", "18 to under 40") in sizes
    assert {s.scores.metrics["sensitivity"].value for s in cnn.scores.subgroups} == {1.0}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "By dicom:ViewPosition" in page


def test_settings_name_the_columns(tmp_path):
    config = featx.BenchmarkConfig(subgroups="sex, age:5,18", covariates="age=number")
    assert config.subgroups == ("sex", "age:5,18") and config.keep_columns == ("age", "sex")
    assert featx.BenchmarkConfig.from_dict(config.to_dict()) == config
    with pytest.raises(UsageError, match="no column 'sex'"):
        benchmark(draw(), **FAST, subgroups="sex")
