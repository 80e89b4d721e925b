from __future__ import annotations

import numpy as np
import pytest

from featx.classifiers.predictions import Predictions
from featx.errors import FeatxError, UsageError

PROBABILITIES = np.array([[0.1, 0.9], [1 / 3, 2 / 3]])
NAMES = ("ä\udcff, b.png", 'quote".png')


def same(one: Predictions, other: Predictions) -> bool:
    for name, value in vars(one).items():
        np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)
    return True


@pytest.mark.parametrize("decided", [False, True])
def test_labeled_predictions_are_read_as_written(tmp_path, decided):
    patients = ["p, 1", "ü\udcff"]
    one = Predictions(NAMES, ["no", "yes"], PROBABILITIES, [1, 0], patients)
    if decided:
        one = Predictions(**{**vars(one), "predicted": [0, 1], "unreadable": [("c", "broken")]})
    one.to_csv(tmp_path / "p.csv")
    assert same(one, Predictions.from_csv(tmp_path / "p.csv"))


def test_unlabeled_predictions_are_read_as_written(tmp_path):
    reason = "truncated, at byte 3"
    one = Predictions(NAMES, ["no", "yes"], PROBABILITIES, unreadable=[("c.png", reason)])
    with pytest.raises(UsageError, match="decide"):
        one.to_csv(tmp_path / "p.csv")
    decided = one.decide(0.8)
    decided.to_csv(tmp_path / "p.csv")
    again = Predictions.from_csv(tmp_path / "p.csv")
    assert again.threshold is None  # the file holds classes, not the threshold
    assert again.predicted.tolist() == [1, 0]
    assert again.unreadable == (("c.png", reason),)
    assert not again.labeled


OLD = {
    "scores before patients": "path,label,probability_no,probability_yes\na,yes,0.6,0.4\n",
    "scores": "path,label,patient,probability_no,probability_yes\na,yes,p7,0.6,0.4\n",
    "featx predict": (
        "path,probability_no,probability_yes,label,problem\na,0.6,0.4,yes,\nb,,,,is empty\n"
    ),
}


@pytest.mark.parametrize("version", OLD)
def test_files_of_old_versions_are_read(tmp_path, version):
    (tmp_path / "old.csv").write_text(OLD[version])
    found = Predictions.from_csv(tmp_path / "old.csv")
    assert found.names == ("a",)
    assert found.class_names == ("no", "yes")
    assert found.probabilities.tolist() == [[0.6, 0.4]]
    predicted = version == "featx predict"
    assert found.labels.tolist() == [-1 if predicted else 1]
    assert found.predicted is None if not predicted else found.predicted.tolist() == [1]
    assert found.unreadable == ((("b", "is empty"),) if predicted else ())
    assert found.patients is None if version != "scores" else found.patients.tolist() == ["p7"]


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "path,label,probability_a\nx,z,1\n"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "p.csv").write_text(content)
    with pytest.raises(FeatxError, match=r"p\.csv"):
        Predictions.from_csv(tmp_path / "p.csv")
    with pytest.raises(UsageError, match="no file"):
        Predictions.from_csv(tmp_path / "absent.csv")


def test_pairs_are_matched_by_name():
    first = Predictions("abc", ["no", "yes"], np.eye(3)[:, :2], [0, 1, 0])
    second = Predictions("dca", ["no", "yes"], np.eye(3)[:, 1:], [1, 0, 0])
    here, there = first.paired_with(second)
    assert here.names == there.names == ("a", "c")
    assert there.probabilities.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"class_names": ["yes", "no"]}, "classes are no, yes and yes, no"),
        ({"labels": [0, 1, 1]}, "label of c is no and yes"),
        ({"labels": [0, 1, -1]}, "label of c is no and unknown"),
        ({"patients": ["p", "q", "other"]}, "patient of c is r and other"),
        ({"names": "abb"}, "an image occurs twice"),
    ],
)
def test_predictions_that_contradict_each_other_are_not_paired(changes, words):
    given = {
        "names": "abc",
        "class_names": ["no", "yes"],
        "probabilities": np.eye(3)[:, :2],
        "labels": [0, 1, 0],
        "patients": ["p", "q", "r"],
    }
    first = Predictions(**given)
    assert first.difference_from(first.select([2, 0, 1])) == ""
    with pytest.raises(UsageError, match=words):
        first.paired_with(Predictions(**{**given, **changes}))


def test_unlabeled_images_cannot_be_scored():
    with pytest.raises(UsageError, match=r"2 of 2 images is unknown"):
        Predictions(NAMES, ["no", "yes"], PROBABILITIES).score()
