import json
import math

import numpy as np
import pytest
from sklearn import metrics as reference
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from featx.baselines.diagnosis import diagnose
from featx.errors import UsageError
from featx.metrics.ranking import auc_interval
from featx.metrics.scores import METRICS, Scores, evaluate
from tests.metrics.worked_examples import binormal

NAMES = ("NORMAL", "PNEUMONIA")


def two_way(probability):
    probability = np.asarray(probability, dtype=float)
    return np.column_stack([1 - probability, probability])


def simulated(n=600, images_per_patient=1, within=1.0):
    positive, scores, patients = binormal(
        np.random.default_rng(0), n, 2, images_per_patient, within
    )
    return positive.astype(int), two_way(1 / (1 + np.exp(2 - 2 * scores))), patients


def test_two_classes_agree_with_scikit_learn_and_statsmodels():
    labels, probabilities, _ = simulated()
    scores = evaluate(labels, probabilities, threshold=0.4, class_names=NAMES, n_bootstrap=100)
    positive = probabilities[:, 1]
    called = (positive >= 0.4).astype(int)
    expected = {
        "auc": reference.roc_auc_score(labels, positive),
        "accuracy": reference.accuracy_score(labels, called),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, called),
        "sensitivity": reference.recall_score(labels, called),
        "specificity": reference.recall_score(labels, called, pos_label=0),
        "ppv": reference.precision_score(labels, called),
        "npv": reference.precision_score(labels, called, pos_label=0),
        "f1": reference.f1_score(labels, called),
        "mcc": reference.matthews_corrcoef(labels, called),
        **dict(
            zip(
                ("lr_positive", "lr_negative"),
                reference.class_likelihood_ratios(labels, called),
                strict=True,
            )
        ),
        "average_precision": reference.average_precision_score(labels, positive),
        "brier": reference.brier_score_loss(labels, positive),
    }
    assert {name: scores.metrics[name].value for name in expected} == pytest.approx(expected)
    confusion = reference.confusion_matrix(labels, called)
    assert (scores.confusion == confusion).all()
    for name, correct, among in [
        ("accuracy", confusion.trace(), confusion.sum()),
        ("sensitivity", confusion[1, 1], confusion[1].sum()),
        ("specificity", confusion[0, 0], confusion[0].sum()),
        ("ppv", confusion[1, 1], confusion[:, 1].sum()),
        ("npv", confusion[0, 0], confusion[:, 0].sum()),
    ]:
        bounds = proportion_confint(correct, among, method="wilson")
        assert (scores.metrics[name].low, scores.metrics[name].high) == pytest.approx(bounds), name
    assert scores.metrics["auc"] == auc_interval(labels, positive)
    assert (scores.n, scores.n_patients, scores.threshold) == (600, None, 0.4)
    assert not scores.collapsed
    assert scores.collapse_reason == ""
    assert scores.per_class == {}


def test_every_figure_lies_in_its_interval_and_in_the_row():
    labels, probabilities, patients = simulated(images_per_patient=3, within=0.5)
    scores = evaluate(labels, probabilities, class_names=NAMES, patients=patients)
    assert tuple(scores.metrics) == METRICS
    row = scores.to_row()
    assert list(row)[:4] == ["auc", "auc_low", "auc_high", "accuracy"]
    assert len(row) == 3 * len(METRICS)
    for name in METRICS:
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"], name


def test_the_seed_decides():
    labels, probabilities, _ = simulated(200)
    first, again, other = (
        evaluate(
            labels, probabilities, class_names=NAMES, n_bootstrap=50, random_state=random_state
        ).to_row()
        for random_state in (1, 1, 2)
    )
    assert first == again
    assert first["brier_low"] != other["brier_low"]
    assert first["accuracy_low"] == other["accuracy_low"]


def test_patients_with_several_images_widen_every_interval():
    labels, probabilities, patients = simulated(900, images_per_patient=3, within=0.2)
    naive = evaluate(labels, probabilities, class_names=NAMES, random_state=3).metrics
    honest = evaluate(
        labels, probabilities, class_names=NAMES, patients=patients, random_state=3
    ).metrics
    for name in METRICS:
        assert honest[name].value == pytest.approx(naive[name].value)
        if name == "expected_calibration_error":
            continue  # Its lower bound is 0 either way.
        width = honest[name].high - honest[name].low
        assert width > 1.2 * (naive[name].high - naive[name].low), name


