from dataclasses import replace

import pytest

from featx.metrics.scores import Scores
from featx.reporting.checklist import fill_checklists
from featx.reporting.records import BenchmarkRow
from featx.reporting.results_folder import Results

FITTED = {"operating_point": "youden", "calibration": "isotonic"}
SVM = BenchmarkRow(
    "svm", "vgg16", "svm", "frozen", Scores({}, 9, threshold=0.4), test_views=8, settings=FITTED
)
KNN = replace(SVM, name="knn", classifier="knn")
ADAPTED = replace(SVM, name="svm-adapted", kind="adapted")
JOINED = replace(SVM, name="joined", backbone="vgg16+resnet50")
CNN = replace(
    SVM,
    name="cnn",
    backbone="ramirez-cnn",
    classifier="trained end to end",
    kind="baseline",
    test_views=1,
    settings={"class_weights": False, "validation_by": "image", "keep": "last"},
)
ENSEMBLE = replace(
    CNN,
    name="ensemble",
    backbone="mabrouk-ensemble",
    settings={
        "class_weights": True,
        "validation_by": "patient",
        "keep": "best",
        "pieces": [{"backbone": "vgg16"}],
    },
)
TRIPOD, CLAIM, STARD = range(3)


def answer(checklist, item, rows, classes=("well", "ill"), **settings):
    run = {"settings": {"operating_point": "youden", **settings}}
    results = Results(rows=rows, run=run, class_names=classes)
    return next(i.answer for i in fill_checklists(results)[checklist].items if i.item == item)


@pytest.mark.parametrize(
    ("item", "rows", "said", "unsaid"),
    [
        ("12b", [SVM], "Nothing is fitted on test images.", "except"),
        ("12b", [SVM, ADAPTED], "except that these rows are fitted on all of them", "images."),
        ("12b", [CNN], "Pixels of ramirez-cnn are scaled", "Features"),
        ("13", [SVM, KNN], "in fitting svm, and not weighted in knn.", "weighted in fitting knn"),
        ("13", [CNN, ENSEMBLE], "fitting mabrouk-ensemble, and not weighted in ramirez-cnn", "svm"),
        ("12f", [CNN], "Not calibrated: ramirez-cnn", "isotonic"),
        ("12g", [SVM, CNN], "Mean of the log-odds of a test image's views", "probability"),
        ("12g", [SVM, CNN], "One view of each test image: ramirez-cnn (baseline).", "vgg16"),
        ("22", [CNN], "network.keras", "skops"),
    ],
)
def test_answers_are_of_the_rows_there_are(item, rows, said, unsaid):
    found = answer(TRIPOD, item, rows)
    assert said in found
    assert unsaid not in found


@pytest.mark.parametrize(
    ("item", "rows", "said"),
    [
        ("27", [SVM], "No row combines several networks."),
        ("27", [JOINED, SVM], "concatenated: vgg16+resnet50."),
        ("27", [ENSEMBLE], "their features combined: mabrouk-ensemble."),
        ("26", [SVM, CNN], "ramirez-cnn: the last epoch; training images held out by image"),
        ("26", [ENSEMBLE], "the epoch that is best on training images held out by patient."),
        ("24", [CNN, ENSEMBLE], "network's weights: mabrouk-ensemble. Trained from random weights"),
        ("27", [], ""),
    ],
)
def test_answers_on_networks(item, rows, said):
    assert said in answer(CLAIM, item, rows)
    assert rows or not answer(CLAIM, item, rows)


@pytest.mark.parametrize(
    ("threshold", "settings", "said"),
    [
        (0.4, {}, "chosen by the rule youden on out-of-fold probabilities of training images"),
        (0.3, {"operating_point": "0.3"}, "is a given probability, 0.3."),
        ((0.6, 0.3, 0.1), {}, "One cutoff per class is chosen out of fold for vgg16, svm."),
        (None, {}, "The most probable class is predicted by vgg16, svm."),
    ],
)
def test_answers_on_the_operating_point(threshold, settings, said):
    row = replace(SVM, scores=Scores({}, 9, threshold=threshold))
    classes = ("well", "ill") if isinstance(threshold, float) else ("a", "b", "c")
    for item in ("13", "15"):
        assert said in answer(TRIPOD, item, [row], classes, **settings)
    if isinstance(threshold, tuple):
        said = "One cutoff per class is chosen on validation images for "
        assert said in answer(TRIPOD, "13", [replace(CNN, scores=row.scores)], classes)
    found = answer(TRIPOD, "12g", [row], classes)
    assert ("one-vs-rest log-odds" in found) == (len(classes) > 2)


def test_stard_has_all_items_and_answers_from_the_record_alone():
    run = {"settings": {"operating_point": "youden"}, "versions": {"featx": "0.1.0"}}
    filled, empty = (
        fill_checklists(Results(rows=rows, run=own, class_names=("well", "ill")))[STARD]
        for rows, own in (([SVM], run), ([], {}))
    )
    items = [each.item for each in filled.items]
    # 40 items, of which 15 has four parts, 16 three, 17, 26 and 40 two.
    assert len(items) == len(set(items)) == 48
    assert {int(item.rstrip("abcd")) for item in items} == set(range(1, 41))
    answers = {each.item: each.answer for each in filled.items}
    assert "featx 0.1.0" in answers["13"] and "vgg16" in answers["30"]
    assert not any(answers[item] for item in ("6", "12", "17a", "25", "32", "39"))
    said = {each.item for each in empty.items if each.answer}
    assert not said & {"4", "13", "15a", "15b", "24", "29", "30"}
