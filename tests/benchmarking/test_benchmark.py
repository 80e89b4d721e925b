import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

import featx
from featx.benchmarking.benchmark import benchmark
from featx.benchmarking.controls import permute_labels
from featx.benchmarking.data import TrainTestData
from featx.benchmarking.note_rules import shortcut_notes
from featx.benchmarking.published import published_figures
from featx.classifiers.model_file import load_model
from featx.errors import UsageError
from featx.features.extraction import extract
from featx.metrics.intervals import Interval
from featx.metrics.scores import METRICS, evaluate
from tests.benchmarking.conftest import FAST, draw, read_scores

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def leaking():
    """Test image 100 is training image 3; the patient of test image 110 has training image 10."""
    images = draw(splits=np.repeat(["train", "test"], [80, 40]))
    sources, patients = list(images.sources), images.patients.copy()
    sources[100] = sources[3]
    patients[110] = patients[10]
    return replace(images, sources=tuple(sources), patients=patients)


def test_a_planted_leak_is_an_error_and_when_allowed_a_note(leaking, tmp_path):
    with pytest.raises(UsageError, match="array-000003 = array-000100"):
        benchmark(leaking, **FAST, out=tmp_path)
    assert not (tmp_path / "results.json").exists()
    table = benchmark(leaking, **FAST, controls=False, leaks="allow", out=tmp_path)
    assert [note.kind for note in table.notes if note.is_alarm] == ["leak", "leak"]
    assert "LEAK: 1 pair" in (tmp_path / "table.md").read_text()
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["audit"]["allowed"]
    assert run["audit"]["findings"][0]["examples"] == ["array-000003 = array-000100"]


def test_what_leaks_is_left_out_of_training_on_demand(leaking, tmp_path):
    table = benchmark(leaking, **FAST, controls=False, leaks="drop", out=tmp_path)
    # Both images of the patients of images 3 and 10.
    assert [row.n_train for row in table] == [76]
    assert [row.scores.n for row in table] == [40]
    assert any("4 training images were left out" in note.text for note in table.notes)
    assert not any(note.is_alarm for note in table.notes)
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["inventory"][""]["patients_from"] == "given patients"
    assert [(step["step"], step["images"]) for step in run["flow"]] == [
        ("found in the folder", 120),
        ("duplicates of test images or images of test patients, left out", 4),
        ("training", 76),
        ("test", 40),
    ]


def test_rows_are_ranked_on_demand():
    table = benchmark(draw(), **{**FAST, "classifiers": ["knn", "logistic"]}, rank_by="auc")
    areas = [row.auc for row in table]
    assert areas == sorted(areas, reverse=True)


def test_a_planted_shortcut_is_named():
    images = draw(signal=0)
    arrays = [pixels.copy() for pixels in images.sources]
    for pixels, label in zip(arrays, images.labels, strict=True):
        if label == 0:
            pixels[:8, :8] = 255  # A marker in a corner, as of one ward's machine.
    marked = replace(images, sources=tuple(arrays))
    table = benchmark(marked, **FAST, learning_curve=False)
    named = {note.values["model"] for note in table.notes if note.kind == "shortcut"}
    assert named == {"random weights", "center removed", "outer border", "histogram"}


def test_labels_permuted_between_patients_stay_with_patients_on_both_sides():
    images = draw(n=400, splits=np.tile(["train", "test"], 200))
    features = extract(images, views=1)
    train, test = (
        features.select_images(np.flatnonzero(images.splits == s)) for s in ("train", "test")
    )
    permuted = permute_labels(TrainTestData(train, test), random_state=0)
    assert (permuted.train.labels == permuted.test.labels).all()
    agreement = (permuted.train.labels == train.labels).mean()
    assert 0.35 < agreement < 0.65
    assert permuted.train.labels.sum() == train.labels.sum()


def test_models_of_permuted_labels_rank_by_chance():
    table = benchmark(draw(n=200), **FAST, learning_curve=False)
    (row,) = (row for row in table if row.backbone == "permuted labels")
    assert row.kind == "control"
    assert row.estimates["auc"].low < 0.5 < row.estimates["auc"].high
    assert not [note for note in table.notes if note.kind == "permuted"]
    certain = replace(row, scores=replace(row.scores, metrics={"auc": Interval(0.7, 0.6, 0.8)}))
    (note,) = shortcut_notes([certain])
    assert note.is_alarm
    assert "AUC 0.700 (lower bound 0.600)" in note.text


def test_robustness_is_measured_by_grade_and_kept(tmp_path, monkeypatch):
    settings = {**FAST, "controls": False, "learning_curve": False, "robustness": True}
    settings |= {"classifiers": ["logistic"], "out": tmp_path}
    images = draw(signal=40)
    (row,) = table = benchmark(images, **settings)
    points = {(p["degradation"], p["grade"]): p for p in row.robustness}
    assert len(points) == 51
    # One view, as the row has, and no degradation.
    assert points["none", 0]["auc"] == pytest.approx(row.auc)
    for figure in ("sensitivity", "specificity", "accuracy"):
        assert points["none", 0][figure] == row.estimates[figure].value
    assert points["gamma", 5]["accuracy"] < points["none", 0]["accuracy"]
    (note,) = (note for note in table.notes if note.kind == "robustness")
    assert f"worst under {note.values['worst']['degradation']}" in note.text
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored[0]["robustness"] == list(row.robustness)
    page = (tmp_path / "report.html").read_text()
    assert page.count("AUC under ") == 10
    # A second run finds every point.
    computed = lambda *_: pytest.fail("a finished point was computed again")  # noqa: E731
    monkeypatch.setattr("featx.benchmarking.runner.degraded_figures", computed)
    assert benchmark(images, **settings)[0].robustness == row.robustness
    assert not featx.verify(settings["out"]).mismatches


