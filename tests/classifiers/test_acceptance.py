"""Evidence from images of another place, against figures computed otherwise."""

import copy
from dataclasses import replace

import numpy as np
import pytest

import featx
from featx.audit.typicality import cutoff
from featx.classifiers.adaptation import prediction_alignment
from featx.classifiers.calibration import probabilities
from featx.errors import UsageError
from featx.features.pipeline import ENGINES
from featx.metrics.tolerance import one_image_each
from tests.benchmarking.conftest import GridEngine, draw

SIGNAL = 24


@pytest.fixture(scope="module", autouse=True)
def grid():
    with ENGINES.using(lambda embedder: GridEngine(embedder.backbone.features)):
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEATX_CACHE", str(tmp_path_factory.mktemp("cache")))
        return fitted(draw(0, n=300, signal=SIGNAL))


def fitted(images, classifier="logistic"):
    return featx.fit(featx.extract(images, views=1), classifier, cv=3, n_jobs=1)


def reference_of(model):
    return probabilities(model.calibration_.logits(model.out_of_fold_scores_))[:, 1]


def brighter(images, more=12, **changes):
    pixels = [np.clip(images.read(i).astype(int) + more, 0, 255) for i in range(len(images))]
    made = featx.ImageDataset.from_arrays(
        np.array(pixels, np.uint8),
        images.labels,
        class_names=images.class_names,
        patients=images.patients,
    )
    return replace(made, **changes)


def test_alignment_is_the_quantile_mapping_of_numpy():
    generator = np.random.default_rng(0)
    target, reference = generator.beta(5, 2, 400), generator.beta(2, 2, 700)
    aligned = np.interp(target, *prediction_alignment(target, reference))
    ranks = target.argsort().argsort()
    expected = np.quantile(reference, (ranks + 1) / 400, method="interpolated_inverted_cdf")
    np.testing.assert_allclose(aligned, expected, rtol=1e-12)
    # Another prevalence is mapped away: the limit that the docs name.
    sick = generator.beta(9, 2, 500)
    called = np.interp(sick, *prediction_alignment(sick, reference)) >= 0.5
    assert called.mean() == pytest.approx((reference >= 0.5).mean(), abs=0.01)


def test_facts_without_labels_are_those_of_the_predictions(model):
    images = brighter(draw(1, n=240, signal=SIGNAL))
    found, predicted = featx.accept(model, images), featx.predict(model, images)
    scores, reference = predicted.probabilities[:, 1], reference_of(model)
    assert (found.n_images, found.n_patients, found.local) == (240, 120, None)
    assert found.untypical.value == (predicted.typicality <= cutoff(150)).mean()
    above = (scores[:, None] > reference).mean() + (scores[:, None] == reference).mean() / 2
    assert found.drift.value == pytest.approx(above)
    assert found.training_positive == (reference >= model.threshold_).mean()
    effects = {each.name: each for each in found.thresholds}
    assert effects["model"].threshold == model.threshold_ and effects["model"].changed == 0
    assert effects["adapted"].threshold == featx.predict(model, images, adapt=True).threshold
    aligned = np.interp(scores, *prediction_alignment(scores, reference)) >= model.threshold_
    assert np.mean(aligned == (scores >= effects["aligned"].threshold)) > 0.995
    for effect in found.thresholds:
        called = scores >= effect.threshold
        assert effect.positive.value == called.mean()
        assert effect.changed == (called != (scores >= model.threshold_)).sum()
    # Intervals are by patient: with the patients unknown, the same images seem to say more.
    alone = featx.accept(model, replace(images, patients_known=False))
    assert alone.n_patients is None
    assert alone.drift.high - alone.drift.low < found.drift.high - found.drift.low


def test_drift_is_shown_where_there_is_some_and_not_otherwise(model):
    texts = [
        featx.accept(model, draw(seed, n=240, signal=SIGNAL)).lines()[2] for seed in range(1, 6)
    ]
    assert sum("none shown" in text for text in texts) >= 4
    moved = featx.accept(model, draw(1, n=240, signal=0))
    assert not moved.drift.low <= 0.5 <= moved.drift.high
    assert "labels alone can separate" in moved.lines()[2]


