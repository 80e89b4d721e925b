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


def test_report_without_a_benchmark_is_a_usage_error(tmp_path, run_featx):
    code, _, error = run_featx("report", tmp_path)
    assert code == 2 and "featx benchmark --out" in error


def test_compare_prints_the_table_and_its_notes_or_json(results, run_featx):
    code, text, error = run_featx("compare", results, results)
    assert code == 0 and "resnet50" in text and "Paired tests" in text
    assert "test: 100 images (50 NORMAL, 50 PNEUMONIA)" in error.splitlines()[1]
    code, text, _ = run_featx("compare", results, results, "--json")
    assert code == 0
    assert json.loads(text)["rows"][0]["differences"]["auc"]["value"] == 0