def test_a_collapsed_model_is_named():
    labels = np.repeat([0, 1], [234, 390])
    scores = evaluate(labels, two_way(np.tile(np.linspace(0.6, 0.9, 78), 8)), class_names=NAMES)
    assert scores.collapsed
    assert scores.collapse_reason == "calls every image PNEUMONIA (62.5 % of the images are)"
    assert scores.metrics["accuracy"].value == 0.625
    assert math.isnan(scores.metrics["npv"].value)
    assert scores.metrics["balanced_accuracy"].value == 0.5
    assert scores.metrics["f1"].value == pytest.approx(2 * 390 / (2 * 390 + 234))
    silent = evaluate(labels, two_way(np.full(624, 0.1)), class_names=NAMES)
    assert silent.collapse_reason == "calls every image NORMAL (37.5 % of the images are)"
    assert math.isnan(silent.metrics["ppv"].value)
    assert silent.metrics["f1"].value == 0
    assert 0.4 < silent.metrics["auc"].low < 0.5


@pytest.mark.parametrize(("rank", "off_center"), [(True, True), (False, False)])
@pytest.mark.parametrize("classes", [2, 3])
def test_one_class_by_the_threshold_alone_is_off_center(classes, rank, off_center, generator):
    # Rare classes whose probabilities stay below those of the common one.
    labels = generator.choice(
        classes, size=800, p=[1 - 0.1 * (classes - 1), *[0.1] * (classes - 1)]
    )
    evidence = generator.normal(scale=0.3, size=(800, classes))
    evidence[:, 0] += 3
    evidence[np.arange(800), labels] += 0.3 * rank
    probabilities = np.exp(evidence) / np.exp(evidence).sum(axis=1, keepdims=True)
    names = ("well", "ill", "other")[:classes]
    scores = evaluate(labels, probabilities, class_names=names, n_bootstrap=10)
    assert (scores.confusion[:, 1:] == 0).all()
    ranked = probabilities[:, 1] if classes == 2 else probabilities
    area = reference.roc_auc_score(labels, ranked, multi_class="ovr")
    assert scores.metrics["auc"].value == pytest.approx(area)
    assert (scores.collapsed, bool(scores.off_center)) == (not off_center, off_center)
    said = scores.off_center or scores.collapse_reason
    assert said.startswith("calls every image well (") and said.endswith("of the images are)")
    assert Scores.from_dict(scores.to_dict()) == scores
    history = {"loss": [0.5], "val_loss": [0.5], "val_auc": [area]}
    (line,) = diagnose(history, labels, probabilities, names)
    assert line.startswith("Off center" if off_center else "Collapsed")


def test_one_class_alone_is_no_collapse_and_leaves_figures_undefined():
    scores = evaluate([1, 1, 1], two_way([0.6, 0.7, 0.8]), class_names=NAMES, n_bootstrap=20)
    assert not scores.collapsed
    assert scores.metrics["sensitivity"].value == 1
    assert scores.metrics["sensitivity"].low < 0.6
    for name in ("auc", "specificity", "npv", "balanced_accuracy", "calibration_slope"):
        assert str(scores.metrics[name]) == "undefined", name


def test_a_perfect_model_is_not_claimed_to_be_certain():
    labels = np.repeat([0, 1], [30, 60])
    metrics = evaluate(labels, two_way(labels * 0.98 + 0.01), class_names=NAMES).metrics
    for name in ("auc", "accuracy", "balanced_accuracy", "sensitivity", "ppv", "f1"):
        assert metrics[name].value == 1, name
        assert 0.8 < metrics[name].low < 0.97, name
    assert metrics["average_precision"].low < 0.97
    assert math.isnan(metrics["calibration_slope"].value)


def test_one_patient_gives_no_bounds_from_resamples():
    labels, probabilities, _ = simulated(30)
    metrics = evaluate(
        labels, probabilities, class_names=NAMES, patients=["p"] * 30, n_bootstrap=20
    ).metrics
    assert math.isnan(metrics["average_precision"].low)
    assert math.isnan(metrics["calibration_intercept"].low)
    for name in ("accuracy", "f1"):
        assert metrics[name].high - metrics[name].low > 0.3, name