def test_labels_give_a_threshold_or_the_number_that_is_missing(model):
    images = draw(1, n=400, signal=SIGNAL)
    found = featx.accept(model, images, labels=images, min_sensitivity=0.9)
    scores = featx.predict(model, images).probabilities[:, 1]
    local, positive = found.local, images.labels == 1
    assert (local.n_images, local.n_patients, local.n_positive) == (400, 200, 100)
    assert local.auc == featx.metrics.auc(positive, scores, groups=images.patients)
    keys = [images.digest(place) for place in np.flatnonzero(positive).tolist()]
    chosen = scores[positive][one_image_each(keys, images.patients[positive])]
    named = replace(images, names=tuple(f"other/{name}" for name in images.names))
    assert featx.accept(model, images, labels=named, min_sensitivity=0.9).local == local
    # Of a hundred with a probability of 0.1 each, at most 4 have one of 2.4 %, at most 5 of 5.8 %.
    assert (chosen < local.threshold).sum() == 4 and (chosen == local.threshold).sum() == 1
    assert local.specificity == featx.metrics.specificity(
        positive, scores, threshold=local.threshold, groups=images.patients
    )
    own = next(each for each in found.thresholds if each.name == "model")
    assert own.sensitivity == featx.metrics.sensitivity(
        positive, scores, threshold=model.threshold_, groups=images.patients
    )
    few = featx.accept(model, images, labels=images[:40], min_sensitivity=0.9).local
    assert (few.threshold, few.specificity, few.n_positive) == (None, None, 10)
    assert (few.n_needed, few.n_needed_in_all) == (29, 58)
    assert few.most == pytest.approx(0.05**0.1)
    assert few.own_bound <= few.most


def test_labels_of_unknown_patients_are_not_called_patients(model):
    images = draw(1, n=200, signal=SIGNAL)
    images = replace(images, patients_known=False)
    found = featx.accept(model, images, labels=images, min_sensitivity=0.9)
    assert (found.local.n_patients, found.local.n_images, found.local.n_positive) == (
        None,
        200,
        100,
    )
    text = "\n".join(found.lines())
    assert "Labels: 200 images (100 positive), patients unknown" in text
    assert "by image, if the images were drawn at random" in text and "--patients" in text
    # The threshold that is shown is not above the one with the guarantee.
    shown = float(text.rpartition("Threshold ")[2].split()[0])
    assert 0 <= found.local.threshold - shown < 1e-5


def test_images_of_training_are_left_out_and_named(model):
    train, new = draw(0, n=300, signal=SIGNAL), draw(1, n=240, signal=14)
    pixels = [each.read(i) for each, n in ((train, 20), (new, 200)) for i in range(n)]
    labels = [*train.labels[:20], *new.labels[:200]]
    both = featx.ImageDataset.from_arrays(pixels, labels, class_names=train.class_names)
    found = featx.accept(model, new, labels=both)
    assert found.local.n_images == 200
    assert "trained-on-left-out" in [each.kind for each in found.findings]


def test_what_cannot_be_used_is_refused_with_the_way_out(model):
    images = draw(1, n=240, signal=SIGNAL)
    well = images[images.labels == 1]
    with pytest.raises(UsageError, match=r"one class \(well\).*label patients as they come"):
        featx.accept(model, images, labels=well)
    other = replace(images, class_names=("NORMAL", "PNEUMONIA"))
    with pytest.raises(UsageError, match="NORMAL, PNEUMONIA and the model ill, well"):
        featx.accept(model, images, labels=other)
    with pytest.raises(UsageError, match="between 0 and 1"):
        featx.accept(model, images, min_sensitivity=1.0)
    three = fitted(draw(0, n=240, classes=("a", "b", "c")), "naive_bayes")
    with pytest.raises(UsageError, match=r"the model has 3 \(a, b, c\).*featx.evaluate"):
        featx.accept(three, images)
    # Unlabeled collections of one class, and small ones, are adapted to by neither way.
    for given, reason in ((well, "one class"), (images[:30], "fewer than 50")):
        found = featx.accept(model, given)
        assert [each.name for each in found.thresholds] == ["model"]
        assert reason in found.refused and any(reason in line for line in found.lines())


def test_models_of_before_say_what_they_do_not_know(model, tmp_path):
    images = draw(1, n=240, signal=SIGNAL)
    model.save(tmp_path / "model.skops")
    kept = featx.load_model(tmp_path / "model.skops").out_of_fold_patients_
    assert len(np.unique(kept)) == 150 and kept.dtype.kind == "i"
    old = copy.copy(model)
    del old.out_of_fold_patients_
    found = featx.accept(old, images)
    assert found.drift.value == featx.accept(model, images).drift.value
    assert np.isnan(found.drift.low) and "no interval" in found.lines()[2]
    del old.out_of_fold_scores_
    old.typicality_ = None
    found = featx.accept(old, images)
    assert (found.untypical, found.drift, found.training_positive) == (None, None, None)
    assert "unknown to this model, which an older featx" in found.lines()[1]
    assert [each.name for each in found.thresholds] == ["model", "adapted"]
