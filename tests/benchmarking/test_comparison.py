from dataclasses import replace

import numpy as np
import pytest

from featx.benchmarking.comparison import compare
from featx.benchmarking.evaluation import Evaluation
from featx.benchmarking.note_rules import row_notes
from featx.classifiers.predictions import Predictions
from featx.metrics.intervals import Interval
from featx.metrics.paired_tests import delong_test, holm
from featx.metrics.scores import Scores
from featx.reporting.differences import pick_reference
from featx.reporting.records import BenchmarkRow


def recipe(name, precision="float32", of="", size=224):
    """Recipe of a network's features; of an int8 network, `of` is the float32 one."""
    origin = dict.fromkeys(("title", "source", "license"), "none")
    origin["quantized_from"] = {"backbone": of, "weights": "aa", "size": [size, size]}
    found = {"backbone": name, "weights": "aa", "size": [size, size], "precision": precision}
    return {**found, "weights": "bb", "origin": origin} if of else found


def evaluation(name, predictions, kind="frozen", validation_auc=None, backbone="vgg16", recipes=()):
    threshold = 0.5 if len(predictions.class_names) == 2 else None
    figures = {"auc": Interval(0.9, 0.8, 1.0)}
    scores = Scores(figures, len(predictions), threshold=threshold)
    facts = {"validation_auc": validation_auc, "recipes": recipes}
    row = BenchmarkRow(name, backbone, "svm", kind, scores, **facts)
    return Evaluation(row, predictions, "")


def verdicts(row):
    return {figure: found.verdict for figure, found in row.comparison.differences.items()}


def predictions(strengths, n, classes="ab"):
    """Predictions of models whose evidence for the true class has some strengths."""
    generator = np.random.default_rng(4)
    labels = np.arange(n) % len(classes)
    patients = np.array([f"p{number // len(classes)}" for number in range(n)])
    for strength in strengths:
        evidence = strength * np.eye(len(classes))[labels] + generator.normal(
            scale=2**-0.5, size=(n, len(classes))
        )
        odds = np.exp(2 * evidence)
        probabilities = odds / odds.sum(axis=1, keepdims=True)
        yield Predictions(tuple(map(str, range(n))), classes, probabilities, labels, patients)


@pytest.fixture
def evaluations():
    """A CNN, and a much better, an equal, and a worse model."""
    cnn, strong, alike, weak = predictions([0.8, 2.5, 0.85, 0.1], 400)
    return [
        evaluation("cnn", cnn, "baseline", 0.8),
        evaluation("strong", strong),
        evaluation("alike", alike),
        evaluation("weak", weak),
    ]


def test_rows_of_another_precision_are_paired_by_image():
    exact, other = predictions([0.8, 2.5], 200)
    ends = [
        [
            evaluation("net", exact, recipes=(recipe("net"),)),
            evaluation("net@float16", each, recipes=(recipe("net", "float16"),)),
        ]
        for each in (other, other.select(np.arange(200)[::-1]))
    ]
    rows = [compare(each)[1].to_dict() for each in ends]
    assert rows[0] == rows[1]


def test_verdicts(evaluations):
    reference, strong, alike, weak = compare(evaluations)
    assert reference.comparison is None
    assert set(verdicts(strong).values()) == {"better"}
    assert set(verdicts(alike).values()) == {"no difference shown"}
    assert set(verdicts(weak).values()) == {"worse"}
    assert {row.comparison.other for row in (strong, alike, weak)} == {"cnn"}


def test_p_values_are_corrected_for_the_number_of_rows(evaluations):
    reference, *others = (each.predictions for each in evaluations)
    plain = [
        delong_test(
            reference.labels,
            other.probabilities[:, 1],
            reference.probabilities[:, 1],
            patients=reference.patients,
        ).p_value
        for other in others
    ]
    rows = compare(evaluations)[1:]
    found = [row.comparison.differences["auc"].p_value for row in rows]
    np.testing.assert_allclose(found, holm(plain))


def test_images_are_matched_by_name_and_adapted_rows_are_left_out(evaluations):
    cnn, strong = evaluations[:2]
    before = compare(evaluations)[1].comparison.differences["auc"].value
    order = np.random.default_rng(0).permutation(400)
    shuffled = replace(strong, predictions=strong.predictions.select(order))
    adapted = replace(strong, row=replace(strong.row, name="adapted", kind="adapted"))
    rows = compare([cnn, shuffled, adapted])
    assert rows[1].comparison.differences["auc"].value == pytest.approx(before)
    assert rows[2].comparison is None


