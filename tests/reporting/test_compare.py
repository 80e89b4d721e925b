import io
import json

import pytest
from rich.console import Console

from featx import compare
from featx.classifiers.predictions import Predictions
from featx.metrics.paired_tests import delong_test, holm, mcnemar_test

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
    file = folder.root / "scores" / f"{folder.rows[number]['name']}.csv"
    return Predictions.from_csv(file).probabilities[:, 1]


def test_differences_are_tested_on_the_same_images(runs):
    first, second = runs
    comparison = compare(first.write(), second.write(settings={"random_state": 1, "views": 4}))
    assert [row.label for row in comparison.rows] == ["resnet50, svm", "vgg16, svm"]
    assert (comparison.only_first, comparison.only_second) == (("only, a",), ("only, b",))
    assert comparison.settings == {"random_state": (0, 1)}
    patients = first.patients
    tests = [
        delong_test(first.labels, scores_of(second, i), scores_of(first, i), patients=patients)
        for i in range(2)
    ]
    corrected = holm([test.p_value for test in tests])
    for pair, test, p_value in zip(comparison.rows, tests, corrected, strict=True):
        assert pair.same_images
        assert pair.differences["auc"].value == pytest.approx(test.difference)
        assert pair.differences["auc"].p_value == pytest.approx(p_value)
    assert comparison.rows[0].differences["auc"].verdict == "better"
    called = [scores_of(folder, 0) >= 0.4 for folder in (second, first)]
    expected = mcnemar_test(first.labels, *called, patients=patients)
    assert comparison.rows[0].differences["accuracy"].value == pytest.approx(expected.difference)


def test_the_order_of_images_does_not_matter(runs):
    first, second = runs
    before = compare(first.write(), second.write())
    for row in second.rows:
        path = second.root / "scores" / f"{row['name']}.csv"
        header, *lines = path.read_text().splitlines()
        path.write_text("\n".join([header, *reversed(lines)]) + "\n")
    assert compare(first.root, second.root).to_dict() == before.to_dict()


def rename(folder, path):
    """Change the path of each test image, as the function says."""
    for row in folder.rows:
        file = folder.root / "scores" / f"{row['name']}.csv"
        header, *lines = file.read_text().splitlines()
        file.write_text("\n".join([header, *map(path, lines)]) + "\n")


@pytest.mark.parametrize("older", [0, 1])
def test_folders_around_all_images_that_one_run_leaves_off_make_no_difference(runs, older):
    roots = [folder.write() for folder in runs]
    before = compare(*roots).to_dict()
    rename(runs[1 - older], lambda line: f"chest_xray/{line}")
    assert compare(*roots).to_dict() == before
    # Other folders may be other images.
    rename(runs[older], lambda line: f"elsewhere/{line}")
    assert not any(row.same_images for row in compare(*roots).rows)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("test/NORMAL/000.png", "other.png"), "other.png is in one run alone"),
        ((",NORMAL,", ",PNEUMONIA,"), "label of test/NORMAL/000.png is NORMAL and PNEUMONIA"),
        ((",p0,", ",someone,"), "patient of test/NORMAL/000.png is p0 and someone"),
        (("probability_NORMAL", "probability_HEALTHY"), None),
        (("test/PNEUMONIA/001.png", "test/NORMAL/000.png"), "an image occurs twice"),
        (None, "a run has no predictions"),
    ],
)
def test_what_differs_is_named_and_not_tested(runs, change, reason):
    first, second = runs
    roots = first.write(), second.write()
    path = second.root / "scores" / f"{second.rows[0]['name']}.csv"
    text = path.read_text()
    path.unlink()
    if reason is None:
        text, reason = text.replace(",NORMAL,", ",HEALTHY,"), "NORMAL, PNEUMONIA and HEALTHY"
    if change is not None:
        path.write_text(text.replace(*change, 1))
    comparison = compare(*roots)
    changed, same = comparison.rows
    assert (changed.same_images, same.same_images) == (False, True)
    assert changed.differences["auc"].verdict == "not tested"
    difference = second.rows[0]["auc"] - first.rows[0]["auc"]
    assert changed.differences["auc"].value == pytest.approx(difference)
    assert reason in changed.untested and not same.untested
    assert any("Not tested: resnet50, svm" in n and reason in n for n in comparison.notes())


def test_other_versions_are_named(runs):
    first, second = runs
    comparison = compare(first.write(), second.write(versions={"numpy": "2.1", "featx": "0.1.0"}))
    assert comparison.versions == {"numpy": ("2.0", "2.1")}
    assert "Version of numpy: 2.0 and 2.1." in comparison.notes()


def test_it_is_printed_and_plain(runs):
    first, second = runs
    comparison = compare(first.write(run=False), second.write())
    assert comparison.settings == {}, "the first run stored none"
    console = Console(width=80, file=io.StringIO())
    console.print(comparison.to_terminal())
    for words in ("resnet50", "better", f"{first.rows[0]['auc']:.3f}"):
        assert words in console.file.getvalue()
    assert json.loads(json.dumps(comparison.to_dict()))["notes"] == comparison.notes()
    assert repr(comparison) == "RunComparison(a and b: 2 models in both)"


def test_identical_predictions_have_no_difference_and_no_interval(runs):
    root = runs[0].write()
    comparison = compare(root, root)
    assert comparison.names == ("first", "second")
    for row in comparison.rows:
        for found in row.differences.values():
            assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)
            assert found.verdict == "no difference shown"
