from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from rich.console import Console

from featx.metrics.comparison import delong_test, holm, mcnemar_test
from featx.report.comparison import compare_runs

from .conftest import Folder


@pytest.fixture
def runs(tmp_path):
    first, second = Folder(tmp_path / "a", random_state=1), Folder(tmp_path / "b", random_state=2)
    for folder, skill in ((first, 0.4), (second, 2.5)):
        folder.add("resnet50", "svm", skill=skill)
        folder.add("vgg16", "svm", skill=1.0)
    first.add("only", "a")
    second.add("only", "b")
    return first, second


def scores_of(folder, number):
    with (folder.root / "scores" / f"{folder.rows[number]['name']}.csv").open() as file:
        return np.array([float(line["probability_PNEUMONIA"]) for line in csv.DictReader(file)])


def test_differences_are_tested_on_the_same_images(runs):
    first, second = runs
    comparison = compare_runs(first.write(), second.write(settings={"random_state": 1, "views": 4}))
    assert [pair.label for pair in comparison.pairs] == ["resnet50, svm", "vgg16, svm"]
    assert comparison.only_first == ["only, a"] and comparison.only_second == ["only, b"]
    assert comparison.settings == {"random_state": (0, 1)}
    owners = first.patients
    tests = [
        delong_test(first.labels, scores_of(second, i), scores_of(first, i), patients=owners)
        for i in range(2)
    ]
    corrected = holm([test.p_value for test in tests])
    for pair, test, p_value in zip(comparison.pairs, tests, corrected, strict=True):
        assert pair.same_images
        assert pair.figures["auc"].difference == pytest.approx(test.difference)
        assert pair.figures["auc"].p_value == pytest.approx(p_value)
    assert comparison.pairs[0].figures["auc"].verdict == "better"
    called = [scores_of(folder, 0) >= 0.4 for folder in (second, first)]
    expected = mcnemar_test(first.labels, *called, patients=owners)
    assert comparison.pairs[0].figures["accuracy"].difference == pytest.approx(expected.difference)


def test_the_order_of_images_does_not_matter(runs):
    first, second = runs
    before = compare_runs(first.write(), second.write())
    for row in second.rows:
        path = second.root / "scores" / f"{row['name']}.csv"
        header, *lines = path.read_text().splitlines()
        path.write_text("\n".join([header, *reversed(lines)]) + "\n")
    assert compare_runs(first.root, second.root).to_dict() == before.to_dict()


@pytest.mark.parametrize("change", ["name", "label", "gone"])
def test_other_images_are_not_tested(runs, change):
    first, second = runs
    roots = first.write(), second.write()
    path = second.root / "scores" / f"{second.rows[0]['name']}.csv"
    lines = path.read_text().splitlines()
    if change == "name":
        lines[1] = "other" + lines[1]
    elif change == "label":
        lines[1] = lines[1].replace(",NORMAL,", ",PNEUMONIA,")
    path.write_text("\n".join(lines) + "\n")
    if change == "gone":
        path.unlink()
    comparison = compare_runs(*roots)
    changed, same = comparison.pairs
    assert (changed.same_images, same.same_images) == (False, True)
    assert changed.figures["auc"].verdict == "not tested"
    difference = second.rows[0]["auc"] - first.rows[0]["auc"]
    assert changed.figures["auc"].difference == pytest.approx(difference)
    assert any(note.startswith("Not tested") for note in comparison.notes())


def test_it_can_be_read(runs):
    first, second = runs
    comparison = compare_runs(first.write(), second.write())
    console = Console(width=80, file=io.StringIO())
    console.print(comparison.to_terminal())
    text = console.file.getvalue()
    for words in ("resnet50", "better", f"{first.rows[0]['auc']:.3f}"):
        assert words in text
    header, rule, *lines = comparison.to_markdown().splitlines()[:4]
    assert {line.count("|") for line in (header, rule, *lines)} == {10}
    json.dumps(comparison.to_dict())
    assert "resnet50, svm" in comparison.to_html()


def test_settings_of_a_run_that_wrote_none_down_are_not_held_against_it(runs):
    first, second = runs
    assert compare_runs(first.write(run=False), second.write()).settings == {}


def test_without_differences_nothing_is_shown(runs):
    root = runs[0].write()
    comparison = compare_runs(root, root)
    assert comparison.names == ("first", "second")
    for pair in comparison.pairs:
        assert pair.figures["auc"].difference == 0
        assert pair.figures["auc"].verdict == "no difference shown"
