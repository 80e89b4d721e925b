"""Late fusion: a row averages the log-odds of others, and its model does so with new images."""

import numpy as np
import pytest
from scipy.special import expit, logit

import featx
from featx.benchmarking.config import BenchmarkConfig
from featx.classifiers.predictions import Predictions
from featx.errors import FeatxError, UsageError
from featx.metrics.operating_point import OperatingPoint
from tests.benchmarking.conftest import draw

SETTINGS = {
    "backbones": ["efficientnet_lite0", "mobilenetv2"],
    "classifiers": "logistic",
    "weights": "random",
    "views": 1,
    "cv": 3,
    "controls": False,
    "learning_curve": False,
    "fuse": True,
}


def positive(out, row, external=""):
    return Predictions.from_csv(
        out / "scores" / f"{row.name}{external and '@'}{external}.csv"
    ).probabilities[:, 1]


def test_a_fused_row_averages_log_odds_and_its_file_predicts_the_same(quick, tmp_path, monkeypatch):
    images = draw(n=240, splits=np.repeat(["train", "test"], [120, 120]))
    # Isotonic, which does not commute with the mean over views.
    settings = {**SETTINGS, "calibration": "isotonic", "views": 2, "out": tmp_path / "out"}
    settings |= {"adapt": True, "externals": {"other": draw(1, n=100, signal=50)}}
    settings["cache"] = tmp_path / "cache"
    table = featx.benchmark(images, **settings)
    assert [row.kind for row in table] == [*["frozen", "adapted"] * 2, "fused", "adapted"]
    assert not featx.verify(tmp_path / "out").mismatches
    one, one_adapted, two, two_adapted, fused, adapted = table
    assert fused.label == "efficientnet_lite0 & mobilenetv2, logistic (fused)"
    for row, members in ((fused, (one, two)), (adapted, (one_adapted, two_adapted))):
        for external in ("", "other"):
            found = [logit(positive(tmp_path / "out", each, external)) for each in members]
            expected = expit(np.mean(found, axis=0))
            np.testing.assert_allclose(positive(tmp_path / "out", row, external), expected, 1e-6)
    assert fused.costs.n_features == one.costs.n_features + two.costs.n_features
    assert fused.costs.seconds_fit > one.costs.seconds_fit + two.costs.seconds_fit
    assert adapted.threshold != fused.threshold
    text = (tmp_path / "out" / "report.html").read_text()
    assert "is the mean of the calibrated log-odds of efficientnet_lite0-logistic and" in text
    assert (
        "Mean of the calibrated log-odds of 2 models"
        in (tmp_path / "out" / "models" / "fused-logistic.md").read_text()
    )

    path = tmp_path / "out" / "models" / "fused-logistic.skops"
    model = featx.load_model(path)
    test = images.select(images.splits == "test")
    predicted = featx.predict(path, test, weights="random", cache=settings["cache"])
    np.testing.assert_allclose(
        predicted.probabilities[:, 1], positive(tmp_path / "out", fused), 1e-5
    )
    # The threshold comes from fits without the image's patient, of both members.
    members = [featx.load_model(path.with_name(f"{each.name}.skops")) for each in (one, two)]
    assert set(members[0].out_of_fold_images_) == set(model.out_of_fold_images_)
    held_out = []
    for member in members:
        order = np.argsort(member.out_of_fold_images_)
        held_out.append(member.calibration_.logits(member.out_of_fold_scores_)[order])
    labels = members[0].out_of_fold_labels_[np.argsort(members[0].out_of_fold_images_)]
    chosen = OperatingPoint.parse("youden").threshold(labels == 1, expit(np.mean(held_out, axis=0)))
    assert model.threshold_ == pytest.approx(chosen) == pytest.approx(fused.threshold)
    with pytest.raises(UsageError, match="not fitted"):
        model.fit([[0.0]], [0])
    with pytest.raises(UsageError, match="no classifier of its own to refit"):
        featx.adapt(
            model,
            test,
            train=featx.extract(test, "mobilenetv2", cache=settings["cache"], weights="random"),
        )
    monkeypatch.setattr("featx.benchmarking.fused_rows.fuse_models", None)
    assert list(featx.benchmark(images, **settings)) == list(table)
    model.members_ = model.members_[:1]
    model.save(tmp_path / "cut.skops")
    with pytest.raises(FeatxError, match="members_ is not that of a fitted model"):
        featx.load_model(tmp_path / "cut.skops")


def test_maps_of_a_fused_linear_model_sum_to_its_decision(quick, tmp_path):
    images = draw(n=160, signal=8)
    table = featx.benchmark(images, **SETTINGS, unit="patient", internal_shifts=True, out=tmp_path)
    assert [row.kind for row in table] == [*["frozen", "unit"] * 2, "fused", "unit"]
    assert (tmp_path / "models" / "fused-logistic-by-patient.skops").is_file()
    path = tmp_path / "models" / "fused-logistic.skops"
    new = draw(3, n=4, signal=8)
    found = featx.explain(path, new, weights="random", cache=tmp_path)
    assert found.to_dict()["method"] == "class activation map"
    log_odds = logit(featx.predict(path, new, views=1, weights="random").probabilities[:, 1])
    for each, expected in zip(found, log_odds, strict=True):
        assert each.decision == pytest.approx(expected, abs=1e-4)
        assert each.bias + each.map.mean() == pytest.approx(expected, abs=1e-4)


def test_more_than_two_classes_are_fused(quick, tmp_path):
    images = draw(n=240, classes=("ill", "well", "worse"), signal=40)
    *members, fused = featx.benchmark(images, **SETTINGS, out=tmp_path)
    tables = [
        Predictions.from_csv(tmp_path / "scores" / f"{row.name}.csv").probabilities
        for row in (*members, fused)
    ]
    expected = expit(np.mean([logit(each) for each in tables[:2]], axis=0))
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tables[2], expected, rtol=1e-4, atol=1e-9)
    assert featx.load_model(tmp_path / "models" / "fused-logistic.skops").threshold_


def test_what_cannot_be_fused_is_refused():
    for backbones in ("vgg16", ["vgg16", "vgg16+vgg19"]):
        with pytest.raises(UsageError, match="cannot be fused: at least two backbones"):
            BenchmarkConfig(backbones=backbones, fuse=True)
