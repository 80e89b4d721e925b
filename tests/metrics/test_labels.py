"""Labels, scores and patients are checked before they are cast."""

import numpy as np
import pandas as pd
import pytest

import featx
from featx.classifiers.predictions import Predictions
from featx.classifiers.view_averaging import ViewAveraging
from featx.datasets.splitting import hold_out, patient_folds
from featx.errors import UsageError
from featx.metrics.curves import precision_recall_curve, roc_curve
from featx.metrics.decision import net_benefit, net_benefit_of_treating_all
from featx.metrics.intervals import proportion_interval
from featx.metrics.operating_point import OperatingPoint
from featx.metrics.paired_tests import delong_test, mcnemar_test, paired_tests
from featx.metrics.ranking import auc_interval, macro_auc_interval
from featx.metrics.reliability import calibration_fit, calibration_gaps
from featx.metrics.scores import evaluate

Y = np.array([0, 0, 0, 1, 1, 1])
P = np.array([0.1, 0.4, 0.2, 0.3, 0.8, 0.9])
TABLE = np.column_stack([1 - P, P])
CLASSES = ("NORMAL", "PNEUMONIA")
ONES = np.ones((1, 6))

# Each takes labels and patients, and calls one function.
OF_LABELS = {
    "auc_interval": lambda y: auc_interval(y, P),
    "macro_auc_interval": lambda y: macro_auc_interval(y, TABLE),
    "delong_test": lambda y: delong_test(y, P, -P),
    "paired_tests": lambda y: paired_tests(y, TABLE, TABLE[:, ::-1], Y, Y),
    "evaluate": lambda y: evaluate(y, TABLE, class_names=CLASSES, n_bootstrap=20),
    "roc_curve": lambda y: roc_curve(y, P, n_bootstrap=20),
    "precision_recall_curve": lambda y: precision_recall_curve(y, P, n_bootstrap=20),
    "net_benefit": lambda y: net_benefit(y, P, [0.3]),
    "net_benefit_of_treating_all": lambda y: net_benefit_of_treating_all(y, [0.3]),
    "proportion_interval": lambda y: proportion_interval(y),
    "threshold": lambda y: OperatingPoint.parse("youden").threshold(y, P),
    "calibration_fit": lambda y: calibration_fit(y, P, ONES),
    "calibration_gaps": lambda y: calibration_gaps(y, P, ONES),
}

OF_PATIENTS = {
    "auc_interval": lambda g: auc_interval(Y, P, patients=g),
    "delong_test": lambda g: delong_test(Y, P, -P, patients=g),
    "mcnemar_test": lambda g: mcnemar_test(Y, Y, 1 - Y, patients=g),
    "evaluate": lambda g: evaluate(Y, TABLE, class_names=CLASSES, patients=g, n_bootstrap=20),
    "roc_curve": lambda g: roc_curve(Y, P, g, n_bootstrap=20),
    "proportion_interval": lambda g: proportion_interval(Y, g),
    "hold_out": lambda g: hold_out(Y, g),
    "patient_folds": lambda g: patient_folds(Y, g, n_splits=2),
    "fit": lambda g: featx.FeatureClassifier("naive_bayes", n_jobs=1, cv=2).fit(
        TABLE, Y, patients=g
    ),
    "ViewAveraging": lambda g: ViewAveraging(
        featx.FeatureClassifier("naive_bayes", n_jobs=1, cv=2)
    ).fit(TABLE, Y, patients=g),
    "Predictions": lambda g: Predictions(list("abcdef"), CLASSES, TABLE, Y, g),
}


@pytest.mark.parametrize(
    "labels",
    [
        Y + 1,
        2 * Y - 1,
        np.array(CLASSES)[Y],
        np.where(Y, 0.5, 0.0),
        np.where(Y, 1.0, np.nan),
        pd.Series([0, 0, 0, 1, 1, None], dtype="Int64"),
        [0, 0, 0, 1, 1, None],
    ],
    ids=["1/2", "-1/1", "names", "0.5", "NaN", "NA", "None"],
)
@pytest.mark.parametrize("function", OF_LABELS)
def test_labels_other_than_0_and_1_are_refused(function, labels):
    with pytest.raises(UsageError, match=r"must be|are missing in"):
        OF_LABELS[function](labels)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float64, object, "Int64", "boolean"])
