import json

import pytest

from featx.reporting.page import PAGE
from tests.reporting.conftest import Folder


@pytest.fixture
def results(tmp_path):
    folder = Folder(tmp_path / "results")
    folder.add("resnet50", "svm")
    return folder.write()


def test_report_makes_the_page_again(results, run_featx):
    code, text, _ = run_featx("report", results)
    assert code == 0 and str(results / PAGE) in text
    first = (results / PAGE).read_bytes()
    code, text, _ = run_featx("report", results, "--out", results / "other.html", "--json")
    assert code == 0
    assert json.loads(text) == {"page": str(results / "other.html"), "bytes": len(first)}
    assert (results / "other.html").read_bytes() == first


def test_compare_prints_the_table_and_its_notes_or_json(results, run_featx):
    code, text, error = run_featx("compare", results, results)
    assert code == 0 and "resnet50" in text and "Paired tests" in text
    assert "test: 100 images (50 NORMAL, 50 PNEUMONIA)" in error.splitlines()[1]
    code, text, _ = run_featx("compare", results, results, "--json")
    assert code == 0
    assert json.loads(text)["rows"][0]["differences"]["auc"]["value"] == 0


def test_plan_reads_a_pilot_or_options(results, run_featx):
    wanted = ("plan", "--width", 0.05, "--json")
    code, text, _ = run_featx(*wanted, "--pilot", results)
    plan = json.loads(text)
    (row,) = json.loads((results / "results.json").read_text())
    assert code == 0 and plan["expected"] == pytest.approx(row["auc"])
    assert plan["images_per_patient"] == 2 and plan["images"] == 2 * plan["patients"] > 120
    code, other, _ = run_featx(*wanted, "--pilot", results, "--metric", "specificity")
    assert code == 0 and json.loads(other)["expected"] == pytest.approx(row["specificity"])
    code, text, _ = run_featx("plan", "--expected", 0.9, "--prevalence", 0.3, "--width", 0.06)
    assert code == 0 and text.startswith("470 patients with 470 images, 141 of them positive")


def test_plan_refuses_what_is_not_known(results, run_featx):
    code, _, error = run_featx("plan", "--width", 0.06, "--expected", 0.9)
    assert code == 2 and "prevalence is not known" in error
    code, _, error = run_featx("plan", "--width", 0.06, "--pilot", results, "--row", "nets")
    assert code == 2 and "resnet50-svm" in error
    for file in (results / "scores").iterdir():
        file.unlink()
    code, _, error = run_featx("plan", "--width", 0.06, "--pilot", results)
    assert code == 2 and "has no predictions of its own" in error
