"""Rows of decisions by patient or study, against plain NumPy and scikit-learn."""

import csv
import re
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score, roc_curve

import featx
from featx.benchmarking.benchmark import benchmark
from featx.classifiers.predictions import Predictions
from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UsageError
from featx.reporting.results_folder import read_results
from featx.runtime.csv_text import write_csv
from tests.benchmarking.conftest import draw

FAST = {"classifiers": ["logistic"], "views": 1, "controls": False, "learning_curve": False}
FAST |= {"cv": 3, "n_jobs": 1, "calibration": "none"}


def with_studies(images):
    """Four images a patient, of two studies numbered from 1."""
    patients = [f"p{number // 4:03d}" for number in range(len(images))]
    studies = np.array([str(number // 2 % 2 + 1) for number in range(len(images))])
    labels = np.arange(len(images)) // 4 % len(images.class_names)
    return replace(images, patients=np.array(patients), columns={"study": studies}, labels=labels)


def drawn(random_state=0, n=160, **settings):
    images = draw(random_state, n=2 * n, signal=14, **settings)
    # Pixels by class; those of `draw` change class every two images.
    order = np.argsort(images.labels, kind="stable").reshape(2, -1)
    order = order[:, : n // 2].reshape(2, -1, 4).transpose(1, 0, 2).ravel()
    return with_studies(images.select(order))


def by_patient(probabilities, patients, how):
    """Combine the log-odds of each patient's images, without featx."""
    log_odds = logit(np.clip(probabilities, 1e-13, 1 - 1e-13))
    return {p: getattr(np, how)(log_odds[patients == p]) for p in np.unique(patients)}


@pytest.mark.usefixtures("quick")
def test_rows_by_patient_are_those_of_plain_numpy(tmp_path):
    images = drawn()
    externals = {"same": drawn(1, n=80), "bare": replace(draw(2), patients_known=False)}
    settings = {**FAST, "out": tmp_path, "externals": externals, "unit": "patient"}
    of_images, row = benchmark(images, **settings)
    assert (of_images.unit, row.kind, row.unit.row) == (None, "unit", of_images.name)
    assert row.name == f"{of_images.name}-by-patient" and row.label.endswith("(by patient)")
    assert list(of_images.externals) == ["same", "bare"] and list(row.externals) == ["same"]
    # Combination and threshold, chosen on out-of-fold probabilities of training images.
    model = featx.load_model(tmp_path / "models" / f"{row.name}.skops")
    digest = {images.digest(place): place for place in range(len(images))}
    places = [digest[each] for each in model.out_of_fold_images_]
    patients = images.patients[places]
    labels = {p: images.labels[images.patients == p][0] for p in images.patients}
    areas = {}
    for how in ("mean", "max"):
        found = by_patient(expit(model.out_of_fold_scores_), patients, how)
        areas[how] = roc_auc_score([labels[p] for p in found], list(found.values()))
    assert row.unit.areas == pytest.approx(areas)
    assert row.unit.combined == max(areas, key=areas.get)
    assert row.auc_out_of_fold == pytest.approx(max(areas.values()))
    found = by_patient(expit(model.out_of_fold_scores_), patients, row.unit.combined)
    fpr, tpr, cuts = roc_curve([labels[p] for p in found], list(found.values()))
    below = [each for each in found.values() if each < cuts[np.argmax(tpr - fpr)]]
    assert max(below) < logit(row.threshold) < cuts[np.argmax(tpr - fpr)]
    # Figures on test patients, from the saved predictions of their images.
    scores = Predictions.from_csv(tmp_path / "scores" / f"{of_images.name}.csv")
    found = by_patient(scores.probabilities[:, 1], scores.patients, row.unit.combined)
    truth = [labels[p] for p in found]
    assert row.auc == pytest.approx(roc_auc_score(truth, list(found.values())))
    called = np.array(list(found.values())) >= logit(row.threshold)
    assert row.estimates["accuracy"].value == pytest.approx(np.mean(called == truth))
    assert (row.scores.n, row.scores.n_patients) == (len(found), len(found))
    assert row.unit.n_images == of_images.scores.n == 4 * row.scores.n
    saved = Predictions.from_csv(tmp_path / "scores" / f"{row.name}.csv")
    assert saved.names == tuple(found) and saved.probabilities[:, 1] == pytest.approx(
        expit(list(found.values()))
    )


@pytest.mark.usefixtures("quick")
def test_rows_by_patient_are_shown_and_found_again(tmp_path, monkeypatch, caplog):
    images, bare = drawn(), replace(draw(2), patients_known=False)
    settings = {**FAST, "out": tmp_path, "covariates": "age", "unit": "patient"}
    ages = {"age": (images.labels + np.linspace(0, 3, len(images))).astype(str)}
    images = replace(images, columns=ages)
    table = benchmark(images, **settings, externals={"bare": bare})
    assert [row.kind for row in table] == ["frozen", "unit", "columns", "unit", "columns", "unit"]
    assert "Decisions by patient are not evaluated on bare: the external set bare" in caplog.text
    (note,) = (note for note in table.notes if note.kind == "unit")
    assert "32 test images make 8 decisions." in note.text
    assert f"efficientnet_lite0, logistic: {table[1].unit.combined};" in note.text
    page = (tmp_path / "report.html").read_text()
    assert note.text.split(":")[0] in page
    assert table[1].label.split(", ")[1] in (tmp_path / "table.md").read_text()
    assert list(read_results(tmp_path).rows) == list(table)
    card = (tmp_path / "models" / f"{table[1].name}.md").read_text()
    assert "`featx predict --unit patient`" in card
    # The row on the page's first line is one of images.
    lead = re.search(r"Chosen without test images, <strong>(.*?)</strong>", page)[1]
    assert lead in [row.label for row in table if row.unit is None]
    monkeypatch.setattr("featx.classifiers.fitting.fit_rows", None)
    monkeypatch.setattr("featx.classifiers.units.UnitRule.choose", None)
    assert list(benchmark(images, **settings, externals={"bare": bare})) == list(table)
    with pytest.raises(UsageError, match=r"would not have .*by patient"):
        benchmark(images, **{**settings, "unit": None}, externals={"bare": bare})


@pytest.mark.usefixtures("quick")
def test_models_decide_by_study(tmp_path, capsys):
    images = drawn()
    secret = "0123456789abcdef"
    settings = {**FAST, "calibration": "sigmoid", "unit": "study", "out": tmp_path}
    _, row = benchmark(images, **settings, hash_patients=secret)
    assert row.scores.n == row.unit.n_images / 2 == 2 * row.scores.n_patients
    names = Predictions.from_csv(tmp_path / "scores" / f"{row.name}.csv").names
    # Studies are numbered within patients, and hashed as patients are.
    assert len(set(names)) == row.scores.n and not any(name[-2:] in ("/1", "/2") for name in names)
    model = featx.load_model(tmp_path / "models" / f"{row.name}.skops")
    others = drawn(3, n=16)
    by_image = featx.predict(model, others)
    by_study = featx.predict(model, others, unit="study")
    assert by_study.names[:3] == ("p000/1", "p000/2", "p001/1") and len(by_study) == 8
    log_odds = logit(by_image.probabilities[:2, 1])
    line = model.unit_.calibration
    combined = getattr(np, row.unit.combined)(log_odds)
    expected = expit(line.slope[0] * combined + line.intercept[0])
    assert by_study.probabilities[0, 1] == pytest.approx(expected)
    assert by_study.predicted.tolist() == (by_study.probabilities[:, 1] >= row.threshold).tolist()
    assert by_study.typicality[0] == by_image.typicality[:2].min()
    with pytest.raises(UsageError, match="of images, not of decisions by unit"):
        featx.evaluate(model, others, unit="study", subgroups="study")
    scores = featx.evaluate(model, others, unit="study")
    assert (scores.n, scores.n_patients) == (8, 4)
    for unit, problem in (("patient", "decides by study, not by patient"), ("exam", "by study")):
        with pytest.raises(UsageError, match=problem):
            featx.predict(model, others, unit=unit)
    with pytest.raises(UsageError, match="no rule to decide by study"):
        featx.predict(tmp_path / "models" / f"{row.unit.row}.skops", others, unit="study")
    for more in ({"adapt": True}, {"coverage": 0.9}):
        with pytest.raises(UsageError, match="leave out"):
            featx.predict(model, others, unit="study", **more)
    mixed = replace(others, labels=1 - others.labels[np.r_[1, 2, 3, 4, 5:16, 0]])
    with pytest.raises(UsageError, match=r"the images of study 'p000/2' .*different labels"):
        featx.evaluate(model, mixed, unit="study")


@pytest.mark.usefixtures("quick")
def test_cnns_are_combined_on_validation_images_and_compared_by_patient(tmp_path, trained):
    images = drawn()

    def certainty(dataset):
        """Rank by brightness where the classes differ; one image in four says the contrary."""
        bright = np.array([dataset.read(each)[4:12, 8:20].mean() for each in range(len(dataset))])
        odd = np.array([int(name[-1]) % 4 == 3 for name in dataset.names])
        found = expit((92 - bright) * np.where(odd, -3, 1))
        return np.column_stack([1 - found, found])

    def write(dataset, out):
        kept = dataset[:40]
        pairs = zip(kept.names, certainty(kept).tolist(), strict=True)
        header = ["path", "probability_ill", "probability_well"]
        lines = [header, *([name, *pair] for name, pair in pairs)]
        (out / "validation.csv").write_bytes(write_csv(lines))

    trained(certainty, write=write)
    name = "finetuned:efficientnet_lite0"
    table = benchmark(images, **FAST, unit="patient", baselines=[name], out=tmp_path)
    frozen, by_patient_frozen, cnn, row = table
    assert (row.backbone, row.kind, row.unit.row) == (name, "unit", cnn.name)
    held_out = Predictions.from_csv(tmp_path / "baselines" / cnn.name / "validation.csv")
    places = [images.names.index(each) for each in held_out.names]
    for how, area in row.unit.areas.items():
        found = by_patient(held_out.probabilities[:, 1], images.patients[places], how)
        truth = [images.labels[images.patients == p][0] for p in found]
        assert area == pytest.approx(roc_auc_score(truth, list(found.values())))
    assert row.validation_auc == max(row.unit.areas.values()) and row.auc_out_of_fold is None
    # Each is compared with the CNN in the same unit.
    assert frozen.comparison.other == cnn.name and by_patient_frozen.comparison.other == row.name
    difference = by_patient_frozen.comparison.differences["auc"].value
    assert difference == pytest.approx(by_patient_frozen.auc - row.auc)
    again = read_results(tmp_path).rows[3]
    assert (again.unit, again.validation_auc) == (row.unit, row.validation_auc)


@pytest.mark.usefixtures("quick")
def test_three_classes_are_combined_against_the_rest(tmp_path):
    images = draw(n=120, classes=("a", "b", "c"), signal=25)
    _, row = benchmark(images, **FAST, unit="patient", out=tmp_path)
    image = Predictions.from_csv(tmp_path / "scores" / f"{row.unit.row}.csv")
    unit = Predictions.from_csv(tmp_path / "scores" / f"{row.name}.csv")
    log_odds = logit(image.probabilities[image.patients == unit.names[0]])
    found = expit(getattr(np, row.unit.combined)(log_odds, axis=0))
    assert unit.probabilities[0] == pytest.approx(found / found.sum())
    assert len(row.threshold) == 3 and set(row.scores.per_class) == {"a", "b", "c"}
    # A stored rule is checked.
    path = tmp_path / "models" / f"{row.name}.skops"
    model = featx.load_model(path)
    for change in ({"threshold": (0.5, 0.5)}, {"combined": "product"}, {"calibration": "none"}):
        broken = copy(model)
        broken.unit_ = replace(model.unit_, **change)
        broken.save(path)
        with pytest.raises(FeatxError, match="not a whole featx model"):
            featx.load_model(path)


@pytest.mark.usefixtures("quick")
def test_commands_decide_by_unit(tmp_path, capsys, monkeypatch):
    from featx.cli.root import commands

    images = drawn(n=48)
    lines = [["path", "label", "patient", "exam"]]
    for place in range(len(images)):
        Image.fromarray(images.read(place)).save(tmp_path / f"{place}.png")
        study = images.columns["study"][place]
        lines.append([f"{place}.png", images.y[place], images.patients[place], study])
    with (tmp_path / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)

    def run(*words):
        commands.main([*map(str, words)], prog_name="featx", standalone_mode=False)

    monkeypatch.chdir(tmp_path)
    options = "--classifiers logistic --views 1 --no-controls --no-learning-curve --cv 2"
    named = ["--columns", "study=exam"]
    run("benchmark", "list.csv", "--unit", "study", *named, "--out", "r", *options.split())
    model = "r/models/efficientnet_lite0-logistic-by-study.skops"
    out = ["--out", "p.csv"]
    run("predict", model, "list.csv", "--unit", "study", *named, *out)
    assert "24 decisions by study: p.csv" in capsys.readouterr().out
    assert len(Predictions.from_csv("p.csv")) == 24
    run("evaluate", model, "list.csv", "--unit", "study", *named, "--json")
    assert '"n_test": 24' in capsys.readouterr().out


def test_units_without_one_label_are_refused():
    images = drawn(n=48)
    patients = np.where(np.arange(48) < 8, "p0", images.patients)
    with pytest.raises(UsageError, match=r"patient 'p0' have different labels.*--unit study"):
        benchmark(replace(images, patients=patients), **FAST, unit="patient")
    with pytest.raises(UsageError, match="no column 'exam' to decide by"):
        benchmark(images, **FAST, unit="exam")
    studies = np.where(np.arange(48) == 5, "", images.columns["study"])
    with pytest.raises(UsageError, match="'study' to decide by is empty for 1 of 48"):
        benchmark(replace(images, columns={"study": studies}), **FAST, unit="study")
    bare = ImageDataset.from_arrays([images.read(each) for each in range(48)], images.y)
    with pytest.raises(UsageError, match=r"patients are unknown.*--patients"):
        benchmark(bare, **FAST, unit="patient")
    config = featx.BenchmarkConfig(unit="study", covariates="age")
    assert config.opening.keep_columns == ("age", "study")
    assert featx.BenchmarkConfig.from_dict(config.to_dict()) == config
    assert featx.BenchmarkConfig(unit="patient").keep_columns == ()
