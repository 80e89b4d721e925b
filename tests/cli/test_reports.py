from __future__ import annotations

import json

import pytest

from featx.cli import main
from featx.report.page import PAGE
from tests.report.conftest import Folder


@pytest.fixture
def results(tmp_path):
    folder = Folder(tmp_path / "results")
    folder.add("resnet50", "svm")
    return folder.write()


def run(*words):
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code


def test_report_makes_the_page_again(results, capsys):
    assert run("report", results) == 0
    assert str(results / PAGE) in capsys.readouterr().out
    first = (results / PAGE).read_bytes()
    assert run("report", results, "--out", results / "other.html", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"page": str(results / "other.html"), "bytes": len(first)}
    assert (results / "other.html").read_bytes() == first


def test_report_of_nothing_is_used_wrongly(tmp_path, capsys):
    assert run("report", tmp_path) == 2
    assert "featx benchmark --out" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "begins"), [("c.html", "<!doctype html>"), ("c.md", "| Model |")])
def test_compare_prints_and_writes(results, tmp_path, capsys, name, begins):
    assert run("compare", results, results, "--out", tmp_path / name) == 0
    assert "resnet50" in capsys.readouterr().out
    assert (tmp_path / name).read_text().startswith(begins)


def test_compare_as_json(results, capsys):
    assert run("compare", results, results, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pairs"][0]["figures"]["auc"]["difference"] == 0


def test_compare_writes_no_other_files(results, tmp_path, capsys):
    assert run("compare", results, results, "--out", tmp_path / "c.pdf") == 2
    assert "neither a .html nor a .md file" in capsys.readouterr().err
