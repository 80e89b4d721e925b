import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from featx import FitConfig
from featx.benchmarking.refits import curve_point, repeated_auc, select_patients
from featx.classifiers.fitting import fit
from featx.metrics.scores import Scores
from featx.reporting.model_card import card_facts
from featx.reporting.records import BenchmarkRow
from tests.classifiers.makers import make_matrix


def make_row(classifier, **chosen):
    scores = Scores({}, 0)
    return BenchmarkRow("x", "x", classifier, "frozen", scores, settings={"chosen": chosen})


def test_proportions_are_nested_and_of_whole_patients(generator):
    labels = np.repeat([0, 1], [60, 20])
    patients = np.array([f"p{i // 2:02d}" for i in range(80)])
    smaller = select_patients(labels, patients, 0.2, random_state=3)
    larger = select_patients(labels, patients, 0.7, random_state=3)
    assert set(smaller) < set(larger)
    assert (np.bincount(labels[smaller]) == [12, 4]).all()
    left_out = np.setdiff1d(np.arange(80), larger)
    assert not set(patients[larger]) & set(patients[left_out])
    assert len(select_patients(labels, patients, 1.0, random_state=3)) == 80
    assert set(select_patients(labels, patients, 0.2, random_state=4)) != set(smaller)


@pytest.mark.parametrize("classes", [2, 3])
def test_more_patients_more_auc(classes):
    matrix = make_matrix(n_images=360, classes=classes, strength=0.6)
    train, test = matrix.select_images(range(240)), matrix.select_images(range(240, 360))
    row = make_row("logistic", C=0.01)
    small, large = (
        curve_point(row, train, test, proportion, FitConfig()) for proportion in (0.15, 1.0)
    )
    assert small["n_patients"] < large["n_patients"] == 120
    assert small["n_images"] == 2 * small["n_patients"]
    assert small["auc"] < large["auc"]
    assert large["auc_low"] < large["auc"] < large["auc_high"]


@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic", "none"])
@pytest.mark.parametrize(("classifier", "classes"), [("naive_bayes", 2), ("svm", 3), ("knn", 3)])
def test_table_curve_and_repeats_rank_one_score(classifier, classes, calibration):
    matrix = make_matrix(n_images=300, classes=classes, strength=0.5)
    train, test = matrix.select_images(range(200)), matrix.select_images(range(200, 300))
    config = FitConfig(classifier=classifier, calibration=calibration, n_jobs=1, random_state=5)
    model = fit(train, config=config)
    row = make_row(classifier, **model.best_params_)
    shown = model.predict_images(test)
    area = roc_auc_score(test.labels, shown if classes > 2 else shown[:, 1], multi_class="ovr")
    assert curve_point(row, train, test, 1.0, config)["auc"] == pytest.approx(area)
    out_of_fold = model.provenance_["auc_out_of_fold"]
    assert repeated_auc(row, train, config) == pytest.approx(out_of_fold)
    assert card_facts(model, train)["out_of_fold"]["auc"] == pytest.approx(out_of_fold)


def test_too_few_patients_give_no_point_and_neighbors_are_limited():
    matrix = make_matrix(n_images=60, classes=2)
    row = make_row("knn", n_neighbors=45)
    assert curve_point(row, matrix, matrix, 0.1, FitConfig()) is None
    assert curve_point(row, matrix, matrix, 0.4, FitConfig())["n_patients"] == 12