def test_three_classes_are_means_of_one_against_the_rest():
    generator = np.random.default_rng(4)
    labels = generator.choice(3, size=400, p=[0.5, 0.3, 0.2])
    evidence = generator.normal(size=(400, 3)) + 1.5 * np.eye(3)[labels]
    probabilities = np.exp(evidence) / np.exp(evidence).sum(axis=1, keepdims=True)
    names = ("NORMAL", "BACTERIA", "VIRUS")
    scores = evaluate(labels, probabilities, class_names=names, n_bootstrap=200)
    called = probabilities.argmax(axis=1)
    expected = {
        "auc": reference.roc_auc_score(labels, probabilities, multi_class="ovr"),
        "accuracy": reference.accuracy_score(labels, called),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, called),
        "sensitivity": reference.recall_score(labels, called, average="macro"),
        "ppv": reference.precision_score(labels, called, average="macro"),
        "f1": reference.f1_score(labels, called, average="macro"),
        "average_precision": reference.average_precision_score(np.eye(3)[labels], probabilities),
        "brier": ((probabilities - np.eye(3)[labels]) ** 2).mean(),
    }
    assert {name: scores.metrics[name].value for name in expected} == pytest.approx(expected)
    assert (scores.confusion == reference.confusion_matrix(labels, called)).all()
    assert scores.threshold is None
    at_cutoffs = evaluate(
        labels, probabilities, threshold=(0.5, 0.3, 0.2), class_names=names, n_bootstrap=2
    )
    recalls = reference.recall_score(
        labels, (probabilities / (0.5, 0.3, 0.2)).argmax(axis=1), average="macro"
    )
    assert at_cutoffs.metrics["balanced_accuracy"].value == pytest.approx(recalls)
    stored = json.loads(json.dumps(at_cutoffs.to_dict()))
    assert Scores.from_dict(stored).threshold == (0.5, 0.3, 0.2)
    assert list(scores.per_class) == list(names)
    virus = scores.per_class["VIRUS"]
    assert virus["auc"] == auc_interval(labels == 2, probabilities[:, 2])
    assert virus["sensitivity"].value == (called[labels == 2] == 2).mean()
    assert {*METRICS} - {*scores.metrics} == {"lr_positive", "lr_negative"}
    assert {*virus} >= {"lr_positive", "lr_negative", "mcc"}
    for name, figure in scores.metrics.items():
        assert figure.low < figure.value < figure.high, name


def test_likelihood_ratios_have_intervals_near_the_score_method():
    labels, probabilities, _ = simulated()
    metrics = evaluate(labels, probabilities, class_names=NAMES, n_bootstrap=2).metrics
    called = probabilities[:, 1] >= 0.5
    for name, among in (("lr_positive", called), ("lr_negative", ~called)):
        counts = [(among & (labels == side)).sum() for side in (1, 0)]
        sizes = [(labels == side).sum() for side in (1, 0)]
        pairs = zip(counts, sizes, strict=True)
        expected = confint_proportions_2indep(
            *[n for pair in pairs for n in pair], compare="ratio", method="score"
        )
        assert (metrics[name].low, metrics[name].high) == pytest.approx(expected, rel=0.01), name


def test_correlation_and_ratios_at_their_limits():
    labels = np.repeat([0, 1], 40)
    perfect = evaluate(labels, two_way(labels), class_names=NAMES, n_bootstrap=50).metrics
    assert perfect["mcc"].value == perfect["mcc"].high == 1
    assert 0.8 < perfect["mcc"].low < 0.95
    assert math.isnan(perfect["lr_positive"].value)
    assert perfect["lr_negative"].value == perfect["lr_negative"].low == 0
    assert 0 < perfect["lr_negative"].high < 0.2
    constant = evaluate(labels, two_way(labels * 0 + 1), class_names=NAMES, n_bootstrap=50)
    assert math.isnan(constant.metrics["mcc"].value)
    assert constant.metrics["lr_positive"].value == 1
    assert constant.to_dict()["lr_negative"] is None


@pytest.mark.parametrize(
    ("labels", "probabilities", "says"),
    [
        ([0, 1, 1], two_way([0.1, 0.2]), "3 labels and probabilities of shape"),
        ([0, -1], two_way([0.1, 0.2]), "unlabeled images left out"),
        ([0, 1], two_way([0.1, math.nan]), "must be 0 to 1"),
        ([0, 1], two_way([0.1, 1.5]), "must be 0 to 1"),
        ([], np.zeros((0, 2)), "0 labels"),
    ],
)
def test_what_does_not_fit_is_refused(labels, probabilities, says):
    with pytest.raises(UsageError, match=says):
        evaluate(labels, probabilities, class_names=NAMES)


def test_the_repr_is_one_line():
    scores = evaluate([0, 1, 0, 1], [[0.9, 0.1], [0.2, 0.8]] * 2, class_names=NAMES)
    assert repr(scores).startswith("Scores(4 images: auc 1.000 (")
    assert len(repr(scores)) < 100
