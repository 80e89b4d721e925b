from __future__ import annotations

import json

import pytest

from featx.cli import main
from featx.reporting.page import PAGE
from tests.reporting.conftest import Folder


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


def test_compare_prints_the_table_and_its_notes(results, capsys):
    assert run("compare", results, results) == 0
    printed = capsys.readouterr().out
    assert "resnet50" in printed and "Paired tests" in printed


def test_compare_as_json(results, capsys):
    assert run("compare", results, results, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["rows"][0]["differences"]["auc"]["value"] == 0