@pytest.mark.parametrize("function", OF_LABELS)
def test_labels_of_every_type_give_the_same(function, dtype):
    found, expected = (OF_LABELS[function](y) for y in (pd.Series(Y, dtype=dtype), Y == 1))
    assert repr(found) == repr(expected) or np.array_equal(found.y, expected.y)


@pytest.mark.parametrize(
    "patients",
    [
        [1.0, 2.0, 3.0, np.nan, np.nan, 6.0],
        ["p1", "p2", "p3", np.nan, "p5", "p6"],
        np.array(["p1", "p2", "p3", None, "p5", "p6"], dtype=object),
        pd.Series(["p1", "p2", "p3", pd.NA, "p5", "p6"], dtype="string"),
        pd.Series([1, 2, 3, None, 5, 6], dtype="Int64"),
        ["p1", "p2", "p3", "", "p5", "p6"],
    ],
    ids=["NaN", "NaN among text", "None", "NA", "NA among numbers", "empty"],
)
@pytest.mark.parametrize("function", OF_PATIENTS)
def test_missing_patients_are_refused_by_one_message(function, patients):
    with pytest.raises(UsageError, match=r"patients are missing in . of 6 rows, row 3 for"):
        OF_PATIENTS[function](patients)


@pytest.mark.parametrize("function", OF_PATIENTS)
def test_patients_of_another_length_or_of_mixed_types_are_refused(function):
    with pytest.raises(UsageError, match=r"patients of shape \(3,\) for 6 rows"):
        OF_PATIENTS[function](["a", "b", "c"])
    with pytest.raises(UsageError, match="partly text"):
        OF_PATIENTS[function]([1, "1", 2, "2", 3, 4])


@pytest.mark.parametrize(
    "labels", [[0, 1, 1], np.array(CLASSES)[Y], [0, 0, 0, 1, 1, np.nan]], ids=str
)
def test_mcnemar_compares_like_with_like(labels):
    with pytest.raises(UsageError, match=r"names of classes|for 3 rows|missing in 1"):
        mcnemar_test(labels, Y, 1 - Y)


@pytest.mark.parametrize("function", ["auc_interval", "delong_test", "roc_curve", "net_benefit"])
def test_scores_that_are_nan_or_of_another_length_are_refused(function):
    scores = np.where(P > 0.8, np.nan, P)
    calls = {
        "auc_interval": lambda s: auc_interval(Y, s),
        "delong_test": lambda s: delong_test(Y, s, P),
        "roc_curve": lambda s: roc_curve(Y, s, n_bootstrap=20),
        "net_benefit": lambda s: net_benefit(Y, s, [0.3]),
    }
    with pytest.raises(UsageError, match="scores are NaN for 1 of 6 images, number 5"):
        calls[function](scores)
    with pytest.raises(UsageError, match="for 6 labels; give one per image"):
        calls[function](P[:3])
    if function != "delong_test":
        with pytest.raises(UsageError, match=r"scores of shape \(6, 2\) for 6 labels"):
            calls[function](np.column_stack([1 - P, P]))


@pytest.mark.parametrize(
    "y",
    [
        np.where(Y, 1.0, np.nan),
        np.array(["N", "N", "N", "P", "P", None], dtype=object),
        pd.Series(["N", "N", "N", "P", "P", pd.NA], dtype="string"),
        ["N", "N", "N", "P", "P", np.nan],
        [0.0, 0.0, 0.5, 0.5, 1.0, 1.0],
        Y[:5],
    ],
    ids=["NaN", "None", "NA", "NaN among text", "0.5", "length"],
)
@pytest.mark.parametrize("of", ["fit", "views"])
def test_classifiers_refuse_labels_that_are_missing_or_no_classes(of, y):
    model = featx.FeatureClassifier("naive_bayes", n_jobs=1, cv=2)
    with pytest.raises(ValueError, match=r"missing|NaN|Unknown label type|inconsistent|of shape"):
        (model if of == "fit" else ViewAveraging(model)).fit(TABLE, y)


@pytest.mark.parametrize("labels", [[0, 0.5, 1, 1, 0, 0], [0, 2, 1, 1, 0, 0], np.array(CLASSES)[Y]])
def test_predictions_refuse_labels_that_are_no_indices(labels):
    with pytest.raises(UsageError, match=r"labels are .* must be"):
        Predictions(list("abcdef"), CLASSES, TABLE, labels)