def test_a_planted_collapse_is_named():
    images = draw(signal=0)
    labels = np.where(np.arange(120) // 2 % 5 == 0, 0, 1)
    table = benchmark(
        replace(images, labels=labels),
        classifiers=["logistic"],
        views=1,
        test_size=0.3,
        operating_point="0.5",
        controls=False,
        learning_curve=False,
    )
    (row,) = table
    assert row.collapsed
    (note,) = (note for note in table.notes if note.kind == "collapsed")
    assert note.values["reason"] == row.scores.collapse_reason
    assert f"COLLAPSED, {row.scores.collapse_reason}" in table.to_markdown()


def test_a_collapsed_baseline_is_named_and_a_better_row_is_called_better(tmp_path, trained):
    trained(
        lambda images: np.tile([0.1, 0.9], (len(images), 1)),
        diagnosis=["Collapsed: all 30 validation images are called well."],
    )
    table = benchmark(
        draw(n=240),
        **FAST,
        baselines=["finetuned:efficientnet_lite0"],
        controls=False,
        learning_curve=False,
        externals={"other": draw(random_state=1, n=40)},
        out=tmp_path,
    )
    frozen, baseline = table
    assert baseline.collapsed
    assert baseline.externals["other"].collapsed
    assert baseline.auc == baseline.externals["other"].metrics["auc"].value == 0.5
    assert (baseline.costs.parameters, baseline.validation_auc) == (1234, 0.7)
    assert (tmp_path / "scores" / "finetuned-efficientnet_lite0@other.csv").exists()
    verdicts = {found.verdict for found in frozen.comparison.differences.values()}
    assert verdicts == {"better"}
    collapsed = [note.values["set"] for note in table.notes if note.kind == "collapsed"]
    assert collapsed == ["", "other"]
    assert "finetuned:efficientnet_lite0: Collapsed: all 30" in table.to_markdown()


def test_external_sets_are_scored_by_the_same_model(tmp_path):
    images, external = draw(), draw(random_state=1, n=40, signal=60)
    table = benchmark(images, **FAST, externals={"other": external}, out=tmp_path)
    for row in table:
        found = row.externals["other"].to_dict()
        lines, labels, shares = read_scores(
            tmp_path / "scores" / f"{row.name}@other.csv", images.class_names
        )
        assert [line["patient"] for line in lines] == external.patients.tolist()
        again = evaluate(
            labels,
            shares,
            threshold=row.threshold,
            class_names=images.class_names,
            patients=external.patients,
        )
        assert found == again.to_dict()
    name = "efficientnet_lite0-naive_bayes"
    model = load_model(tmp_path / "models" / f"{name}.skops")
    *_, shares = read_scores(tmp_path / "scores" / f"{name}@other.csv", images.class_names)
    np.testing.assert_allclose(shares, model.predict_images(extract(external, views=1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_names": ("ill", "healthy")}, "the same classes"),
        (
            {"labels": np.zeros(20, int)},
            "of class ill, but the models are trained on ill, well",
        ),
        ({"labels": np.full(20, -1)}, "20 of 20 images of the external set other have no label"),
    ],
)
def test_external_sets_that_do_not_fit_are_refused(change, message):
    external = replace(draw(random_state=1, n=20), **change)
    with pytest.raises(UsageError, match=message):
        benchmark(draw(), externals={"other": external})


def test_repeats_and_the_learning_curve_agree_with_the_row(tmp_path, monkeypatch):
    images = draw(n=160, signal=8)
    settings = {**FAST, "repeats": 3, "controls": False, "out": tmp_path}
    table = benchmark(images, **settings)
    (row,) = table
    areas = row.auc_seeds
    assert len(set(areas)) == 3
    assert areas[0] == row.auc_out_of_fold
    assert row.auc_seeds_sd == pytest.approx(np.std(areas, ddof=1))
    curve = table.run["learning_curve"]
    numbers = [point["n_patients"] for point in curve]
    assert numbers == sorted(numbers)
    assert curve[-1]["n_images"] == row.n_train
    for name in ("auc", "auc_low", "auc_high"):
        assert curve[-1][name] == pytest.approx(row.to_dict()[name])
    assert f"{row.auc:.3f} with {numbers[-1]}." in table.to_markdown()
    assert all(point["auc_low"] < point["auc"] < point["auc_high"] for point in curve)

    def never(*_, **__):
        raise AssertionError("what is finished was computed again")

    for what in ("repeated_auc", "curve_point"):
        monkeypatch.setattr(f"featx.benchmarking.runner.{what}", never)
    monkeypatch.setattr("featx.classifiers.fitting.fit", never)
    again = benchmark(images, **settings)
    assert again.rows == table.rows
    assert again.run["learning_curve"] == curve


def test_three_classes_all_the_way(tmp_path):
    names = ("bacteria", "normal", "virus")
    images = draw(n=180, classes=names)
    external = draw(random_state=1, n=36, classes=names)
    table = benchmark(images, **FAST, externals={"other": external}, out=tmp_path)
    assert not featx.verify(tmp_path).mismatches
    for row in table:
        per_class = row.scores.per_class
        assert list(per_class) == list(names)
        for figures in (row.estimates, *per_class.values(), row.externals["other"].metrics):
            for name in ("auc", "sensitivity", "specificity"):
                assert 0 <= figures[name].low <= figures[name].value <= figures[name].high <= 1
        mean = np.mean([figures["auc"].value for figures in per_class.values()])
        assert row.auc == pytest.approx(mean)
        assert np.shape(row.scores.confusion) == (3, 3)
        assert len(row.threshold) == 3
        assert sum(row.threshold) == pytest.approx(1)
        assert row.comparison is None
    frozen = table[0]
    assert frozen.auc > 0.9
    assert table.run["learning_curve"][-1]["auc"] > 0.9
    assert {*METRICS} - {"lr_positive", "lr_negative"} == {*frozen.estimates}
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved[0]["per_class"]["virus"]["auc"] == frozen.scores.per_class["virus"]["auc"].value
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 7


def test_costs_and_caches_are_written_down(tmp_path):
    table = benchmark(draw(), **FAST, learning_curve=False, cache=tmp_path)
    # Arrays of one size have no metadata to tell them apart.
    frozen, random, center, border, permuted, histogram = table.rows
    folders = {path.name for path in tmp_path.iterdir() if path.name.startswith("efficientnet")}
    digests = [*frozen.recipe_digests, *random.recipe_digests]
    assert folders == {f"efficientnet_lite0-{digest}" for digest in digests}
    # Blacked-out images are other images of the same recipe.
    assert center.recipe_digests == border.recipe_digests == permuted.recipe_digests
    assert histogram.recipe_digests == ()
    assert frozen.costs.parameters == random.costs.parameters == 3_413_024
    assert frozen.costs.images_per_second > 0
    assert histogram.costs.parameters is histogram.costs.images_per_second is None
    for row in table:
        assert 10e6 < row.costs.peak_memory < 1e12


def test_the_run_is_written_down_as_it_goes_on(tmp_path, monkeypatch):
    seen = []

    def stop(*_, **__):
        seen.append(json.loads((tmp_path / "run.json").read_text()))
        raise KeyboardInterrupt

    monkeypatch.setattr("featx.classifiers.fitting.fit", stop)
    with pytest.raises(KeyboardInterrupt):
        benchmark(draw(), **FAST, calibration="isotonic", out=tmp_path)
    (run,) = seen
    assert run["format"] == 1
    assert run["class_names"] == ["ill", "well"]
    assert run["versions"]["featx"]
    assert run["settings"]["calibration"] == "isotonic"
    assert run["settings"]["views"] == 1
    assert [step["step"] for step in run["flow"]] == ["found in the folder", "training", "test"]
    assert [note.split()[0] for note in run["notes"][:2]] == ["UNFINISHED:", "Trained"]
    assert run["learning_curve"] == run["published"] == []
    assert math.isfinite(run["seconds"])


def test_calibration_is_that_of_the_models(tmp_path):
    (row,) = benchmark(draw(), **FAST, calibration="none", controls=False, out=tmp_path)
    assert row.settings["calibration"] == "none"
    model = load_model(tmp_path / "models" / f"{row.name}.skops")
    assert type(model.calibration_).__name__ == "NoCalibration"


def test_published_figures_are_kept_apart(tmp_path):
    images = draw(n=60, classes=("NORMAL", "PNEUMONIA"))
    named = ["train/NORMAL/IM-0115-{}.jpeg", "train/PNEUMONIA/person1_bacteria_{}.jpeg"] * 30
    kermany = replace(images, names=tuple(name.format(n) for n, name in enumerate(named)))
    settings = {**FAST, "controls": False, "learning_curve": False}
    table = benchmark(kermany, **settings, out=tmp_path)
    assert len(table) == 1
    rows, section = (tmp_path / "table.md").read_text().split("### Published elsewhere, not meas")
    assert "| InceptionV3, fine-tuned |" in section
    assert "InceptionV3" not in rows
    for other, published in ((images, None), (kermany, False)):
        text = benchmark(other, **settings, published=published).to_markdown()
        assert "published" not in text.lower()


def test_published_figures_are_those_that_were_checked(shared):
    text = (shared / "prior_art.md").read_text()
    numbers = {float(number) for number in re.findall(r"(?<![\d.])\d*\.?\d+", text)}
    for figure in published_figures():
        for value in (figure["accuracy"], figure["auc"]):
            given = value is None or {value, round(100 * value, 2)} & numbers
            assert given, figure
