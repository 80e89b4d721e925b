from dataclasses import replace

import numpy as np

from featx.classifiers.fitting import fit
from featx.metrics.scores import evaluate
from featx.reporting.model_card import card_facts, model_card
from featx.reporting.records import BenchmarkRow
from tests.classifiers.makers import RECIPE, make_matrix


def card_of(matrix, classifier="logistic", name="m", **settings):
    model = fit(matrix, classifier, cv=2, n_jobs=1, **settings)
    return model, model_card(name, card_facts(model, matrix))


def test_figures_are_out_of_fold_with_patients_kept_together():
    matrix = make_matrix()
    model, card = card_of(matrix, operating_point="specificity=0.8")
    # Images of one patient follow each other in the matrix.
    scores = evaluate(
        model.out_of_fold_labels_,
        model.out_of_fold_,
        threshold=model.threshold_,
        class_names=matrix.class_names,
        patients=np.arange(90) // 2,
    )
    area = scores.metrics["auc"]
    assert f"| AUC | {area.value:.3f} ({area.low:.3f}\u2013{area.high:.3f}) |" in card
    found = scores.metrics["sensitivity"]
    assert f"| Sensitivity | {found.value:.3f} ({found.low:.3f}\u2013{found.high:.3f}) |" in card
    assert f"NORMAL is predicted from a probability of {model.threshold_:.4f} on" in card
    assert "`specificity=0.8`" in card


def test_it_names_data_recipe_and_limits():
    matrix = make_matrix(recipes=({**RECIPE, "normalisation": "clahe", "weights": "random-7"},))
    _, card = card_of(matrix, "svm")
    assert "90 images of 45 patients: 46 BACTERIA and 44 NORMAL" in card
    assert "ResNet50, frozen, weights random-7: images read in gray" in card
    assert "224 x 224 pixels, intensities by clahe" in card
    assert "2 views of a training image" in card
    assert "24 features, standardized and compressed by PCA" in card
    assert "**Not a medical device.**" in card
    assert "without test images" in card and "not checked" in card


def test_more_classes_have_cutoffs():
    _, card = card_of(make_matrix(classes=3))
    assert "cutoff: BACTERIA 0.3333, NORMAL 0.3333, VIRUS 0.3333." in card
    assert "predicts BACTERIA, NORMAL and VIRUS" in card


def test_no_patient_and_no_file_is_named_and_no_name_becomes_markup():
    matrix = make_matrix(class_names=("a|b", "<b>c\n# d</b>"))
    secret = replace(matrix, patients=np.char.add("Quastenflosser-", matrix.patients))
    _, card = card_of(secret, name="x|y")
    assert "Quastenflosser" not in card and "image7.png" not in card
    assert "a\\|b" in card and "\n# d" not in card and "<b>" not in card.replace("\\<b", "")
    assert "\n---\n\n# x\\|y\n" in card


def test_a_figure_without_bounds_stands_alone():
    matrix = make_matrix()
    facts = card_facts(fit(matrix, "logistic", cv=2, n_jobs=1), matrix)
    figures = facts["out_of_fold"] | {"ppv": 0.5, "ppv_low": float("nan"), "ppv_high": None}
    assert "| PPV | 0.500 |" in model_card("m", {**facts, "out_of_fold": figures})


def test_the_front_matter_is_that_of_hugging_face():
    import yaml

    matrix = make_matrix(class_names=("a: b", "<b>\n---\ud800"))
    model, _ = card_of(matrix)
    facts = card_facts(model, matrix)
    probabilities = model.predict_images(matrix)
    named = {"class_names": matrix.class_names, "patients": matrix.patients}
    scores = evaluate(matrix.labels, probabilities, **named)
    row = BenchmarkRow("m", "resnet50", "logistic", "frozen", scores)
    for card, has_figures in (
        (model_card("m", facts), False),
        (model_card("m", facts, row), True),
    ):
        _, front, _ = card.encode("utf-8", "replace").decode().split("---\n", 2)
        known = yaml.safe_load(front)
        assert known["library_name"] == "featx"
        assert known["pipeline_tag"] == "image-classification"
        assert ("model-index" in known) == has_figures
        assert "<b>" not in front
    (result,) = known["model-index"][0]["results"]
    assert result["metrics"][0] == {"type": "roc_auc", "value": round(row.auc, 4)}
    assert result["dataset"]["name"].startswith("test images (a: b or <b>")