def test_the_reference_is_picked_by_validation_auc(evaluations):
    rows = [each.row for each in evaluations]
    better = replace(rows[3], kind="baseline", validation_auc=0.9)
    assert pick_reference([*rows[:3], better]) is better
    assert pick_reference(rows[1:3]) is None
    assert compare(evaluations[1:3])[0].comparison is None


@pytest.mark.parametrize(
    ("validated", "expected"),
    [
        # Patients of validation images that were drawn by image train, too.
        ([("image", 0.2, 0.99), ("patient", 0.2, 0.8), ("patient", 0.2, 0.7)], 1),
        ([("patient", 0.2, 0.99), ("patient", 0.15, 0.8), ("patient", 0.15, 0.7)], 1),
        ([("patient", 0.15, 0.99), ("patient", 0.2, 0.8)], 1),
        ([("image", 0.2, 0.8), ("image", 0.2, 0.9)], 1),
        ([("patient", 0.2, None), ("patient", 0.2, float("nan")), ("patient", 0.2, 0.6)], 2),
    ],
)
def test_the_reference_is_picked_among_networks_validated_on_the_same_images(
    evaluations, validated, expected
):
    cnn, model = evaluations[:2]
    rows = [
        replace(
            cnn.row,
            name=f"cnn-{place}",
            backbone=f"cnn-{place}",
            validation_auc=area,
            settings={"validation_by": unit, "validation_size": size},
            test_views=1,
        )
        for place, (unit, size, area) in enumerate(validated)
    ]
    reference = rows[expected]
    assert pick_reference(rows) is reference
    model = replace(model, row=replace(model.row, test_views=8))
    compared = compare([model, *(replace(cnn, row=row) for row in rows)])
    (note,) = [note for note in row_notes(compared) if note.kind == "reference"]
    others = [row.backbone for row in rows if row.settings != reference.settings]
    assert note.values["no_candidates"] == others
    assert all(name in note.text for name in others)
    assert ("of patients who also train" in note.text) == (validated[expected][0] == "image")
    assert "tested on 1 view of each image, the others on 1 or 8" in note.text


def test_more_than_two_classes_are_compared_too():
    cnn, strong = predictions([0.5, 3.0], 300, "abc")
    rows = compare([evaluation("cnn", cnn, "baseline", 0.8), evaluation("strong", strong)])
    correct = [found.probabilities.argmax(axis=1) == cnn.labels for found in (strong, cnn)]
    difference = rows[1].comparison.differences["accuracy"].value
    assert difference == pytest.approx(correct[0].mean() - correct[1].mean())
    assert verdicts(rows[1]) == {"auc": "better", "accuracy": "better"}


def test_the_cost_of_a_precision_is_tested_and_reported():
    exact, quantized, other, worse = predictions([1.0, 0.9, 2.0, 1.7], 200)
    # By networks, not by names: the second was quantized from the first, the third from no row.
    found = {
        "vgg16@160": (exact, recipe("vgg16", size=160)),
        "openvino:a": (quantized, recipe("openvino:a", of="vgg16", size=160)),
        "openvino:b": (other, recipe("openvino:b", of="vgg16")),
        "vgg19": (other, recipe("vgg19")),
        "vgg19@float16": (worse, recipe("vgg19", "float16")),
    }
    rows = compare(
        [evaluation(n, each, backbone=n, recipes=(own,)) for n, (each, own) in found.items()]
    )
    assert [row.float32 is not None for row in rows] == [False, True, False, False, True]
    tests = [
        delong_test(a.labels, b.probabilities[:, 1], a.probabilities[:, 1], patients=a.patients)
        for a, b in ((exact, quantized), (other, worse))
    ]
    assert rows[1].float32.other == "vgg16@160"
    differences = [rows[place].float32.differences["auc"] for place in (1, 4)]
    assert [found.value for found in differences] == [each.difference for each in tests]
    corrected = holm([each.p_value for each in tests])
    np.testing.assert_allclose([found.p_value for found in differences], corrected)
    note = next(note for note in row_notes(rows) if note.kind == "float32")
    assert f"openvino:a, svm: AUC 0.9000, {tests[0].difference:+.4f} against" in note.text
